# SPDX-License-Identifier: MIT OR Apache-2.0
"""mod_python's directives: where they may stand, what is refused, modules that change, handlers inside of handlers, load."""

import threading

import pytest

from harness import wire
from harness.deadline import wait_until

pytestmark = pytest.mark.servers("apache")

ANY = pytest.mark.servers("apache", "apache-worker", "apache-prefork")


def site_with(scratch, kind, override="FileInfo", main="PythonAutoReload On", **files):
    """Describes a site of the files in a folder of its own, with .htaccess."""
    folder = scratch / "htaccess"
    folder.mkdir()
    for name, text in files.items():
        path = folder / (".htaccess" if name == "htaccess" else f"{name}.py")
        path.write_text(text)

    def configure(site):
        site.workers = 3 if kind == "apache-prefork" else 1
        site.apache_main = main
        site.apache_host = f"""
            Alias /site "{folder}"
            <Directory "{folder}">
                AllowOverride {override}
            </Directory>
        """

    return folder, configure


HELLO = "from mod_python import apache\nVALUE = {}\n\ndef handler(req):\n    req.write(str(VALUE))\n    return apache.OK\n"
HTACCESS = "AddHandler mod_python .py\nPythonHandler hello\n"


@ANY
def test_a_site_in_htaccess(launch, scratch, kind):
    folder, configure = site_with(scratch, kind, htaccess=HTACCESS, hello=HELLO.format(1))
    server = launch(configure)
    assert server.get("/site/any.py").body == b"1"
    inner = folder / "inner"
    inner.mkdir()
    (inner / ".htaccess").write_text("PythonHandler hello::other\nPythonOption name value\n")
    (inner / "hello.py").write_text("def other(req):\n    req.write(repr(req.get_options()))\n    return 0\n")
    assert server.get("/site/inner/any.py").body == b"{'name': 'value'}"


@ANY
def test_htaccess_needs_the_administrators_word(launch, scratch, kind):
    folder, configure = site_with(scratch, kind, main="", htaccess=HTACCESS, hello=HELLO.format(1))
    server = launch(configure)
    assert server.get("/site/any.py").status == 500
    server.log.expect("PythonHandler: stands in .htaccess, and no directive of Python's stands in the configuration")


@ANY
def test_htaccess_needs_allowoverride(launch, scratch, kind):
    folder, configure = site_with(scratch, kind, override="Options", htaccess=HTACCESS, hello=HELLO.format(1))
    server = launch(configure)
    assert server.get("/site/any.py").status == 500
    server.log.expect("not allowed here")


@pytest.mark.parametrize(
    ("lines", "directive", "cure"),
    [
        ("PythonHandler", "PythonHandler", "needs a handler"),
        ("PythonHandler a | py", "PythonHandler", "needs suffixes"),
        ("PythonDebug maybe", "PythonDebug", "must be On or Off"),
        ("PythonPath", "PythonPath", "needs one word"),
        ("PythonOption", "PythonOption", "needs a name"),
        ("PythonImport a", "PythonImport", "needs a module and the name"),
        ("PythonHandlerModule a::b", "PythonHandlerModule", "without an object"),
        ("PythonHandlerModule", "PythonHandlerModule", "needs the name of a module"),
        ("PythonEnablePdb 1", "PythonEnablePdb", "must be On or Off"),
        ("PythonHandler a\nPythonHome /no/such/folder", "handlers, the first of which", "/no/such/folder"),
        ("<Location /a>\nPythonTransHandler a\n</Location>", "PythonTransHandler", "not allowed"),
    ],
)
def test_what_is_wrong_stops_the_configuration_test(configtest, lines, directive, cure):
    def wrong(site):
        site.apache_host = lines

    result = configtest(wrong)
    assert result.status != 0
    assert directive in result.output and cure in result.output, result.output


def test_what_is_off_passes(configtest):
    def right(site):
        site.apache_host = "PythonOptimize Off\nPythonEnablePdb Off\nPythonDebug off\nPythonHandler a b | .py .psp"

    assert configtest(right).status == 0


