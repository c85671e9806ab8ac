# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handlers in nginx as they live: what the configuration test refuses, changed modules, reloads, subrequests, other modules beside them."""

import os
import shutil

import pytest

from harness.deadline import wait_until

pytestmark = pytest.mark.servers("nginx", "nginx128")

PAGE = '''
from mod_python import apache
import part

def handler(req):
    req.write(part.TEXT)
    return apache.OK

def accesshandler(req):
    req.headers_out["X-Part"] = part.TEXT
    return apache.OK if req.args != "no" else apache.HTTP_FORBIDDEN
'''


@pytest.fixture
def folder(scratch):
    folder = scratch / "handlers"
    folder.mkdir()
    (folder / "page.py").write_text(PAGE)
    (folder / "part.py").write_text('TEXT = "first"\n')
    folder.chmod(0o755)
    return folder


def change(folder, text):
    (folder / "new").write_text(text)
    os.replace(folder / "new", folder / "part.py")


def test_a_changed_module_is_used_and_a_broken_one_is_not(launch, folder):
    def configure(site):
        where = f"root={folder}"
        site.location("/page", nginx=f"gangway_python_handler page {where};")
        site.static("/files/", site.apps / "served", nginx=f"gangway_python_handler access page {where};")

    server = launch(configure)
    assert server.get("/page").body == b"first"
    change(folder, 'TEXT = "second"\n')
    wait_until(lambda: server.get("/page").body == b"second", "the changed module answers")
    assert server.get("/files/README").header("X-Part") == "second"
    change(folder, "TEXT = (\n")

    def said():
        assert server.get("/page").body == b"second"
        return server.log.find("GW0320")

    wait_until(said, "the log says that the module is broken")
    server.log.expect("GW0320")
    change(folder, 'TEXT = "third"\n')
    wait_until(lambda: server.get("/page").body == b"third", "the mended module answers")


def test_no_request_is_lost_when_nginx_is_reloaded(launch, folder):
    def configure(site):
        site.workers = 2
        site.static("/files/", site.apps / "served", nginx=f"gangway_python_handler access page root={folder};")
        site.location("/page", nginx=f"gangway_python_handler page root={folder};")

    server = launch(configure, warm=["/page"])
    for number in range(3):
        change(folder, f'TEXT = "{number}"\n')
        server.reload()
        wait_until(lambda number=number: server.get("/page").body == str(number).encode(), "the new workers answer")
        assert server.get("/files/README?no").status == 403


def test_with_the_debug_log_of_nginx(launch, folder):
    def configure(site):
        site.error_level = "debug"
        site.location(
            "/page", nginx=f"gangway_python_handler access page root={folder}; gangway_python_handler page root={folder};"
        )
        site.static("/files/", site.apps / "served", nginx=f"gangway_python_handler access page root={folder};")

    server = launch(configure)
    server.log.allow("No such file")
    client = server.connect()
    for path, status in (("/page", 200), ("/page?no", 403), ("/files/README", 200), ("/files/none", 404)) * 3:
        client.request("GET", path)
        assert client.response().status == status


def test_parts_of_a_page_have_handlers_of_their_own(launch, folder):
    def configure(site):
        site.location("/page", nginx=f"gangway_python_handler page root={folder};")
        site.location("/outer", nginx=f'gangway_python_handler access page root={folder}; add_after_body /page; addition_types *; alias {site.apps}/served/README;')

    server = launch(configure)
    response = server.get("/outer")
    assert response.status == 200 and response.body.endswith(b"first")
    assert server.get("/outer?no").status == 403


def test_a_python_that_cannot_be_loaded_lets_nobody_in(launch, folder, scratch):
    broken = scratch / "broken"
    broken.mkdir()
    (broken / "mod_python.py").write_text("")

    def configure(site):
        site.static("/files/", site.apps / "served", nginx=f"gangway_python_handler access none_such root={folder};")

    server = launch(configure)
    server.log.allow("GW0319")
    assert server.get("/files/README").status == 500
    shutil.copy(folder / "page.py", folder / "none_such.py")
    wait_until(lambda: server.get("/files/README").status == 200, "the module is found when it is there")


@pytest.mark.parametrize(
    ("block", "lines", "parts"),
    [
        ("location", "gangway_python_handler type page;", ("types", "req.content_type")),
        ("location", "gangway_python_handler input_filter page;", ("content",)),
        ("location", "gangway_python_handler connection page;", ("stream",)),
        ("location", "gangway_python_handler trans page;", ("server or http block",)),
        ("location", "gangway_python_handler post_read_request page;", ("server or http block",)),
        ("location", "gangway_python_handler access page processes=2;", ("processes=2", "handlers of phases")),
        ("location", "gangway_python_handler access page user=www-data;", ("user=www-data", "handlers of phases")),
        ("location", "gangway_python_handler page timeout=4s;", ("cannot be interrupted",)),
        ("location", "gangway_python_handler page thread=4;", ("unknown option", "thread=4")),
        ("location", "gangway_python_handler page root=/nowhere;", ("no directory",)),
        ("location", "gangway_python_handler page venv=/nowhere;", ("/nowhere",)),
        ("location", "gangway_python_handler page debug=yes;", ("on or off",)),
        ("location", "gangway_python_handler access root=/;", ("needs a handler",)),
        ("location", "gangway_python_handler a|b;", ("blanks around",)),
        ("location", "gangway_python_handler page threads=2; gangway_python_handler access page threads=3;", ("one application", "threads=2")),
        ("location", "gangway_wsgi pep3333:app; gangway_python_handler page;", ("GW0107",)),
        ("location", "gangway_python_handler page; proxy_pass http://127.0.0.1:1;", ("GW0107",)),
    ],
)
def test_what_the_configuration_test_refuses(configtest, block, lines, parts):
    result = configtest(lambda site: site.location("/x", nginx=lines))
    assert result.status != 0
    lines = [line for line in result.output.splitlines() if "gangway_python_handler" in line]
    assert len(lines) == 1, result.output
    for part in parts:
        assert part in lines[0], lines[0]


def test_under_load(launch, folder):
    def configure(site):
        site.workers = 2
        site.static("/files/", site.apps / "served", nginx=f"gangway_python_handler access page root={folder};")
        site.location("/page", nginx=f"gangway_python_handler page root={folder};")

    server = launch(configure, warm=["/page"])
    clients = [server.connect() for _ in range(16)]
    for number in range(20):
        for client in clients:
            client.request("GET", "/files/README" if number % 2 else "/page")
        assert {client.response().status for client in clients} == {200}
        change(folder, f'TEXT = "{number}"\n')
