# SPDX-License-Identifier: MIT OR Apache-2.0
"""Folders and files whose names are not ASCII, wherever words of the configuration name them, whatever the locale of the server is."""

import base64
import shutil
import subprocess

import pytest

from harness import places

pytestmark = pytest.mark.servers("nginx", "apache")

NAME = "größe-日本"

LOCALES = {
    "usual": ({}, ""),
    "c": ({"LANG": "C", "LC_ALL": "C"}, ""),
    # Names of files are ASCII there, and all other bytes surrogates.
    "ascii": ({"LANG": "C", "LC_ALL": "C"}, "env=PYTHONUTF8=0 env=LC_ALL=C"),
}

FILES = {
    "plain.py": """
import os
from mod_python import apache, Session

def handler(req):
    req.write(os.path.basename(os.path.dirname(__file__)).encode("utf-8", "surrogateescape"))
    return apache.OK

def imports(req):
    import from_the_path, from_the_option
    beside = apache.import_module("~/beside.py")
    req.write(f"{from_the_path.WORD} {from_the_option.WORD} {beside.WORD} {apache.import_module('plain').STARTED}")
    return apache.OK

def session(req):
    kind = getattr(Session, req.args)
    one = kind(req)
    one["visits"] = one.get("visits", 0) + 1
    one.save()
    one.unlock()
    req.write(f"{one['visits']} of {one.id()}")
    return apache.OK

def facts(req):
    for name in (req.filename, req.document_root(), req.hlist.directory or "", apache.stat(req.filename, apache.APR_FINFO_SIZE)[apache.FINFO_FNAME]):
        req.write(name.encode("utf-8", "surrogateescape") + b"\\n")
    req.sendfile(req.filename)
    return apache.OK

STARTED = []
def warm():
    import sys
    STARTED.append(1)

def outputfilter(filter):
    part = filter.read()
    while part:
        filter.write(part.upper())
        part = filter.read()
    if part is None:
        filter.close()
""",
    "beside.py": "WORD = 'beside'\n",
    "lib/from_the_path.py": "WORD = 'path'\n",
    "more/from_the_option.py": "WORD = 'option'\n",
    "app.py": """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"an application"]
""",
    "access.wsgi": """
def allow_access(environ, host):
    return environ.get("HTTP_X_LET") != "no"
def check_password(environ, user, password):
    return password == "lovelace"
def groups_for_user(environ, user):
    return ["staff"]
""",
    "page.psp": "<%@ include file='part.txt' %><%= 6 * 7 %>\n",
    "part.txt": "a part, ",
    "größe.py": "def index():\n    return 'published'\n",
    "script.py": "print('Content-Type: text/plain\\n\\nby a script', end='')\n",
    "words.txt": "words",
}


@pytest.fixture(params=list(LOCALES))
def locale(request):
    return LOCALES[request.param]


@pytest.fixture(params=["", "processes=1"], ids=["server", "processes"])
def processes(request):
    return request.param


@pytest.fixture
def folder(scratch):
    folder = scratch / NAME
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "sessions").mkdir(mode=0o700)
    for path in (folder, folder / "lib", folder / "more"):
        path.chmod(0o755)
    if places.AS_ROOT:
        shutil.chown(folder / "sessions", places.WORKER_USER)
    return folder


