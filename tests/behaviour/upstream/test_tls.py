# SPDX-License-Identifier: MIT OR Apache-2.0
"""uwsgi over TLS: who is verified by whom, what is negotiated, and which blocks share their settings."""

import os
import socket
import ssl
import struct
import threading

import pytest

from harness import upstreams
from harness.authority import Authority
from harness.deadline import wait_until

pytestmark = pytest.mark.servers("nginx", "nginx128")
PASSWORD = "secret of a key"
ASKS = pytest.param(True, id="asks")


class Backend:
    """Answers every request over TLS by b"hello" and remembers what was negotiated."""

    def __init__(self, certificate, clients=None):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(f"{certificate}.crt", f"{certificate}.key")
        self.context.sni_callback = lambda connection, name, context: self.names.append(name)
        if clients:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(f"{clients}.crt")
        self.names, self.seen, self.failures = [], [], []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    @property
    def address(self):
        return f"suwsgi://127.0.0.1:{self.port}"

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.settimeout(20)
            try:
                self.answer(self.context.wrap_socket(connection, server_side=True))
            except OSError as error:
                self.failures.append(error)
            finally:
                connection.close()

    def answer(self, connection):
        with connection, connection.makefile("rb") as stream:
            head = stream.read(4)
            if not head:
                raise OSError("the client left after the handshake")
            stream.read(struct.unpack("<BHB", head)[1])
            subject = dict(pair[0] for pair in (connection.getpeercert() or {}).get("subject", ()))
            self.seen.append((connection.version(), connection.cipher()[0], subject.get("commonName")))
            self.reused = connection.session_reused
            connection.sendall(upstreams.hello("uwsgi"))

    def close(self):
        if self.listener.fileno() == -1:
            return
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(20)


@pytest.fixture(scope="module")
def authority(workspace):
    return Authority(workspace.folder("authority"))


@pytest.fixture(scope="module")
def named(authority):
    return authority.issue("localhost", authority.certificate)


@pytest.fixture(scope="module")
def revoked(authority, named):
    return authority.revoked(named)


@pytest.fixture
def backend(named, request):
    """One that asks for certificates of clients where a test says so."""
    asks = getattr(request, "param", False)
    created = Backend(named, request.getfixturevalue("authority").certificate if asks else None)
    yield created
    created.close()


@pytest.fixture
def served(launch, backend):
    """A server with one location, which passes to the backend with these settings."""

    def start(lines="", target=None, **kw):
        def configure(site):
            site.backends["tls"] = backend
            site.passes("/", target or backend.address, nginx=lines)
            for name, value in kw.items():
                setattr(site, name, value)

        return launch(configure)

    return start


def is_hello(response):
    return (response.status, response.body) == (200, b"hello")


@pytest.mark.better("nginx 1.22 offers TLS 1.2 at most", on=("nginx",), when={"kind": ["nginx"]})
def test_the_newest_tls_without_settings(served, backend):
    assert is_hello(served().get("/"))
    assert backend.seen[0][0] == "TLSv1.3"
    assert backend.names == [None]


def test_protocols_and_ciphers(served, backend):
    lines = "gangway_ssl_protocols TLSv1.2; gangway_ssl_ciphers ECDHE-ECDSA-CHACHA20-POLY1305;"
    assert is_hello(served(lines).get("/"))
    assert backend.seen == [("TLSv1.2", "ECDHE-ECDSA-CHACHA20-POLY1305", None)]


def test_commands_of_openssl(served, backend):
    lines = "gangway_ssl_protocols TLSv1.2 TLSv1.3; gangway_ssl_conf_command MaxProtocol TLSv1.2;"
    assert is_hello(served(lines).get("/"))
    assert backend.seen[0][0] == "TLSv1.2"


@pytest.mark.parametrize("reuse", [True, False])
def test_sessions(served, backend, reuse):
    lines = "gangway_ssl_protocols TLSv1.2;" + ("" if reuse else " gangway_ssl_session_reuse off;")
    server = served(lines)
    assert is_hello(server.get("/"))
    assert is_hello(server.get("/"))
    assert backend.reused == reuse


def test_the_name_is_sent_where_it_is_asked_for(served, backend):
    assert is_hello(served("gangway_ssl_server_name on; gangway_ssl_name $arg_name;").get("/?name=some.example"))
    assert backend.names == ["some.example"]


VERIFY = "gangway_ssl_verify on; gangway_ssl_trusted_certificate {authority}.crt;"


