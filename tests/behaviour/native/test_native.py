# SPDX-License-Identifier: MIT OR Apache-2.0
"""gangway_native and GangwayNative: handlers that are shared objects, with the engines in C of tests/engines."""

import re
import subprocess

import pytest

from harness import places
from harness.deadline import wait_until
from harness.websocket import PING, PONG, SERVERS, TEXT, WebSocket, frame, handshake

ENGINES = places.REPOSITORY / "tests" / "engines"
INCLUDE = places.REPOSITORY / "include"


def compiled(source, target):
    """`source`, compiled as a newcomer would."""
    command = ["cc", "-shared", "-fPIC", "-pthread", f"-I{INCLUDE}", "-o", str(target), str(source)]
    subprocess.run(command, check=True, timeout=60)
    target.chmod(0o755)
    return target


@pytest.fixture
def build(scratch):
    """Compiles an engine of tests/engines, by its name there."""
    return lambda name: compiled(ENGINES / f"{name}.c", scratch / (name.replace("/", "-") + ".so"))


def native(site, path, *words, params=None):
    """Serves a native handler below `path`; the words are those of the directive."""
    words = " ".join(map(str, words))
    return site.location(
        path, params=params or {}, nginx=f"gangway_native {words};", apache=f"GangwayNative {words}"
    )


def test_the_smallest_handler_answers(launch, build):
    hello = build("good/hello")
    server = launch(lambda site: native(site, "/hello", hello), warm=["/hello"])
    answer = server.get("/hello")
    assert (answer.status, answer.body, answer.header("Content-Type")) == (200, b"Hello from C\n", "text/plain")
    assert server.request("HEAD", "/hello").body == b""


def test_the_example_of_the_documentation_compiles_and_answers(launch, scratch):
    page = (places.REPOSITORY / "docs" / "abi.md").read_text()
    example = re.search(r"```c\n(#include.*?)```", page.partition("## A native handler")[2], re.S)[1]
    assert len(example.splitlines()) <= 22
    (scratch / "hello.c").write_text(example)
    handler = compiled(scratch / "hello.c", scratch / "hello.so")
    server = launch(lambda site: native(site, "/", handler), warm=["/"])
    assert server.get("/").body == b"Hello from C\n"


def test_an_engine_in_c_has_websockets(launch, build):
    handler = build("good/loop")
    server = launch(lambda site: native(site, "/", handler, "ws_max_message=2m"), warm=["/"])
    client = WebSocket(server.connect(), "/echo")
    assert client.response.header("X-Engine") == "loop"
    client.send(PING, b"1")
    assert client.frame() == (PONG, b"1")
    for size in (1, 1_000_000):
        client.text("x" * size)
        client.expect_text("x" * size)
    client.close(1001)
    server.log.expect("closed with 1001")
    client = WebSocket(server.connect(), "/echo")
    client.text("fail")
    client.expect_close(1011)
    plain = server.connect()
    plain.request("GET", "/deny", handshake())
    assert plain.response().body == b"from the loop"


def talk(client, count):
    for number in range(count):
        client.text(str(number))
        client.expect_text(str(number))


def number_of(server, path):
    """What the engine says of itself: a number, and what it counts."""
    return int(server.get(path).body.split()[0])


@pytest.mark.servers(*SERVERS)
def test_the_loop_of_an_engine_in_c_reads_from_busy_clients(launch, build):
    handler = build("good/loop")
    server = launch(lambda site: native(site, "/", handler), warm=["/"])
    client = WebSocket(server.connect(), "/echo")
    talk(client, 60)
    before = number_of(server, "/reads")
    talk(client, 400)
    assert number_of(server, "/reads") - before > 200
    for number in range(20):
        client.send(PING, str(number).encode())
        assert client.frame() == (PONG, str(number).encode())
    talk(client, 60)
    client.text("close")
    client.expect_close(4001)
    wait_until(lambda: number_of(server, "/flights") == 1, "the engine has nothing of it")


@pytest.mark.servers(*SERVERS)
def test_busy_clients_of_an_engine_in_c_end_as_others_do(launch, build):
    handler = build("good/loop")
    server = launch(lambda site: native(site, "/", handler), warm=["/"])
    closing, leaving, resetting, staying = clients = [WebSocket(server.connect(), "/echo") for _ in range(4)]
    for client in clients:
        talk(client, 60)
    closing.close(1001, "busy until now")
    server.log.expect("closed with 1001: busy until now")
    leaving.connection.send(frame(TEXT, b"cut off")[:5])
    leaving.connection.close()
    server.log.expect("closed with 1006")
    resetting.connection.reset()
    wait_until(lambda: number_of(server, "/flights") == 2, "the engine has the one that stays, and the request that asks")
    before = number_of(server, "/reads")
    talk(staying, 200)
    assert number_of(server, "/reads") > before
    staying.close()


def test_an_engine_in_c_has_hints_and_trailers(launch, build):
    handler = build("good/loop")
    server = launch(lambda site: native(site, "/", handler), warm=["/"])
    client = server.connect()
    client.request("GET", "/framed", [("TE", "trailers"), ("Connection", "TE"), ("X-Part", "1")])
    hint = client.head()
    assert (hint.status, hint.header("Link")) == (103, "</style.css>; rel=preload")
    response = client.response()
    # httpd has no way for trailers, and the engine is told so.
    expected = (b"1 parts", []) if server.kind.startswith("apache") else (b"1 parts, summed", [("X-Sum", "13")])
    assert (response.body, response.trailers) == expected
    # Who has not asked for them gets none.
    client.request("GET", "/framed")
    assert client.head().status == 103
    assert client.response().body == b"0 parts"


