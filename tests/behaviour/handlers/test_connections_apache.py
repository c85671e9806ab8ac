# SPDX-License-Identifier: MIT OR Apache-2.0
"""PythonConnectionHandler: connections that speak a protocol of their own, beside those of HTTP."""

import ast
import contextlib
import re
import socket
import ssl
import threading

import pytest

from harness import places
from harness.server import certificate

pytestmark = pytest.mark.servers("apache", "apache-worker", "apache-prefork")

HANDLERS = {
    "echo": "talks",
    "pieces": "talks::pieces",
    "facts": "talks::facts",
    "declines": "talks::declines talks::facts",
    "http": "talks::declines",
    "raises": "talks::raises",
    "missing": "no_such_module",
    "large": "talks::large",
}
PORTS = {}


def configure(site, kind):
    PORTS.clear()
    if kind == "apache-prefork":
        site.workers = 4
    site.tls = True
    lines = [f"PythonPath \"sys.path + ['{site.apps}/handlers']\"", "PythonOption place outer", "AcceptFilter talk none"]
    for name, handlers in HANDLERS.items():
        port = PORTS[name] = places.free_port()
        lines += [f"Listen 127.0.0.1:{port} talk", f"<VirtualHost 127.0.0.1:{port}>", "ServerName talks.test", f"PythonConnectionHandler {handlers}", "</VirtualHost>"]
    port = PORTS["tls"] = places.free_port()
    keys = certificate(site.apps.parent)
    lines += [f"Listen 127.0.0.1:{port} talk", f"<VirtualHost 127.0.0.1:{port}>", "PythonConnectionHandler talks", "SSLEngine on"]
    lines += [f"SSLCertificateFile {keys}.crt", f"SSLCertificateKeyFile {keys}.key", "</VirtualHost>"]
    site.apache_main = "\n".join(lines)


class Talk:
    def __init__(self, name, wrap=None):
        self.socket = socket.create_connection(("127.0.0.1", PORTS[name]), timeout=20)
        if wrap:
            self.socket = wrap.wrap_socket(self.socket, server_hostname="localhost")
        self.file = self.socket.makefile("rb")

    def say(self, data):
        self.socket.sendall(data)

    def line(self):
        return self.file.readline()

    def rest(self):
        return self.file.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()


def test_lines_come_back(server):
    with Talk("echo") as talk:
        for number in range(100):
            talk.say(b"line %d\n" % number)
            assert talk.line() == b"line %d\n" % number
        talk.say(b"two\nin one\n\n")
        assert talk.rest() == b"two\nin one\n"


def test_the_end_of_the_client(server):
    with Talk("echo") as talk:
        talk.say(b"whole\nhalf")
        talk.socket.shutdown(socket.SHUT_WR)
        assert talk.rest() == b"whole\nhalf"


def test_reading_gives_what_has_come(server):
    with Talk("pieces") as talk:
        assert talk.line() == b"ready\n"
        for part in (b"a", b"bc", b"x" * 64):
            talk.say(part)
            assert talk.line() == b"[" + part + b"]\n"
        talk.say(b"rest\n")
        assert talk.line() == b"now\n"
        talk.say(b"l" * 10 + b"y" * 100_000)
        assert talk.line() == b"b'lll'\n"
        talk.socket.shutdown(socket.SHUT_WR)
        assert talk.rest() == b"100007 and b''\n"


def test_facts(server):
    with Talk("facts") as talk:
        seen = ast.literal_eval(talk.line().decode())
        assert seen == ("127.0.0.1", "127.0.0.1", "127.0.0.1", PORTS["facts"], 0, 0, "yes")
        assert talk.rest() == b"talks.test {'place': 'outer'} int\n"
    server.log.expect("said by a connection")


def test_the_next_handler_where_one_declines(server):
    with Talk("declines") as talk:
        assert talk.line().startswith(b"('127.0.0.1'")


def test_http_goes_on_where_all_decline(server):
    with Talk("http") as talk:
        talk.say(b"GET /.ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert talk.line() == b"HTTP/1.1 204 No Content\r\n"


def test_other_ports_are_http(server):
    assert server.get("/.ready").status == 204


def test_a_handler_that_raises(server):
    # A reset, whenever it comes, is what the client must not take for a whole answer.
    with contextlib.suppress(ConnectionResetError), Talk("raises") as talk:
        talk.rest()
    server.log.expect('GW0319 PythonConnectionHandler "talks::raises" .*ValueError: in the middle')
    with contextlib.suppress(ConnectionResetError), Talk("missing") as talk:
        assert talk.rest() == b""
    server.log.expect("GW0319 PythonConnectionHandler .*no_such_module")


def test_a_client_that_reads_slowly_and_one_that_leaves(server):
    with Talk("large") as talk:
        assert len(talk.rest()) == 256 * 65536
    with Talk("large") as talk:
        talk.file.read(100_000)
    server.log.allow("GW0319 PythonConnectionHandler .*OSError")
    assert server.get("/.ready").status == 204


def test_several_at_a_time(server):
    def talk(number, failed):
        try:
            with Talk("echo") as one:
                for count in range(50):
                    one.say(b"%d %d\n" % (number, count))
                    if one.line() != b"%d %d\n" % (number, count):
                        failed.append(number)
        except OSError as error:
            failed.append(error)

    failed = []
    threads = [threading.Thread(target=talk, args=(number, failed)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed and not any(thread.is_alive() for thread in threads)


def test_over_tls(server):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with Talk("tls", context) as talk:
        talk.say(b"secret\n")
        assert talk.line() == b"secret\n"


@pytest.mark.servers("apache")
@pytest.mark.parametrize(
    ("lines", "cure"),
    [
        ('PythonConnectionHandler talks | .py', "a connection has no file"),
        ("PythonConnectionHandler", "needs a handler|takes|requires"),
        ("<Location />\nPythonConnectionHandler talks\n</Location>", "not allowed"),
    ],
)
def test_what_cannot_be(configtest, lines, cure):
    def configure(site):
        site.apache_main = lines

    result = configtest(configure)
    assert result.status == 1 and re.search(cure, result.output), result.output
