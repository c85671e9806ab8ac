#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Many idle WebSockets in one process of a web server: memory of each, the latency of plain requests meanwhile, whether each gets its ping, and how a
reload ends them. In httpd, its event MPM has one child of 25 threads.

    benches/sockets.py [--server nginx|httpd] [--sockets 10000] [--ping 10] [--drain 5] [--app asgi_plain:application]
                       [--request-pool 4k]

Server and clients share the machine, so latencies are compared with those without sockets, of the same run.
"""

import argparse
import contextlib
import os
import re
import resource
import select
import signal
import socket
import sys
import tempfile
import time
import traceback
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

from harness import processes  # noqa: E402
from harness.peers import APPS, DIST, HTTPD, NGINX, VENV, asked  # noqa: E402
from harness.running import free_port  # noqa: E402
from harness.sockets import CLOSE, PING, PONG, TEXT, connect, frame, head  # noqa: E402

PARALLEL = 200
NGINX_CONFIGURATION = """\
load_module {dist}/ngx_http_gangway_module.so;
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile {files};
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        request_pool_size {pool};
        location / {{ gangway_asgi {target} in_flight={most} ws_ping={ping}s ws_drain={drain}s; }}
    }}
}}
"""

HTTPD_CONFIGURATION = """\
ServerRoot {folder}
DefaultRuntimeDir {folder}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule gangway_module {dist}/mod_gangway.so
{user}
ServerName localhost
Listen 127.0.0.1:{port}
ListenBacklog 4096
PidFile {folder}/httpd.pid
ErrorLog {folder}/error.log
LogLevel warn
MaxKeepAliveRequests 0
ThreadsPerChild 25
ThreadLimit 25
StartServers 1
ServerLimit 3
MaxRequestWorkers 25
MinSpareThreads 1
MaxSpareThreads 75
AsyncRequestWorkerFactor {connections}
<Location />
    GangwayASGI {target} in_flight={most} ws_ping={ping}s ws_drain={drain}s
</Location>
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", choices=("nginx", "httpd"), default="nginx")
    parser.add_argument("--sockets", type=int, default=10000)
    parser.add_argument("--ping", type=int, default=10, help="ws_ping= in seconds")
    parser.add_argument("--drain", type=int, default=5, help="ws_drain= in seconds")
    parser.add_argument("--app", default="asgi_plain:application", help="a module in benches/apps/ and its application, which echoes at /ws")
    parser.add_argument("--request-pool", default="4k", help="request_pool_size of nginx, whose default is 4k")
    parser.add_argument("--requests", type=int, default=2000, help="plain requests of each measurement of latency")
    return parser.parse_args()


class Server:
    def __init__(self, options, folder):
        self.port = free_port()
        is_nginx, is_root = options.server == "nginx", os.geteuid() == 0
        text = (NGINX_CONFIGURATION if is_nginx else HTTPD_CONFIGURATION).format(
            dist=DIST,
            modules="" if is_nginx else asked("apxs", "-q", "LIBEXECDIR"),
            user=("user root;" if is_nginx else "User www-data\nGroup www-data") if is_root else "",
            files=options.sockets + 1000,
            folder=folder,
            connections=options.sockets + 500,
            port=self.port,
            target=f"{options.app} root={APPS} venv={VENV}",
            most=options.sockets + 100,
            ping=options.ping,
            pool=options.request_pool,
            drain=options.drain,
        )
        (folder / "server.conf").write_text(text)
        self.graceful = signal.SIGHUP if is_nginx else signal.SIGUSR1
        command = [NGINX, "-p", str(folder), "-e", f"{folder}/error.log", "-c", f"{folder}/server.conf"]
        if not is_nginx:
            command = [HTTPD, "-d", str(folder), "-f", f"{folder}/server.conf", "-DFOREGROUND"]
        self.process = processes.start(command, folder, folder, {})
        until(lambda: self.asked() and self.workers(), 20)

    def asked(self):
        try:
            return bool(latencies(self.port, 3))
        except OSError:
            return False

    def workers(self):
        """Those processes that have the application's loop."""
        children = [pid for pid in processes.tree([self.process.pid]) if pid != self.process.pid]
        return [pid for pid in children if "gw-loop" in names_of_threads(pid)]

    def stop(self):
        processes.stop([self.process])


def names_of_threads(pid):
    names = set()
    for file in Path(f"/proc/{pid}/task").glob("*/comm"):
        # A thread may end meanwhile.
        with contextlib.suppress(OSError):
            names.add(file.read_text().strip())
    return names


def until(ready, seconds):
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError("it does not become ready")
        time.sleep(0.05)


