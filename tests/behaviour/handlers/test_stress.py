# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handlers of all phases under load, while the server is reloaded again and again, and handlers that raise beside them."""

import threading

import pytest

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache", "apache-worker", "apache-prefork")

MODULE = """
from mod_python import apache

def handler(req):
    req.set_content_length(6000)
    req.write("hello " * 1000)
    return apache.OK

def accesshandler(req):
    return apache.OK

def echo(req):
    req.write(req.read())
    return apache.OK

def passes(filter):
    filter.pass_on()

def fails(argument):
    raise ValueError("on purpose")

def early(req):
    if req.uri == "/bad/post_read_request":
        raise ValueError("on purpose")
    return apache.OK

def translates(req):
    if req.uri == "/bad/trans":
        raise ValueError("on purpose")
    return apache.DECLINED
"""
#: Phases in which a handler raises, and the status that comes of it.
PHASES = dict.fromkeys(("init", "header_parser", "access", "authen", "authz", "fixup", "content", "output_filter"), 500) | {"log": 200, "cleanup": 200}
EARLY = ("post_read_request", "trans")
#: Those that httpd alone has. Of a filter of requests it is the reading of the handler that fails.
OF_HTTPD = {"type": 500, "input_filter": 500}
CLIENTS, THREADS = 64, 64
#: Processes of prefork, of one request each, end one after the other.
RELOADS = {"nginx": 10, "nginx128": 10, "apache-prefork": 2}
HELLO, SENT = b"hello " * 1000, b"sent " * 400


def test_reloads_under_load_with_handlers_that_raise(launch, scratch, kind):
    folder = scratch / "stress"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "stress.py").write_text(MODULE)
    is_httpd = kind.startswith("apache")
    phases = PHASES | (OF_HTTPD if is_httpd else {})
    where = f"root={folder}" if is_httpd else f"root={folder} threads={THREADS}"

    def configure(site):
        site.workers = 8 if kind == "apache-prefork" else 1
        site.threads_per_child = THREADS
        site.handlers = (f"post_read_request stress::early {where}", f"trans stress::translates {where}")
        fine = (f"stress {where}", f"access stress {where}", f"log stress::accesshandler {where}", f"output_filter stress::passes {where}")
        site.location("/fine", handlers=fine)
        site.location("/echo", handlers=(f"stress::echo {where}",))
        for phase in phases:
            lines = [f"{phase} stress::fails {where}"]
            if phase != "content":
                lines.append(f"stress::{'echo' if phase == 'input_filter' else 'handler'} {where}")
            site.location(f"/bad/{phase}", handlers=lines)
        for phase in EARLY:
            site.location(f"/bad/{phase}", handlers=(f"stress {where}",))

    server = launch(configure, warm=["/fine"])
    server.log.allow("GW0319|client denied|AH00|AH03" if is_httpd else "GW0319|GW0510|Traceback|File |ValueError|raise |^\\s|\\]\\s{2,}")
    paths = [("/fine", 200), ("/echo", 200), *((f"/bad/{phase}", status) for phase, status in phases.items()), *((f"/bad/{phase}", 500) for phase in EARLY)]
    done, wrong, seen = threading.Event(), [], []

    def ask(number):
        while not done.is_set() and not wrong:
            path, status = paths[number % len(paths)]
            number += 1
            try:
                response = server.post(path, SENT) if path in ("/echo", "/bad/input_filter") else server.get(path)
            except Exception as error:
                wrong.append((path, error))
                return
            expected = SENT if path == "/echo" else HELLO
            if response.status != status or (status == 200 and response.body != expected):
                wrong.append((path, response.status, len(response.body)))
            seen.append(path)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(RELOADS.get(kind, 4)):
            server.reload()
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert wrong == [] and set(seen) == {path for path, _ in paths}