def test_bodies_go_both_ways(launch, build):
    handler = build("good/native")
    server = launch(lambda site: native(site, "/n", f"{handler}:app", "threads=2"), warm=["/n/hello"])
    for size in (0, 1, 5000, 300_000):
        body = bytes(i % 251 for i in range(size))
        assert server.request("POST", "/n/echo", body=body).body == body, size
    assert server.get("/n/file").body == b"2345678"
    assert server.get("/n/owned?100").body == b"o" * 100_000


def test_options_params_and_two_handlers(launch, build):
    handler = build("good/native")

    def two(site):
        native(site, "/a", f"{handler}:app", "env=GREETING=one", "colour=blue", "threads=3", params={"MODE": "m"})
        native(site, "/b", f"{handler}:app", "env=GREETING=other", "queue=7", "timeout=9s")

    server = launch(two, warm=["/a/hello", "/b/hello"])
    assert (server.get("/a/hello").body, server.get("/b/hello").body) == (b"one", b"other")
    assert server.get("/a/options").body == b"env=GREETING=one\ncolour=blue\n"
    assert server.get("/b/options").body == b"env=GREETING=other\n"
    variables = server.get("/a/variables?x=1").body.decode().splitlines()
    assert {"MODE=m", "QUERY_STRING=x=1", "SCRIPT_NAME=/a", "PATH_INFO=/variables"} <= set(variables)


def test_errors_and_what_the_log_says(launch, build):
    handler = build("good/native")
    server = launch(lambda site: native(site, "/n", f"{handler}:app"), warm=["/n/hello"])
    assert server.get("/n/unknown").status == 404
    assert server.get("/n/fail").status == 500
    server.log.expect("failing as asked")
    assert server.get("/n/refused").status == 500
    server.log.expect("GW0501 response refused")
    assert server.get("/n/hello").status == 200


@pytest.mark.parametrize("timeout", ["off", "20s"])
def test_a_handler_that_answers_later(launch, build, timeout):
    handler = build("good/async")
    server = launch(lambda site: native(site, "/n", handler, f"timeout={timeout}"), warm=["/n/at-once"])
    assert server.get("/n/at-once").body == b"at once"
    assert server.get("/n/at-once").body == b"at once"


def test_a_broken_contract_costs_its_request(launch, build):
    broken, hello = build("bad/ok_without_finish"), build("good/hello")

    def both(site):
        native(site, "/broken", broken)
        native(site, "/hello", hello)

    server = launch(both, warm=["/hello"])
    assert server.get("/broken").status == 500
    server.log.expect(r"GW0207 handle\(\) returned 0 before finish\(\)")
    assert server.get("/hello").body == b"Hello from C\n"


def test_a_reload_brings_another_handler(launch, build):
    hello, handler = build("good/hello"), build("good/native")
    server = launch(lambda site: native(site, "/", hello), warm=["/"])
    text = server.configuration.read_text()
    server.rewrite(text.replace(str(hello), f"{handler}:app"))
    server.reload()
    assert server.get("/hello").body == b"Hello"


WRONG = {
    "missing": ("/no/handler.so", "GW0103", ["/no/handler.so", "create it or correct the path"]),
    "a folder": ("/usr", "GW0103", ["is not a file"]),
    "no shared object": ("/etc/passwd", "GW0201", ["/etc/passwd"]),
    "options first": ("threads=4", "GW0103", ["comes first", "/path/handler.so"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file(configtest, kind, name):
    word, code, parts = WRONG[name]
    result = configtest(lambda site: native(site, "/", word))
    refused(result, kind, code, *parts)


def refused(result, kind, code, *parts):
    assert result.status != 0, result.output
    lines = [line for line in result.output.splitlines() if code in line]
    assert len(lines) == 1, result.output
    directive = "GangwayNative" if kind.startswith("apache") else "gangway_native"
    for part in (directive, *parts):
        assert part in lines[0], lines[0]


def test_a_file_that_is_no_handler_or_of_another_version(configtest, kind, build):
    result = configtest(lambda site: native(site, "/", build("bad/no_entry")))
    refused(result, kind, "GW0202", "does not export gw_engine_entry")
    result = configtest(lambda site: native(site, "/", build("bad/wrong_major")))
    refused(result, kind, "GW0203", "speaks ABI 2.")


def test_wrong_options(configtest, kind, build):
    hello, stated = build("good/hello"), build("good/stated")
    refused(configtest(lambda site: native(site, "/", hello, "threads=0")), kind, "GW0102", "1 to 1024")
    refused(configtest(lambda site: native(site, "/", stated, "levl=1")), kind, "GW0101", 'did you mean "level="?')
    refused(configtest(lambda site: native(site, "/", stated, "level=10")), kind, "GW0102", "from 1 to 9")


@pytest.mark.parametrize(("word", "near"), [("thread=4", "threads"), ("Timeout=9s", "timeout"), ("pass_authorisation=on", "pass_authorization")])
def test_a_slip_of_the_pen_does_not_reach_a_handler_without_a_statement(configtest, kind, build, word, near):
    hello = build("good/hello")
    key = word.partition("=")[0]
    refused(
        configtest(lambda site: native(site, "/", hello, word)),
        kind,
        "GW0101",
        f'unknown option "{key}" in "{word}": did you mean "{near}="?',
    )
