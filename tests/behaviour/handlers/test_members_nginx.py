# SPDX-License-Identifier: MIT OR Apache-2.0
"""Members of requests, servers and connections in nginx, and functions about the server; and the same in processes of their own."""

import http.client
import json
import re
import ssl
from pathlib import Path

import pytest

pytestmark = pytest.mark.servers("nginx", "nginx128")

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "mod_python.md").read_text()

MODULE = """
import json
from mod_python import apache

OF_SERVER = ("server_hostname server_admin error_fname port timeout keep_alive_timeout keep_alive_max keep_alive loglevel is_virtual defn_name"
    " defn_line_number path pathlen limit_req_line limit_req_fieldsize limit_req_fields names wild_names addrs").split()
OF_CONNECTION = ("remote_ip client_ip local_ip remote_addr client_addr local_addr local_host remote_logname remote_host id aborted keepalive keepalives"
    " double_reverse notes").split()
OF_REQUEST = ("method uri unparsed_uri filename canonical_filename protocol hostname the_request useragent_ip status proto_num request_time"
    " allowed_xmethods content_languages remaining read_length read_body read_chunked expecting_100 vlist_validator proxyreq assbackwards no_cache"
    " no_local_copy mtime chunked clength").split()

def handler(req):
    seen = {}
    for holder, names in ((req.server, OF_SERVER), (req.connection, OF_CONNECTION), (req, OF_REQUEST)):
        seen.update({name: bool(getattr(holder, name)) for name in names})
    req.write(json.dumps(seen))
    return apache.OK

def asks(req):
    seen = {}
    def ask(name, call, *words):
        try:
            seen[name] = call(*words)
        except Exception as error:
            seen[name] = f"{type(error).__name__}: {error}"
    ask("root", apache.server_root)
    ask("tree", apache.config_tree)
    ask("main", lambda: apache.main_server)
    for name in ("next", "my_generation", "restart_time"):
        ask(name, getattr, req.server, name)
    ask("define", apache.exists_config_define, "SSL")
    for name in ("IS_THREADED", "IS_FORKED", "MAX_DAEMONS"):
        ask(name, apache.mpm_query, getattr(apache, "AP_MPMQ_" + name))
    for name in ("SSL_PROTOCOL", "SSL_CIPHER", "SSL_SESSION_RESUMED", "SSL_TLS_SNI", "SSL_CLIENT_VERIFY", "SSL_CLIENT_S_DN", "SSL_CLIENT_I_DN", "SSL_CLIENT_M_SERIAL", "SSL_CLIENT_V_END", "SSL_CLIENT_CERT",
                 "SSL_SERVER_A_SIG", "HTTP_HOST"):
        ask(name, req.ssl_var_lookup, name)
    req.write(json.dumps(seen))
    return apache.OK

def keeps(req):
    req.notes["protocol"] = str(req.ssl_var_lookup("SSL_PROTOCOL"))
    return apache.OK

def kept(req):
    req.write(req.notes["protocol"] + " " + str(req.ssl_var_lookup("SSL_PROTOCOL")))
    return apache.OK
"""

#: What nginx has nothing for.
EMPTY = set(
    "server_admin error_fname names wild_names addrs path pathlen defn_name defn_line_number limit_req_line limit_req_fieldsize limit_req_fields"
    " is_virtual remote_host local_host remote_logname double_reverse remaining read_length read_body read_chunked expecting_100 content_languages"
    " allowed_xmethods vlist_validator".split()
)
#: What is nothing for such a request, in httpd as well.
NOTHING = set("proxyreq assbackwards no_cache no_local_copy mtime chunked clength aborted keepalives notes".split())


@pytest.fixture
def server(launch, scratch):
    folder = scratch / "members"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "asking.py").write_text(MODULE)

    def configure(site):
        site.tls = True
        site.nginx_server = "ssl_verify_client optional_no_ca;"
        site.location("/members", handlers=(f"asking root={folder}",))
        site.location("/asks", handlers=(f"asking::asks root={folder}",))
        site.location("/kept", handlers=(f"asking::kept root={folder}", f"access asking::keeps root={folder}"))
        site.location("/own/asks", handlers=(f"asking::asks root={folder} processes=1",))

    return launch(configure)


