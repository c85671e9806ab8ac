#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Mixed load on an ASGI application in one process of a web server for minutes: requests on new and on kept connections, uploads, streams, clients that
leave in the middle, WebSockets that stay, echo and come and go. Says what has failed, and the memory of the worker as time goes by.

    benches/soak.py [--server nginx|httpd] [--minutes 10] [--app asgi_plain:application] [--loop auto]
    benches/soak.py [--server nginx|httpd] [--minutes 10] --handlers

With --handlers handlers of mod_python's API run instead: a hello, sessions, forms with a file, a check that refuses, an output filter, a log handler, and
those that raise.
"""

import argparse
import asyncio
import collections
import os
import random
import re
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

from harness import processes  # noqa: E402
from harness.peers import APPS, DIST, HTTPD, NGINX, VENV  # noqa: E402
from harness.running import free_port  # noqa: E402
from harness.sockets import CLOSE, HANDSHAKE, PING, PONG, TEXT, frame  # noqa: E402

NGINX_CONFIGURATION = """\
load_module {dist}/ngx_http_gangway_module.so;
daemon off;
{user}
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log warn;
events {{ worker_connections 2000; }}
http {{
    access_log off;
    keepalive_requests 1000;
    client_body_buffer_size 512k;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        {locations}
    }}
}}
"""
HTTPD_CONFIGURATION = """\
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/pid
Mutex file:{folder} default
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule gangway_module {dist}/mod_gangway.so
ServerName localhost
Listen 127.0.0.1:{port}
{user}
ErrorLog {folder}/error.log
LogLevel warn
ThreadsPerChild 32
ThreadLimit 32
ServerLimit 2
StartServers 1
MaxRequestWorkers 32
MinSpareThreads 1
MaxSpareThreads 64
AsyncRequestWorkerFactor 40
MaxKeepAliveRequests 1000
{locations}
"""
# By path: the handlers of phases there, content first.
HANDLERS = {
    "/": ["hello"],
    "/session": ["session"],
    "/form": ["form"],
    "/checked": ["hello", "access check", "log note"],
    "/upper": ["hello", "output_filter upper"],
    "/fails": ["fails"],
}


RAISED = re.compile(r"Traceback|handler_soak|raise ValueError|ValueError: /fails|GW0319")


def locations(options):
    """The part of the configuration that is about what is measured."""
    is_nginx = options.server == "nginx"
    if not options.handlers:
        words = f"{options.app} root={APPS} venv={VENV} ws_ping=5s loop={options.loop}"
        return f"location / {{ gangway_asgi {words}; }}" if is_nginx else f'<Location "/">\nGangwayASGI {words}\n</Location>'
    found = []
    for path, handlers in HANDLERS.items():
        words = [" ".join([*handler.split()[:-1], f"handler_soak::{handler.split()[-1]} root={APPS}"]) for handler in handlers]
        place = f"= {path}" if is_nginx else f'"{path}"'
        lines = [f"gangway_python_handler {word};" if is_nginx else f"GangwayPythonHandler {word}" for word in words]
        opened, closed = (f"location {place} {{", "}") if is_nginx else (f"<Location {place}>", "</Location>")
        found += [opened, *lines, closed]
    return "\n".join(found)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", choices=["nginx", "httpd"], default="nginx")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--app", default="asgi_plain:application", help="a module in benches/apps/ and its application")
    parser.add_argument("--loop", default="auto")
    parser.add_argument("--handlers", action="store_true", help="handlers of mod_python's API in the place of an application")
    parser.add_argument("--pause", type=float, default=0.01, help="seconds between two things that a client does")
    return parser.parse_args()


class Server:
    def __init__(self, options, folder):
        self.port, self.folder = free_port(), folder
        is_root = os.geteuid() == 0
        user = "User www-data\nGroup www-data" if options.server == "httpd" else "user root;"
        template = NGINX_CONFIGURATION if options.server == "nginx" else HTTPD_CONFIGURATION
        text = template.format(
            dist=DIST,
            folder=folder,
            port=self.port,
            locations=locations(options),
            user=user if is_root else "",
            modules="/usr/lib/apache2/modules",
        )
        (folder / "server.conf").write_text(text)
        nginx = [NGINX, "-p", str(folder), "-e", f"{folder}/error.log", "-c", f"{folder}/server.conf"]
        command = nginx if options.server == "nginx" else [HTTPD, "-f", f"{folder}/server.conf", "-DFOREGROUND"]
        self.process = processes.start(command, folder, folder, {})

    def worker(self):
        """The one with the application: it is the largest."""
        found = [pid for pid in processes.tree([self.process.pid]) if pid != self.process.pid]
        return max(found, key=lambda pid: int(Path(f"/proc/{pid}/statm").read_text().split()[1]), default=None)

    def memory(self, worker):
        lines = Path(f"/proc/{worker}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


class Crowd:
    def __init__(self, port, pause):
        self.port, self.pause = port, pause
        self.done, self.failures = collections.Counter(), []
        self.over = asyncio.Event()

    async def repeat(self, act):
        while not self.over.is_set():
            try:
                await asyncio.wait_for(act(), 300)
                self.done[act.__name__] += 1
            except Exception as error:
                self.failures.append(f"{act.__name__}: {error!r}")
                await asyncio.sleep(0.1)

    async def connect(self):
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, reader, writer, path, body=b"", closes=False, status=200, fields=""):
        more = fields + ("Connection: close\r\n" if closes else "")
        method = f"POST {path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n" if body else f"GET {path} HTTP/1.1\r\n"
        writer.write(f"{method}Host: localhost\r\n{more}\r\n".encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 %d " % status), head[:60]
        if b"transfer-encoding: chunked" in head:
            found = b""
            while size := int(await reader.readline(), 16):
                found += await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readexactly(2)
        else:
            found = await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        return found, b"connection: close" not in head

    async def fresh(self):
        reader, writer = await self.connect()
        assert (await self.ask(reader, writer, "/", closes=True))[0] == b"Hello, World!\n"
        writer.close()
        await asyncio.sleep(self.pause)

    async def kept(self):
        reader, writer = await self.connect()
        stays, turns, until = True, 0, time.monotonic() + 20
        while stays and time.monotonic() < until and not self.over.is_set():
            path = random.choice(("/", "/json", "/io", "/body"))
            try:
                found, stays = await self.ask(reader, writer, path)
            except (asyncio.IncompleteReadError, ConnectionResetError, BrokenPipeError) as error:
                # RFC 9112 section 9.3.1: a server may end an idle connection at any time; not a byte of an answer has come.
                assert turns and not getattr(error, "partial", b""), repr(error)
                break
            turns += 1
            assert len(found) == {"/": 14, "/json": 28, "/io": 14, "/body": 65536}[path], path
            await asyncio.sleep(self.pause)
        writer.close()

    async def handled(self):
        """Handlers, one after the other, on a connection of twenty seconds."""
        reader, writer = await self.connect()
        part = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
        stays, until = True, time.monotonic() + 20
        while stays and time.monotonic() < until and not self.over.is_set():
            path, status = random.choice((("/", 200), ("/session", 200), ("/form", 200), ("/checked", 200), ("/checked?no", 403), ("/upper", 200), ("/fails", 500)))
            size, body, fields = random.choice((10, 20_000)), b"", ""
            if path == "/form":
                body = part % (b"name", b"", b"somebody") + part % (b"file", b'; filename="f"', b"y" * size) + b"--x--\r\n"
                fields = "Content-Type: multipart/form-data; boundary=x\r\n"
            found, stays = await self.ask(reader, writer, path, body, status=status, fields=fields)
            wanted = {"/": b"Hello, World!\n", "/checked": b"Hello, World!\n", "/upper": b"HELLO, WORLD!\n", "/form": b"somebody %d\n" % size, "/session": b"1\n"}
            assert found == wanted.get(path, found), (path, found)
            self.done[path] += 1
            await asyncio.sleep(self.pause)
        writer.close()

    async def upload(self):
        reader, writer = await self.connect()
        body = os.urandom(random.choice((10, 16384, 300_000)))
        assert (await self.ask(reader, writer, "/echo", body, closes=True))[0] == body
        writer.close()
        await asyncio.sleep(self.pause)

    async def stream(self):
        reader, writer = await self.connect()
        assert (await self.ask(reader, writer, "/stream", closes=True))[0] == b"x" * 102400
        writer.close()
        await asyncio.sleep(self.pause)

    async def leave(self):
        """In the middle of an answer, before one, or in the middle of a body."""
        reader, writer = await self.connect()
        writer.write(random.choice((b"GET /stream", b"GET /io", b"POST /echo")) + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf")
        await asyncio.sleep(random.random() * self.pause)
        writer.transport.abort()

    async def opened(self):
        reader, writer = await self.connect()
        writer.write(HANDSHAKE.format(path="/ws", offer="").encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head[:60]
        return reader, writer

    async def heard(self, reader, writer):
        """The next frame that is no ping."""
        while True:
            first, length = await reader.readexactly(2)
            if length == 126:
                length = int.from_bytes(await reader.readexactly(2), "big")
            elif length == 127:
                length = int.from_bytes(await reader.readexactly(8), "big")
            payload = await reader.readexactly(length)
            if first & 15 != PING:
                return first & 15, payload
            writer.write(frame(PONG, payload))

    async def talk(self):
        reader, writer = await self.opened()
        for _ in range(random.randrange(1, 100)):
            said = b"x" * random.choice((1, 200, 5000, 70_000))
            writer.write(frame(TEXT, said))
            assert await self.heard(reader, writer) == (TEXT, said)
            await asyncio.sleep(self.pause)
        if random.random() < 0.5:
            writer.transport.abort()
            return
        writer.write(frame(CLOSE, b"\x03\xe8"))
        assert (await self.heard(reader, writer))[0] == CLOSE
        assert not await reader.read()
        writer.close()

    async def stay(self):
        """Idle, answering pings."""
        reader, writer = await self.opened()
        hears = asyncio.ensure_future(self.heard(reader, writer))
        await asyncio.wait([hears, asyncio.ensure_future(asyncio.sleep(20 + 20 * random.random()))], return_when="FIRST_COMPLETED")
        assert not hears.done(), "it has been closed"
        hears.cancel()
        writer.transport.abort()


async def soak(options, server):
    crowd = Crowd(server.port, options.pause)
    until = time.monotonic() + 30
    while True:
        try:
            await crowd.fresh()
            break
        except (OSError, EOFError, AssertionError):
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.1)
    worker = server.worker()
    work = [crowd.fresh] * 3 + [crowd.kept] * 4 + [crowd.upload] * 3 + [crowd.stream] * 3 + [crowd.leave] * 3
    work += [crowd.talk] * 6 + [crowd.stay] * 40
    if options.handlers:
        work = [crowd.fresh] + [crowd.handled] * 16
    tasks = [asyncio.ensure_future(crowd.repeat(act)) for act in work]
    begun = time.monotonic()
    while time.monotonic() - begun < options.minutes * 60:
        await asyncio.sleep(min(30, options.minutes * 6))
        minutes = (time.monotonic() - begun) / 60
        print(f"{minutes:5.1f} min: {server.memory(worker):7d} KiB, {sum(crowd.done.values())} done, {len(crowd.failures)} failed", flush=True)
    assert server.worker() == worker, "the worker has been replaced"
    crowd.over.set()
    await asyncio.gather(*tasks)
    await asyncio.sleep(6)
    descriptors = len(os.listdir(f"/proc/{worker}/fd"))
    print(f"at rest:   {server.memory(worker):7d} KiB, {descriptors} descriptors; {dict(crowd.done)}", flush=True)
    print("\n".join(crowd.failures[:10]), flush=True)
    return not crowd.failures


def main():
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="gangway-soak-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = Server(options, folder)
        try:
            is_good = asyncio.run(soak(options, server))
        finally:
            processes.stop([server.process])
            log = folder / "error.log"
            lines = log.read_text().splitlines(keepends=True) if log.exists() else ["no log\n"]
            # Handlers that raise are meant to.
            print("".join([line for line in lines if not (options.handlers and RAISED.search(line))][:20]), end="")
    sys.exit(not is_good)


if __name__ == "__main__":
    main()