def sites(folder, env, processes):
    sessions = folder / "sessions"
    options = (
        f'"option=mod_python.importer.path=[\'{folder}/more\']"',
        f'"option=mod_python.session.database_directory={sessions}"',
        f'"option=mod_python.dbm_session.database_filename={sessions}/größe.dbm"',
    )
    all_of_them = f'"path=sys.path + [\'{folder}/lib\']" "import={folder}/plain.py::warm main" interpreter=main {env} {processes}'
    common = " ".join((f'"root={folder}"', *options, all_of_them))

    def configure(site):
        def handled(path, words, **more):
            site.location(path, handlers=(f"{words} {common}",), **more)

        handled("/plain", "plain")
        handled("/absolute", f'"{folder}/plain.py"')
        handled("/imports", "plain::imports")
        handled("/session", "plain::session")
        handled("/wsgi-module", "mod_python.wsgi option=mod_python.wsgi.application=app::application")
        handled("/wsgi-path", f'mod_python.wsgi "option=mod_python.wsgi.application={folder}/app.py::application"')
        files = str(folder) + "/"
        handled("/facts/", "plain::facts", files=files)
        handled("/published/", "mod_python.publisher", files=files)
        handled("/pages/", "mod_python.psp", files=files)
        handled("/scripts/", "mod_python.cgihandler", files=files)

    return configure


def test_handlers_and_their_options(launch, folder, locale, processes):
    environment, env = locale
    configure = sites(folder, env, processes)

    def all_of_it(site):
        site.environment.update(environment)
        configure(site)

    server = launch(all_of_it)
    for path in ("/plain", "/absolute"):
        assert server.get(path).text == NAME, path
    assert server.get("/imports").text == "path option beside [1]"
    for path in ("/wsgi-module", "/wsgi-path"):
        assert server.get(path).text == "an application", path
    for kind in ("FileSession", "DbmSession", "MemorySession"):
        first = server.get(f"/session?{kind}")
        assert first.text.startswith("1 of "), (kind, first.text)
        cookie = first.header("set-cookie").partition(";")[0]
        if kind != "MemorySession" or processes:
            assert server.get(f"/session?{kind}", headers=[("Cookie", cookie)]).text == "2" + first.text[1:], kind
    assert (folder / "sessions" / "größe.dbm").exists() or list((folder / "sessions").glob("größe.dbm*"))
    lines = server.get("/facts/words.txt").text.splitlines()
    assert lines[0] == lines[3] == str(folder / "words.txt") and lines[-1] == "words", lines
    assert server.get("/published/gr%C3%B6%C3%9Fe.py").text == "published"
    assert server.get("/published/gr%C3%B6%C3%9Fe").text == "published"
    assert server.get("/pages/page.psp").text == "a part, 42\n"
    assert server.get("/scripts/script.py").text == "by a script"


def credentials(password):
    return [("Authorization", "Basic " + base64.b64encode(f"ada:{password}".encode()).decode())]


def test_scripts_that_say_who_may_come(launch, folder, locale):
    environment, env = locale
    script = folder / "access.wsgi"

    def configure(site):
        site.environment.update(environment)
        site.location(
            "/asked/",
            files=str(folder) + "/",
            nginx=f'gangway_access "{script}" {env}; gangway_authn_provider "{script}" realm=x; gangway_authz_provider "{script}" groups=staff;',
            apache=f"""
                GangwayAccess "{script}"
                AuthType Basic
                AuthName x
                AuthBasicProvider gangway
                GangwayAuthnProvider "{script}"
                GangwayAuthzProvider "{script}"
                Require gangway-group staff
            """,
        )
        if env:
            site.location("/env", handlers=(f"fixup plain {env}",))

    server = launch(configure)
    assert server.get("/asked/words.txt", headers=credentials("lovelace")).text == "words"
    assert server.get("/asked/words.txt", headers=[*credentials("lovelace"), ("X-Let", "no")]).status == 403
    assert server.get("/asked/words.txt", headers=credentials("wrong")).status == 401
    server.log.allow("AH01617")