def memory(pid):
    """Bytes of the process that are its own."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(value) for value in re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.M)) * 1024


def ask(client):
    """One plain request: whether the connection stays."""
    client.sendall(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = client.recv(65536)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(answer[:100])
    return b"Connection: close" not in answer


def latencies(port, count):
    """Seconds of plain requests one after the other, a millisecond apart, on a connection that is kept where the server keeps it."""
    times, client = [], None
    while len(times) < count:
        began, is_new = time.monotonic(), client is None
        client = client or socket.create_connection(("127.0.0.1", port), timeout=30)
        try:
            stays = ask(client)
        except OSError:
            if is_new:
                raise
            # A server may close an idle connection at any time.
            stays = False
        else:
            times.append(time.monotonic() - began)
        if not stays:
            client.close()
            client = None
        time.sleep(0.001)
    return times


def told(name, times):
    times = sorted(times)
    share = lambda part: times[min(len(times) - 1, int(len(times) * part))] * 1000
    print(f"{name}: median {median(times) * 1000:.2f} ms, p99 {share(0.99):.2f} ms, longest {share(1.0):.2f} ms", flush=True)


class Crowd:
    """All the clients, answering pings from a process of their own, so that the measuring one is not kept from measuring."""

    def __init__(self, port, count):
        self.clients = {}
        self.poll = select.epoll()
        self.pinged, self.closed, self.other = set(), {}, 0
        for number in range(count):
            client = connect(port, "/ws")[0]
            self.clients[client.fileno()] = client
            self.poll.register(client.fileno(), select.EPOLLIN)
            if number % 50 == 0:
                # Opening takes long enough for pings.
                self.hear(0.0)

    def listen(self, until):
        """Hears what comes until that moment, or until nobody is left."""
        while time.monotonic() < until and len(self.closed) < len(self.clients):
            self.hear(min(0.2, max(0.0, until - time.monotonic())))

    def hear(self, wait):
        for number, _ in self.poll.poll(wait):
            client = self.clients[number]
            try:
                self.take(number, client, client.recv(65536))
            except OSError:
                self.take(number, client, b"")

    def take(self, number, client, block):
        if not block:
            self.poll.unregister(number)
            self.closed.setdefault(number, (0, time.monotonic()))
        while len(block) >= 2:
            opcode, length = block[0] & 15, block[1]
            payload, block = block[2 : 2 + length], block[2 + length :]
            if opcode == PING:
                self.pinged.add(number)
                client.sendall(frame(PONG, payload))
            elif opcode == CLOSE:
                self.closed[number] = (int.from_bytes(payload[:2], "big"), time.monotonic())
                client.sendall(frame(CLOSE, payload[:2]))
            else:
                self.other += 1

    def speak(self, every):
        """Whether some of them still have their echo."""
        heard = 0
        for client in list(self.clients.values())[::every]:
            client.sendall(frame(TEXT, b"still there"))
            answer = b""
            while not answer.endswith(b"still there"):
                answer += client.recv(65536)
            heard += head(TEXT, 11, 0) + b"still there" in answer
        return heard


def crowd_of(port, count):
    """The crowd in a process of its own, with a pipe for words to it and one for what it says."""
    orders_out, orders_in = os.pipe()
    words_out, words_in = os.pipe()
    if pid := os.fork():
        return pid, os.fdopen(orders_in, "w", buffering=1), os.fdopen(words_out)
    os.close(orders_in), os.close(words_out)
    try:
        serve_orders(Crowd(port, count), os.fdopen(orders_out), os.fdopen(words_in, "w", buffering=1))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def serve_orders(crowd, orders, words):
    words.write("open\n")
    while order := orders.readline().split():
        if order[0] == "listen":
            begun = time.monotonic()
            crowd.listen(begun + float(order[1]))
            codes = [code for code, _ in crowd.closed.values()]
            took = max((at for _, at in crowd.closed.values()), default=begun) - begun
            first = min((at for _, at in crowd.closed.values()), default=begun) - begun
            words.write(f"{len(crowd.pinged)} {codes.count(1012)} {len(codes)} {first:.2f} {took:.2f}\n")
        else:
            words.write(f"{crowd.speak(int(order[1]))}\n")


def main():
    options = arguments()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, options.sockets + 2000), most))
    with tempfile.TemporaryDirectory(prefix="gangway-sockets-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = Server(options, folder)
        try:
            measure(options, server)
        finally:
            server.stop()
            print("".join((folder / "error.log").read_text().splitlines(keepends=True)[:20]), end="")


def heard(words):
    line = words.readline()
    if not line:
        raise ConnectionError("the clients have failed")
    return line.split()


def measure(options, server):
    (worker,) = server.workers()
    # What a process needs once is there before anything is counted.
    warm, orders, words = crowd_of(server.port, PARALLEL)
    heard(words)
    orders.close()
    os.waitpid(warm, 0)
    time.sleep(1)
    told("plain requests without WebSockets", latencies(server.port, options.requests))
    before, begun = memory(worker), time.monotonic()
    crowd, orders, words = crowd_of(server.port, options.sockets)
    heard(words)
    opened = time.monotonic() - begun
    each = (memory(worker) - before) / options.sockets / 1024
    print(f"{options.sockets} WebSockets opened in {opened:.1f} s: {each:.1f} KiB each, {before / 2**20:.1f} MiB before", flush=True)
    orders.write(f"listen {options.ping + 5}\n")
    told("plain requests while they are idle, and pinged", latencies(server.port, options.requests))
    pinged, _, closed, *_ = heard(words)
    print(f"{pinged} of them have been pinged, {closed} are closed", flush=True)
    every = max(options.sockets // 100, 1)
    orders.write(f"speak {every}\n")
    print(f"{heard(words)[0]} of {len(range(0, options.sockets, every))} have had their echo", flush=True)
    each = (memory(worker) - before) / options.sockets / 1024
    print(f"{each:.1f} KiB each after pings", flush=True)
    orders.write(f"listen {options.drain + 10}\n")
    server.process.send_signal(server.graceful)
    until(lambda: any(other != worker for other in server.workers()), 20)
    told("plain requests during the reload", latencies(server.port, options.requests))
    _, restarted, closed, first, last = heard(words)
    print(f"a reload: {restarted} of {closed} closed with 1012, the first after {first} s, the last after {last} s", flush=True)
    until(lambda: worker not in server.workers(), options.drain + 20)
    print("the old worker has ended", flush=True)
    orders.close()
    os.waitpid(crowd, 0)


if __name__ == "__main__":
    main()