def test_what_is_empty_stands_in_the_page(server):
    seen = json.loads(server.get("/members").body)
    assert {name for name, is_there in seen.items() if not is_there} - NOTHING == EMPTY
    line = next(text for text in PAGE.split("\n- ") if text.startswith("Empty (`None`, 0 or `()`)"))
    assert set(re.findall(r"`(\w+)`", line.partition(":")[2].partition(";")[0])) == EMPTY


def test_functions_about_the_server(server):
    seen = json.loads(server.get("/asks").body)
    assert seen["root"] and seen["root"].startswith("/") and not seen["root"].endswith("/")
    assert seen["tree"].startswith("AttributeError: ") and "nginx -T" in seen["tree"]
    for name in ("main", "next", "my_generation", "restart_time"):
        assert seen[name].startswith("AttributeError: ") and "httpd alone" in seen[name], seen[name]
    assert (seen["define"], seen["IS_THREADED"], seen["IS_FORKED"]) == (False, 1, 1)
    assert seen["MAX_DAEMONS"].startswith("ValueError: ")
    assert {name: value for name, value in seen.items() if name.startswith("SSL_")} == dict.fromkeys((n for n in seen if n.startswith("SSL_")))


def test_variables_of_tls(server):
    seen = json.loads(server.get("/asks", port="tls").body)
    assert re.fullmatch(r"TLSv1\.[23]", seen["SSL_PROTOCOL"]) and len(seen["SSL_CIPHER"]) > 8
    assert (seen["SSL_SESSION_RESUMED"], seen["SSL_CLIENT_VERIFY"]) == ("Initial", "NONE")
    assert (seen["SSL_CLIENT_S_DN"], seen["SSL_CLIENT_CERT"]) == (None, None)
    for name in ("SSL_SERVER_A_SIG", "HTTP_HOST"):
        assert seen[name].startswith("ValueError: ") and f"gangway_param {name} $ssl_" in seen[name]
    first, _, second = server.get("/kept", port="tls").text.partition(" ")
    assert first == second == seen["SSL_PROTOCOL"]


def with_certificate(server, path):
    """The body of a response to a client that shows the server's own certificate."""
    context = ssl.create_default_context(cafile=f"{server.certificate}.crt")
    context.load_cert_chain(f"{server.certificate}.crt", f"{server.certificate}.key")
    client = http.client.HTTPSConnection("127.0.0.1", server.ports["tls"], context=context, timeout=20)
    client.request("GET", path)
    body = client.getresponse().read()
    client.close()
    return json.loads(body)


def test_the_certificate_of_a_client(server):
    seen = with_certificate(server, "/asks")
    assert seen["SSL_CLIENT_VERIFY"].startswith("FAILED:") or seen["SSL_CLIENT_VERIFY"] == "SUCCESS"
    assert seen["SSL_CLIENT_S_DN"] == seen["SSL_CLIENT_I_DN"] == "CN=localhost"
    assert seen["SSL_CLIENT_CERT"].strip() == Path(f"{server.certificate}.crt").read_text().strip()
    assert re.fullmatch("[0-9A-F]+", seen["SSL_CLIENT_M_SERIAL"]) and seen["SSL_CLIENT_V_END"]
    # The next client has none.
    assert json.loads(server.get("/asks", port="tls").body)["SSL_CLIENT_CERT"] is None


def test_a_process_of_its_own_says_what_it_is_not_told(server):
    seen = json.loads(server.get("/own/asks").body)
    assert seen["root"] == str(server.folder) and seen["tree"].startswith("AttributeError: ")
    for name in ("main", "next", "my_generation", "restart_time"):
        assert seen[name].startswith("AttributeError: ") and "httpd alone" in seen[name], seen[name]
    assert (seen["define"], seen["IS_THREADED"], seen["SSL_CIPHER"]) == (False, 1, None)
    over_tls = json.loads(server.get("/own/asks", port="tls").body)
    assert over_tls["SSL_CIPHER"].startswith("ValueError: ") and "req.subprocess_env" in over_tls["SSL_CIPHER"]
