# SPDX-License-Identifier: MIT OR Apache-2.0
"""ASGI: an application on an event loop in the web server, beside servers of ASGI behind it; WebSockets and visitors beside those servers alone."""

import argparse
import json
from pathlib import Path

from harness.asgi_peers import ALONE_PEERS, ASGI_PEERS
from harness.scenarios import BODY, HELLO, PATTERN, POSTED, STREAMED, Scenario
from suites import wsgi

# Of the web server alone: hello at 32 connections.
CEILINGS = {"nginx": 2.1, "httpd": 1.2}
GREETING, GREETING_OF_FASTAPI = b'{"message": "Hello, World!"}', b'{"message":"Hello, World!"}'
PLAIN = "asgi_plain"
SCENARIOS = (
    Scenario("hello", "ASGI hello", HELLO, module=PLAIN),
    Scenario("fastapi", "FastAPI hello", GREETING_OF_FASTAPI, module="fastapi_hello"),
    Scenario("json", "ASGI JSON", GREETING, module=PLAIN),
    Scenario("body", "ASGI 64 KiB body", BODY, module=PLAIN),
    Scenario("echo", "ASGI POST echo of 16 KiB", POSTED, module=PLAIN, posted=POSTED),
    Scenario("stream", "ASGI stream of 100 x 1 KiB", STREAMED, module=PLAIN),
    Scenario("io", "ASGI 10 ms of I/O", HELLO, module=PLAIN, connections=(64,), mpm_threads=96, waits=True),
    Scenario("io1000", "ASGI 10 ms of I/O", HELLO, module=PLAIN, connections=(1000,), waits=True),
)
# 64 KiB that can be compressed as much as data can.
RECORDS = [{"id": number, "name": f"record {number * 7919 % 1009}", "value": number * number % 9973} for number in range(1350)]
RECORDED = json.dumps(RECORDS).encode()[: 64 * 1024]
# What answers to a plain request for the same path is HELLO.
ALONE = (
    Scenario("ws", "WebSocket echo of 32 bytes", HELLO, module=PLAIN, message=PATTERN * 2),
    Scenario("ws64k", "WebSocket echo of 64 KiB", HELLO, module=PLAIN, message=BODY, connections=(32,)),
    Scenario("ws1000", "WebSocket echo of 32 bytes", HELLO, module=PLAIN, message=PATTERN * 2, connections=(1000,)),
    Scenario("wsdeflate", "WebSocket echo of 64 KiB, compressed", HELLO, module=PLAIN, message=RECORDED, deflate=True, connections=(32,)),
    Scenario("wsoffer", "WebSocket echo of 32 bytes, with deflate", HELLO, module=PLAIN, message=PATTERN * 2, deflate=True, connections=(32,)),
)
VISITS = (Scenario("visits", "visitors of an idle server, one at a time", HELLO, module=PLAIN, connections=(1,), visits=True),)
SCENARIO_NAMES = [scenario.name for scenario in (*SCENARIOS, *ALONE, *VISITS)]
DEFAULTS = wsgi.DEFAULTS
QUICK = {"rounds": 2, "seconds": 0.5, "connections": (32, 64, 1000)}


def cannot_run() -> str | None:
    return None


def run(options: argparse.Namespace, scratch: Path) -> dict:
    print("CPU us: user + system time of the server and the application per request or message; xceiling, xbest: that against the web")
    print("server alone and the best peer behind the same server, or of all (WebSockets, visitors); p99: against the quickest peer's p99")
    nobody = {"alone": 0.0}
    parts = [
        wsgi.run_all(wsgi.Field(ASGI_PEERS, SCENARIOS, CEILINGS), options, scratch),
        wsgi.run_all(wsgi.Field(ALONE_PEERS, ALONE, nobody), options, scratch),
        wsgi.run_all(wsgi.Field(ALONE_PEERS, VISITS, nobody), argparse.Namespace(**vars(options) | {"connections": None}), scratch),
    ]
    return {name: [one for part in parts for one in part[name]] for name in ("groups", "verdicts")} | {"idle": parts[0]["idle"]}
