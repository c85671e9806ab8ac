# SPDX-License-Identifier: MIT OR Apache-2.0
"""The servers of httpd's configuration: apache.main_server and those behind it, with and without a request, and on any thread."""

import json
import time

import pytest

from harness import places

pytestmark = pytest.mark.servers("apache", "apache-worker", "apache-prefork")

MODULE = """
import json, threading
from mod_python import apache
from mod_python.apache import main_server

FACTS = ("server_hostname server_admin error_fname port timeout keep_alive keep_alive_max keep_alive_timeout loglevel is_virtual names wild_names path pathlen"
    " limit_req_line limit_req_fieldsize limit_req_fields my_generation").split()

def chain(server):
    while server is not None:
        yield server
        server = server.next

def told(server):
    seen = {name: getattr(server, name) for name in FACTS}
    seen.update(addrs=[port for _, port in server.addrs], options=server.get_options(), config=server.get_config(), defn_name=bool(server.defn_name))
    return seen

#: As the module is imported.
AT_IMPORT = told(main_server), apache.server_root(), apache.mpm_query(apache.AP_MPMQ_IS_FORKED), apache.exists_config_define("NOBODY"), len(apache.config_tree()) > 3

def handler(req):
    seen = {"import": AT_IMPORT, "all": [told(server) for server in chain(apache.main_server)], "same": apache.main_server is main_server}
    seen["behind"] = [server.server_hostname for server in chain(req.server.next)]
    seen["own"] = req.server.my_generation, req.server.restart_time, main_server.restart_time
    elsewhere = []
    thread = threading.Thread(target=lambda: elsewhere.extend(server.server_hostname for server in chain(main_server)))
    thread.start()
    thread.join()
    seen["thread"] = elsewhere
    seen["lock"] = apache._global_trylock(main_server, "a lock")
    apache._global_unlock(main_server, "a lock")
    req.write(json.dumps(seen))
    return apache.OK

def begin():
    names = [server.server_hostname for server in chain(apache.main_server)]
    apache.log_error(f"begins with {names} in {apache.server_root()}", apache.APLOG_WARNING, main_server)
    main_server.next.log_error("said to a virtual host")

def refused(req):
    kinds = []
    for call in (lambda: main_server.get_nothing, lambda: setattr(main_server, "port", 1), lambda: main_server._transaction.write("x", True),
                 lambda: main_server._transaction.text(1), lambda: main_server._transaction.related(1), lambda: main_server._transaction.read(1)):
        try:
            call()
            kinds.append("none")
        except Exception as error:
            kinds.append(type(error).__name__)
    req.write(" ".join(kinds))
    return apache.OK

KEPT = []

def keeps(req):
    # One of a request that is over says so, and so does one on another thread.
    said = []
    def ask():
        try:
            KEPT[0].next
        except Exception as error:
            said.append(f"{type(error).__name__} {error}")
    if KEPT:
        ask()
    KEPT[:] = [req.server]
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    req.write("\\n".join(said))
    return apache.OK

def talk(conn):
    conn.write(" ".join(server.server_hostname for server in chain(conn.base_server)))
    return apache.OK
"""


@pytest.fixture
def sites(launch, scratch):
    folder = scratch / "servers"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "sees.py").write_text(MODULE)
    port = places.free_port()

    def configure(site):
        site.apache_main = f"""
            ServerAdmin main@example.test
            PythonPath "sys.path + ['{folder}']"
            PythonOption from.main 1
            PythonDebug On
            PythonImport sees::begin imported
            KeepAliveTimeout 7
            Listen 127.0.0.1:{port}
            <VirtualHost 127.0.0.1:{port}>
                ServerName talks.test
                PythonConnectionHandler sees::talk
            </VirtualHost>
            <VirtualHost *:1>
                ServerName other.test
                ServerAlias alias.test *.wild.test
                ServerAdmin other@example.test
                ServerPath /other
                LimitRequestFields 50
                PythonOption from.other 1
                PythonOption from.main ""
                ErrorLog {folder.parent}/other.log
            </VirtualHost>
        """
        site.location("/sees", apache="SetHandler mod_python\nPythonHandler sees")
        site.location("/keeps", apache="SetHandler mod_python\nPythonHandler sees::keeps")
        site.location("/refused", apache="SetHandler mod_python\nPythonHandler sees::refused")

    before = time.time()
    server = launch(configure)
    server.talks, server.before, server.other_log = port, before, folder.parent / "other.log"
    server.log.expect("begins with")
    return server


def named(seen, name):
    return next(one for one in seen["all"] if one["server_hostname"] == name)


def test_the_main_server_and_those_behind_it(sites):
    seen = json.loads(sites.get("/sees").body)
    main, other = seen["all"][0], named(seen, "other.test")
    assert seen["import"][0] == main and seen["import"][1:] == [str(sites.folder), 2, False, True] and seen["same"] is True
    assert (main["is_virtual"], main["server_admin"], main["keep_alive_timeout"], main["defn_name"], main["names"]) == (0, "main@example.test", 7.0, False, [])
    assert main["error_fname"] and main["addrs"] == [0] and (main["limit_req_fields"], main["limit_req_line"]) == (100, 8190)
    assert main["options"]["from.main"] == "1" and "from.other" not in main["options"] and main["config"]["PythonDebug"] == "1"
    assert (other["is_virtual"], other["server_admin"], other["names"], other["wild_names"]) == (1, "other@example.test", ["alias.test"], ["*.wild.test"])
    assert (other["path"], other["pathlen"], other["limit_req_fields"], set(other["addrs"]), other["defn_name"]) == ("/other", 6, 50, {1}, True)
    assert other["options"] == {"from.other": "1"}
    assert all(one["is_virtual"] for one in seen["all"][1:]) and len(seen["all"]) >= 3
    names = [one["server_hostname"] for one in seen["all"]]
    assert seen["thread"] == names and seen["lock"] == 1
    assert seen["behind"] == [] or seen["behind"] == names[-len(seen["behind"]) :]


def test_a_server_has_a_log_of_its_own(sites):
    """The first virtual host is the one behind the main server."""
    name = json.loads(sites.get("/sees").body)["all"][1]["server_hostname"]
    assert ("said to a virtual host" in sites.other_log.read_text()) == (name == "other.test")
    sites.log.allow("said to a virtual host")


def test_a_server_has_nothing_of_a_request(sites):
    assert sites.get("/refused").text == "AttributeError AttributeError RuntimeError ValueError ValueError RuntimeError"


def test_the_server_of_a_request_is_for_its_handlers(sites):
    assert sites.get("/keeps").text.startswith("RuntimeError asking for another server is for the thread")
    first, second = sites.get("/keeps").text.splitlines()
    assert first.startswith("ValueError this object belongs to a request") and second.startswith("RuntimeError ")


def test_a_connection_has_them(sites):
    import socket

    with socket.create_connection(("127.0.0.1", sites.talks), timeout=20) as client:
        client.sendall(b"x")
        words = client.makefile("rb").read().decode().split()
    assert words[0] == "talks.test"


def test_starts_are_counted(sites):
    first = json.loads(sites.get("/sees").body)
    generation, restarted, of_main = first["own"]
    assert generation == 0 and restarted == of_main and sites.before - 1 <= restarted <= time.time()
    sites.reload()
    second = json.loads(sites.get("/sees").body)
    assert second["own"][0] == 1 and second["all"][0]["my_generation"] == 1 and restarted == second["own"][1]
    sites.log.expect("begins with")
