# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handlers in nginx where it hurts: large uploads, modules that change under load, handlers that raise in every phase, memory over many requests."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import load, processes, wire
from harness.deadline import wait_until

pytestmark = pytest.mark.servers("nginx", "nginx128")

SITE = '''
import hashlib
from mod_python import apache, util

def upload(req):
    form = util.FieldStorage(req)
    digest, length = hashlib.sha256(), 0
    while piece := form["upload"].file.read(1 << 20):
        digest.update(piece)
        length += len(piece)
    req.content_type = "text/plain"
    req.write(f"{length} {digest.hexdigest()}")
    return apache.OK
'''

HALVES = '''
from mod_python import apache
FIRST = "{number}"
import threading
from concurrent.futures import ThreadPoolExecutor
threading.Event().wait(0.02)
SECOND = "{number}"

def handler(req):
    req.write(FIRST + " " + SECOND)
    return apache.OK

def accesshandler(req):
    req.headers_out["X-Halves"] = FIRST + " " + SECOND
    return apache.OK

def outputfilter(filter):
    filter.pass_on()
'''

RAISES = '''
from mod_python import apache

def check(name):
    def run(req):
        if req.args == name:
            raise ValueError(name)
        return apache.OK
    return run

for _name in ("inithandler", "headerparserhandler", "accesshandler", "fixuphandler", "loghandler", "cleanuphandler"):
    globals()[_name] = check(_name)

def handler(req):
    if req.args == "handler":
        raise ValueError("handler")
    req.write("fine " * 1000)
    return apache.OK

def outputfilter(filter):
    if filter.req.args == "outputfilter":
        raise ValueError("outputfilter")
    piece = filter.read()
    while piece:
        filter.write(piece)
        piece = filter.read()
'''


def write(folder, name, text):
    """At once, as editors and deployments do it."""
    (folder / "new").write_text(text)
    os.replace(folder / "new", folder / f"{name}.py")


@pytest.fixture
def folder(scratch):
    folder = scratch / "handlers"
    folder.mkdir()
    folder.chmod(0o755)
    return folder


def put(server, path, blocks, block):
    """A file of so many blocks; answers the length that was sent and the answer."""
    import hashlib

    boundary = [("Content-Type", "multipart/form-data; boundary=cut")]
    head = b'--cut\r\nContent-Disposition: form-data; name="upload"; filename="f"\r\n\r\n'
    tail = b"\r\n--cut--\r\n"
    length = len(head) + blocks * len(block) + len(tail)
    digest = hashlib.sha256()
    with server.connect() as client:
        client.socket.settimeout(120)
        client.send(wire.head_bytes("POST", path, [("Host", "x"), *boundary, ("Content-Length", str(length))]) + head)
        for _ in range(blocks):
            client.send(block)
            digest.update(block)
        client.send(tail)
        response = client.response()
    return f"{blocks * len(block)} {digest.hexdigest()}", response


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_a_gibibyte_takes_no_memory(launch, folder, buffering):
    write(folder, "site", SITE)

    def configure(site):
        site.workers = 1
        site.body_limit = 2 << 30
        site.location("/upload", nginx=f"gangway_python_handler site::upload root={folder}; gangway_request_buffering {buffering};")

    server = launch(configure)
    server.log.allow("buffered to a temporary file")
    block = bytes(range(256)) * 4096
    assert put(server, "/upload", 2, block)[1].status == 200
    (worker,) = server.workers()
    before = processes.memory(worker, "Rss")
    blocks = 1024 if buffering == "off" else 256
    sent, response = put(server, "/upload", blocks, block)
    assert (response.status, response.body.decode()) == (200, sent)
    assert processes.memory(worker, "Rss") - before < 16 << 20


def test_twenty_changes_under_load(launch, folder):
    write(folder, "page", HALVES.format(number=0))

    def configure(site):
        site.workers = 2
        where = f"root={folder}"
        site.location("/page", nginx=f"gangway_python_handler page {where}; gangway_python_handler output_filter page {where};")
        site.static("/files/", site.apps / "served", nginx=f"gangway_python_handler access page {where};")

    server = launch(configure, warm=["/page"])
    wrong, done, stop = [], [0], threading.Event()

    def ask():
        client = server.connect()
        while not stop.is_set():
            for path in ("/page", "/files/README"):
                client.request("GET", path)
                response = client.response()
                text = response.body.decode() if path == "/page" else response.header("X-Halves")
                first, _, second = (text or "none").partition(" ")
                if response.status != 200 or first != second:
                    wrong.append((path, response.status, text))
                done[0] += 1
                # After a thousand requests.
                if response.header("Connection") == "close":
                    client = server.connect()

    with ThreadPoolExecutor(8) as threads:
        clients = [threads.submit(ask) for _ in range(8)]
        try:
            for number in range(1, 21):
                write(folder, "page", HALVES.format(number=number))
                wanted = f"{number} {number}".encode()
                wait_until(lambda wanted=wanted: server.get("/page").body == wanted, "the changed module answers")
        finally:
            stop.set()
        for client in clients:
            client.result()
    assert not wrong, wrong[:3]
    assert done[0] > 200


def test_handlers_that_raise_in_every_phase(launch, folder):
    write(folder, "raises", RAISES)
    phases = ("init", "header_parser", "access", "fixup", "content", "output_filter", "log", "cleanup")
    words = ("inithandler", "headerparserhandler", "accesshandler", "fixuphandler", "handler", "outputfilter", "loghandler", "cleanuphandler", "none")

    def configure(site):
        site.workers = 1
        site.error_level = "debug"
        site.location("/x", nginx="\n".join(f"gangway_python_handler {phase} raises root={folder};" for phase in phases))

    server = launch(configure)
    server.log.allow("GW0319|GW0511")
    wrong = []

    def ask(number):
        for step in range(24):
            word = words[(number + step) % len(words)]
            response = server.get(f"/x?{word}")
            if response.status != (200 if word in ("loghandler", "cleanuphandler", "none") else 500):
                wrong.append((word, response.status))
            if response.status == 200 and response.body != b"fine " * 1000:
                wrong.append((word, "half an answer"))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]


def test_memory_stays_flat(launch, folder):
    write(folder, "raises", RAISES)

    def configure(site):
        site.workers = 1
        lines = "\n".join(f"gangway_python_handler {phase} raises root={folder};" for phase in ("access", "output_filter", "log"))
        site.static("/files/", site.apps / "served", nginx=lines)

    server = launch(configure)
    server.log.allow("GW0511")
    (worker,) = server.workers()

    def ask(count):
        client = server.connect()
        for _ in range(count):
            client.request("GET", "/files/README")
            assert client.response().status == 200

    load.stays_flat(worker, ask, clients=8, more=600)
