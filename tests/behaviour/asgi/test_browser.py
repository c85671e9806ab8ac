# SPDX-License-Identifier: MIT OR Apache-2.0
"""A real browser as a client of WebSockets and of server-sent events."""

import contextlib
import json
import shutil
import subprocess

import pytest

from harness.deadline import wait_until
from harness.websocket import SERVERS

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.servers(*SERVERS),
]

WARM = ("/hello",)


def configure(site, kind):
    site.tls = True
    site.http2 = True
    site.apache_main = "H2WebSockets on"
    site.asgi("/", "asgi_browser:app")


@contextlib.contextmanager
def chromium(folder, url):
    basic = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--ignore-certificate-errors"]
    command = [CHROMIUM, *basic, "--remote-debugging-port=0", f"--user-data-dir={folder}/profile", url]
    output = (folder / "chromium.log").open("wb")
    browser = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield
    finally:
        browser.terminate()
        browser.wait(60)
        output.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_it_speaks_with_the_application(server, gate, tmp_path, kind, scheme):
    port = server.ports["tls" if scheme == "https" else "http"]
    with chromium(tmp_path, f"{scheme}://localhost:{port}/page?{gate.query}"):
        found = json.loads(gate.visitor(timeout=120).next())
        # The browser has closed its stream of events, and the application knows.
        wait_until(lambda: server.get("/streams").text == "0", "the stream has ended")
    # nginx has no extended CONNECT.
    assert found.pop("version") == ("2" if scheme == "https" and kind == "apache" else "1.1")
    assert found.pop("echoes") == [True, True, True]
    echo = found.pop("echo")
    assert "permessage-deflate" in echo.pop("extensions")
    # The answer to a close frame has its number alone.
    assert echo == {"code": 4001, "reason": "", "wasClean": True, "protocol": "b"}
    last = found.pop("last")
    assert (last["heard"], last["code"], last["wasClean"]) == (["last words"], 1000, True)
    assert found.pop("refused")["code"] == 1006
    assert found == {"events": ["1 event", "2 event", "3 event", "after 3 resumed"]}