@ANY
def test_a_module_of_handlers(launch, scratch, kind):
    """PythonHandlerModule: functions are handlers of the phases by whose names they are called; who has none is not missed."""
    module = "from mod_python import apache\n" + "".join(
        f"def {name}(req):\n    req.notes['seen'] = req.notes.get('seen', '') + ' {name} ' + str(req.hlist.silent)\n    return apache.OK\n"
        for name in ("fixuphandler", "headerparserhandler")
    )
    module += "def handler(req):\n    req.write(req.notes['seen'])\n    return apache.OK\n"
    folder, configure = site_with(scratch, kind, htaccess="SetHandler mod_python\nPythonHandlerModule several\n", several=module)
    server = launch(configure)
    assert server.get("/site/x").body == b" headerparserhandler 1 fixuphandler 1"


def write(path, text):
    """As an editor does that writes beside and renames."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


@ANY
def test_changed_modules_are_loaded_beside_the_old_ones(launch, scratch, kind):
    """20 changes, 2 of them of a module that the handler imports: no request fails, and none sees half of a module."""
    folder, configure = site_with(
        scratch,
        kind,
        htaccess=HTACCESS,
        beside="PAIR = (0, 0)\n",
        hello="import beside\nfrom mod_python import apache\nA = 0\n\ndef handler(req):\n"
        "    req.write(f'{A} {B} {beside.PAIR[0]} {beside.PAIR[1]}')\n    return apache.OK\nB = 0\n",
    )
    server = launch(configure)
    seen, failures, done = set(), [], threading.Event()

    def ask():
        while not done.is_set():
            response = server.get("/site/any.py")
            numbers = response.body.decode().split()
            if response.status != 200 or numbers[0] != numbers[1] or numbers[2] != numbers[3]:
                failures.append(response)
                return
            seen.add((numbers[0], numbers[2]))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    hello = (folder / "hello.py").read_text()
    try:
        for number in range(1, 19):
            write(folder / "hello.py", hello.replace("A = 0", f"A = {number}").replace("B = 0", f"B = {number}"))
            wait_until(lambda: any(pair[0] == str(number) for pair in seen), f"change {number} is seen")
        for number in (1, 2):
            write(folder / "beside.py", f"PAIR = ({number}, {number})\n")
            wait_until(lambda: any(pair[1] == str(number) for pair in seen), f"change {number} beside is seen")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not failures, failures[:3]


# A child of prefork that has no older one fails with the new one.
@pytest.mark.servers("apache", "apache-worker")
def test_a_change_that_cannot_be_loaded_leaves_the_old_module(launch, scratch, kind):
    folder, configure = site_with(scratch, kind, htaccess=HTACCESS, hello=HELLO.format(1))
    server = launch(configure)
    assert server.get("/site/any.py").body == b"1"
    write(folder / "hello.py", "raise ValueError('not yet')\n")

    def is_told():
        assert server.get("/site/any.py").body == b"1"
        return server.log.find("GW0320 the changed .*hello.py cannot be loaded")

    wait_until(is_told, "the log says so")
    server.log.expect("GW0320")
    for _ in range(20):
        assert server.get("/site/any.py").body == b"1"
    assert len(server.log.find("GW0320")) == 1
    write(folder / "hello.py", HELLO.format(2))
    wait_until(lambda: server.get("/site/any.py").body == b"2", "the corrected module serves")


# A child of prefork that has not loaded it before loads the new one.
@pytest.mark.servers("apache", "apache-worker")
def test_autoreload_off(launch, scratch, kind):
    folder, configure = site_with(
        scratch, kind, htaccess=HTACCESS + "PythonAutoReload Off\n", hello=HELLO.format(1)
    )
    # A module beside it that is looked at shows when a change of the same moment has had its time.
    beside = folder / "beside"
    beside.mkdir()
    (beside / ".htaccess").write_text("PythonHandler other\nPythonAutoReload On\n")
    write(beside / "other.py", HELLO.format(1))
    server = launch(configure)
    for path in ("/site/any.py", "/site/beside/any.py"):
        assert server.get(path).body == b"1"
    write(folder / "hello.py", HELLO.format(2))
    write(beside / "other.py", HELLO.format(2))
    wait_until(lambda: server.get("/site/beside/any.py").body == b"2", "the change beside it is seen")
    assert server.get("/site/any.py").body == b"1"


@ANY
def test_a_part_of_a_page_has_handlers_of_its_own(launch, scratch, kind):
    """mod_include asks for the part inside of the filters that the outer handler writes to."""
    folder, configure = site_with(
        scratch,
        kind,
        override="All",
        htaccess=HTACCESS
        + "AddType text/html .py\nAddOutputFilter INCLUDES .py\nOptions +Includes\nPythonFixupHandler hello\n",
        hello="""