def test_a_verified_backend(served, authority):
    verify = VERIFY.format(authority=authority.certificate)
    assert is_hello(served(verify + " gangway_ssl_name localhost;").get("/"))


def refused(server, line):
    assert server.get("/").status == 502
    server.log.expect(line)


def test_a_backend_of_another_name(served, authority):
    verify = VERIFY.format(authority=authority.certificate)
    refused(served(verify + " gangway_ssl_name other.example;"), 'certificate does not match "other.example"')


def test_a_backend_of_another_authority(served, workspace):
    stranger = Authority(workspace.folder("stranger"))
    verify = VERIFY.format(authority=stranger.certificate)
    refused(served(verify + " gangway_ssl_name localhost;"), "certificate verify error")


def test_a_revoked_certificate(served, authority, revoked):
    verify = VERIFY.format(authority=authority.certificate)
    lines = f"{verify} gangway_ssl_name localhost; gangway_ssl_crl {revoked};"
    refused(served(lines), r"certificate verify error: \(23:certificate revoked\)")


@pytest.mark.parametrize("backend", [ASKS], indirect=True)
def test_a_certificate_for_the_backend(served, backend, authority):
    client = authority.issue("gateway", authority.certificate)
    lines = f"gangway_ssl_certificate {client}.crt; gangway_ssl_certificate_key {client}.key;"
    assert is_hello(served(lines).get("/"))
    assert backend.seen[0][2] == "gateway"


@pytest.mark.parametrize("backend", [ASKS], indirect=True)
@pytest.mark.parametrize("variable", [False, True])
def test_a_key_with_a_password(served, backend, authority, variable):
    """A name with variables is read for each connection, by the worker: it must be able to read it."""
    client = authority.issue("locked", authority.certificate, PASSWORD)
    os.chmod(f"{client}.key", 0o644)
    (authority.folder / "passwords").write_text(f"wrong\n{PASSWORD}\n")
    name = f"{authority.folder}/$arg_name" if variable else client
    lines = f"gangway_ssl_certificate {name}.crt; gangway_ssl_certificate_key {name}.key;"
    lines += f" gangway_ssl_password_file {authority.folder}/passwords;"
    assert is_hello(served(lines).get("/?name=locked"))
    assert backend.seen[0][2] == "locked"


@pytest.mark.parametrize("backend", [ASKS], indirect=True)
def test_no_certificate_for_a_backend_that_wants_one(served, backend):
    server = served()
    server.log.allow("SSL_read|alert|SSL_do_handshake|prematurely closed|reset by peer")
    assert server.get("/").status == 502
    wait_until(lambda: backend.failures, "the backend to refuse the handshake")
    assert not backend.seen


def test_a_backend_that_speaks_no_tls(launch):
    """It reads a handshake for a packet, and its answer is taken for one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        server = launch(lambda site: site.passes("/", f"suwsgi://127.0.0.1:{listener.getsockname()[1]}"))
        client = server.connect()
        client.request("GET", "/")
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(1) == b"\x16"
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            assert client.response().status == 502
    server.log.expect("SSL_do_handshake")


@pytest.mark.better("no server passes by two protocols with one family of settings", absent=True)
def test_settings_of_outer_blocks(launch, backend, authority):
    verify = VERIFY.format(authority=authority.certificate)

    def configure(site):
        site.backends["tls"] = backend
        site.nginx_server = verify + " gangway_ssl_name other.example;"
        site.passes("/inherits/", backend.address)
        site.passes("/names/", backend.address, nginx=f"{verify} gangway_ssl_name localhost;")
        site.passes("/trusts/", backend.address, nginx="gangway_ssl_verify off;")

    server = launch(configure)
    assert is_hello(server.get("/names/"))
    assert is_hello(server.get("/trusts/"))
    assert server.get("/inherits/").status == 502
    server.log.expect("certificate does not match")


def test_targets_of_variables(served, backend):
    server = served(target="suwsgi://127.0.0.1:$arg_port")
    assert is_hello(server.get(f"/?port={backend.port}"))
    assert backend.seen


@pytest.mark.better("names of Gangway's own", absent=True)
def test_a_scheme_of_variables(launch, backend):
    def configure(site):
        site.backends["tls"] = backend
        site.location("/", nginx="gangway_pass $arg_backend;")

    assert is_hello(launch(configure).get(f"/?backend={backend.address}"))
    assert backend.seen