@pytest.mark.servers("apache")
def test_directives_of_mod_python_and_mod_wsgi(launch, folder, locale):
    environment, env = locale
    script = folder / "access.wsgi"

    def configure(site):
        site.environment.update(environment)
        site.apache_host = f"""
            PythonPath "sys.path + ['{folder}/lib', '{folder}']"
            PythonImport "{folder}/plain.py::warm" main
            PythonOption mod_python.session.database_directory "{folder}/sessions"
            PythonOption mod_python.importer.path "['{folder}/more']"
            PythonInterpreter main
            PythonOutputFilter "{folder}/plain.py" UPPER
            Alias /files "{folder}"
            <Directory "{folder}">
                SetHandler mod_python
                PythonHandler plain::imports
                AllowOverride All
            </Directory>
            <Location "/absolute">
                SetHandler mod_python
                PythonHandler "{folder}/plain.py"
                SetOutputFilter UPPER
            </Location>
            <Location "/session">
                SetHandler mod_python
                PythonHandler plain::session
            </Location>
            <Location "/application">
                SetHandler mod_python
                PythonHandler mod_python.wsgi
                PythonOption mod_python.wsgi.application "{folder}/app.py::application"
            </Location>
            <Location "/asked">
                WSGIAccessScript "{script}"
                AuthType Basic
                AuthName x
                AuthBasicProvider wsgi
                WSGIAuthUserScript "{script}"
                WSGIAuthGroupScript "{script}"
                Require wsgi-group staff
                SetHandler mod_python
                PythonHandler "{folder}/plain.py"
            </Location>
        """
        if env:
            site.location("/env", handlers=(f"fixup plain {env}",))

    (folder / "inner").mkdir()
    (folder / "inner" / ".htaccess").write_text("PythonHandler größe::inner\n", encoding="utf-8")
    (folder / "inner" / "größe.py").write_text("def inner(req):\n    req.write('inner')\n    return 0\n", encoding="utf-8")
    server = launch(configure)
    assert server.get("/files/x").text == "path option beside [1]"
    assert server.get("/files/inner/x").text == "inner"
    assert server.get("/absolute").text == NAME.encode().upper().decode()
    assert server.get("/application").text == "an application"
    for kind in ("FileSession", "DbmSession"):
        assert server.get(f"/session?{kind}").text.startswith("1 of "), kind
    assert server.get("/asked/x", headers=credentials("lovelace")).text == NAME
    assert server.get("/asked/x", headers=credentials("wrong")).status == 401
    server.log.allow("AH01617")
    assert server.get("/asked/x", headers=[*credentials("lovelace"), ("X-Let", "no")]).status == 403


def test_applications(launch, folder, locale, processes):
    environment, env = locale
    (folder / "variables").write_text("WORD=größe\n", encoding="utf-8")

    def configure(site):
        site.environment.update(environment)
        words = dict([processes.split("=")] if processes else [])
        words["env"] = [word.removeprefix("env=") for word in env.split()]
        site.wsgi("/module", "app:application", root=folder, env_file=folder / "variables", **words)
        site.wsgi("/path", f"{folder}/app.py:application", root=None, env_file=folder / "variables", **words)

    server = launch(configure)
    for path in ("/module", "/path"):
        assert server.get(path).text == "an application", path


IN_VENV = """
import os
import sys

def handler(req):
    import of_the_venv
    req.write(of_the_venv.WORD + os.path.basename(sys.prefix))
    return 0

def application(environ, start_response):
    import of_the_venv
    start_response("200 OK", [])
    return [of_the_venv.WORD.encode()]
"""


def test_virtual_environments(launch, folder, locale, processes):
    environment, env = locale
    venv = folder / "ümgebung"
    subprocess.run([places.SYSTEM_PYTHON, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=60)
    (packages,) = venv.glob("lib/python3*/site-packages")
    (packages / "of_the_venv.py").write_text("WORD = 'found in '\n")
    (folder / "within.py").write_text(IN_VENV, encoding="utf-8")

    def configure(site):
        site.environment.update(environment)
        site.location("/handler", handlers=(f'within root={folder} "venv={venv}" {env} {processes}',))
        words = dict([processes.split("=")] if processes else [])
        words["env"] = [word.removeprefix("env=") for word in env.split()]
        site.wsgi("/application", "within:application", root=folder, venv=venv, **words)

    server = launch(configure)
    assert server.get("/handler").text == "found in ümgebung"
    assert server.get("/application").text == "found in "