from mod_python import apache
def fixuphandler(req):
    return apache.OK
def handler(req):
    req.content_type = "text/html"
    if req.args == "inner":
        req.write("[inner]")
    else:
        for _ in range(3):
            req.write('before <!--#include virtual="any.py?inner" --> after\\n')
    return apache.OK
""",
    )

    def nested(site):
        configure(site)
        site.threads_per_child = 2

    server = launch(nested)
    for _ in range(5):
        assert server.get("/site/any.py").body == b"before [inner] after\n" * 3


RAISES = """
from mod_python import apache
def check(phase):
    def run(req):
        if req.args == phase:
            raise ValueError(phase)
        return apache.OK if phase != "typehandler" else apache.DECLINED
    return run
for _phase in ("headerparserhandler", "accesshandler", "typehandler", "fixuphandler", "inithandler"):
    globals()[_phase] = check(_phase)
def handler(req):
    if req.args == "handler":
        raise ValueError("handler")
    req.write("fine")
    return apache.OK
"""


@ANY
def test_handlers_that_raise_in_every_phase_under_load(launch, scratch, kind):
    phases = ("inithandler", "headerparserhandler", "accesshandler", "typehandler", "fixuphandler", "handler")
    htaccess = "SetHandler mod_python\nPythonHandler hello\nPythonInitHandler hello\nPythonHeaderParserHandler hello\n"
    htaccess += "PythonAccessHandler hello\nPythonTypeHandler hello\nPythonFixupHandler hello\n"
    _, configure = site_with(scratch, kind, htaccess=htaccess, hello=RAISES)
    server = launch(configure)
    wrong = []

    def ask(number):
        for step in range(30):
            phase = phases[(number + step) % len(phases)] if step % 2 else "none"
            response = server.get(f"/site/x?{phase}")
            if response.status != (200 if phase == "none" else 500):
                wrong.append((phase, response))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    server.reload()
    for thread in threads:
        thread.join()
    server.log.expect("GW0319")
    assert not wrong, wrong[:3]


def test_a_client_that_leaves(launch, scratch, kind):
    _, configure = site_with(
        scratch,
        kind,
        htaccess=HTACCESS,
        hello="""
from mod_python import apache
def handler(req):
    try:
        while True:
            req.write(b"x" * 65536)
    except OSError as error:
        apache.log_error(f"seen: {error}", apache.APLOG_NOTICE)
    return apache.OK
""",
    )
    server = launch(configure)
    client = server.connect()
    client.request("GET", "/site/any.py")
    client.socket.recv(1000)
    client.close()
    wait_until(lambda: server.log.find("seen: Write failed"), "the handler sees that the client has left")


def test_truncated_bodies_are_errors(launch, scratch, kind):
    _, configure = site_with(
        scratch,
        kind,
        htaccess=HTACCESS,
        hello="""
from mod_python import apache
def handler(req):
    try:
        body = req.read()
    except OSError as error:
        apache.log_error(f"seen: {error}", apache.APLOG_NOTICE)
        raise
    return apache.OK
""",
    )
    server = launch(configure)
    client = server.connect()
    client.send(wire.head_bytes("POST", "/site/any.py", [("Host", "x"), ("Content-Length", "1000")]) + b"too little")
    client.close()
    wait_until(lambda: server.log.find("seen: the request body ended early"), "the handler sees it")
    server.log.allow("GW0319")
