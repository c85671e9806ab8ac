# SPDX-License-Identifier: MIT OR Apache-2.0
"""Modules of handlers, from when they are loaded to when they make room for another one, in both servers and in processes of their own."""

import json
import os

import pytest

from harness.command import Gangway
from harness.deadline import wait_until

pytestmark = pytest.mark.servers("nginx", "apache")

ANYWHERE = pytest.mark.parametrize("processes", ["", " processes=1"], ids=["server", "processes"])

ASKS = """
import json, os
from mod_python import apache
import helper
from plain import WORD

def refused(call):
    try:
        return call()
    except (AttributeError, ValueError) as error:
        return type(error).__name__

SEEN = [
    helper.WORD, WORD, apache.import_module("~/beside.py").WORD, apache.import_module("below", path=["~/lib"]).WORD, apache.interpreter,
    apache.exists_config_define("NOBODY"), apache.mpm_query(apache.AP_MPMQ_IS_THREADED), apache.mpm_query(apache.AP_MPMQ_IS_FORKED),
    refused(lambda: apache.mpm_query(apache.AP_MPMQ_MAX_THREADS)), refused(apache.server_root), refused(apache.config_tree),
]
LOADED = os.getpid()

def handler(req):
    again = [
        apache.exists_config_define("NOBODY"), apache.mpm_query(apache.AP_MPMQ_IS_THREADED), apache.mpm_query(apache.AP_MPMQ_IS_FORKED),
        refused(lambda: apache.mpm_query(apache.AP_MPMQ_MAX_THREADS)), refused(apache.server_root), refused(apache.config_tree),
    ]
    same = apache.import_module("~/beside.py") is apache.import_module("plain").BESIDE
    req.write(json.dumps([SEEN, again, same, LOADED, os.getpid()]))
    return apache.OK
"""

# Not one of the importer's: what it asks for at its top level is the section's all the same.
PLAIN = "from mod_python import apache\nBESIDE = apache.import_module('~/beside.py')\nWORD = 'plain'\n"


@pytest.fixture
def folder(scratch):
    """Of handlers: each test writes its own."""
    made = scratch / "site"
    (made / "lib").mkdir(parents=True)
    for path in (made, made / "lib"):
        path.chmod(0o755)
    return made


def replace(path, text):
    path.with_suffix(".new").write_text(text)
    os.replace(path.with_suffix(".new"), path)


@pytest.mark.parametrize("preload", ["on", "off"])
def test_a_module_has_its_section_before_there_is_a_request(launch, workspace, folder, preload):
    (folder / "index.py").write_text(ASKS)
    (folder / "beside.py").write_text("WORD = 'beside'")
    (folder / "plain.py").write_text(PLAIN)
    for name in ("helper", "below"):
        (folder / "lib" / f"{name}.py").write_text(f"WORD = {name!r}")
    words = f"""index root={folder} "option=mod_python.importer.path=['~/lib']" env=PYTHONPATH={folder} processes=2 preload={preload}"""
    server = launch(lambda site: site.location("/x", handlers=(words,)))
    seen, again, same, loaded, pid = json.loads(server.get("/x").body)
    asked = [False, 1, 1, "ValueError", str(server.folder), "AttributeError"]
    assert (seen, again, same) == (["helper", "plain", "beside", "below", "main", *asked], asked, True)
    assert (loaded == pid) is (preload == "off")
    done = Gangway(workspace, server).run("check", "--server", str(server.binary), "-c", str(server.configuration), environment={"APACHE_RUN_DIR": str(server.folder)})
    assert done.returncode == 0, done


LOOKS = """
from mod_python import _importer
LOOKS = []
plain = _importer._spelled_in

def counted(folders, name):
    LOOKS.append(name)
    return plain(folders, name)

_importer._spelled_in = counted

def handler(req):
    req.write(repr(LOOKS))
    return 0
"""


def test_a_handler_of_the_section_itself_is_found_once(launch, folder):
    (folder / "index.py").write_text(LOOKS)
    words = f"""index root={folder} "option=mod_python.importer.path=['~/lib']" processes=1"""
    server = launch(lambda site: site.location("/x", handlers=(words,)))
    for _ in range(3):
        assert server.get("/x").text == "[]"


PURGE = """
import threading

def __mp_purge__():
    def imports():
        import late
        print("imported", late.WORD)
    thread = threading.Thread(target=imports)
    thread.start()
    thread.join(5)
    print("purged", not thread.is_alive())
"""

HANDLER = "\ndef handler(req):\n    req.write(WORD)\n    return 0\n"


@pytest.mark.parametrize("changed", ["index", "part"])
@ANYWHERE
def test_what_is_put_away_may_wait_for_an_import(launch, folder, changed, processes):
    """Also where the changed one is imported by another one, which is loaded again for that."""
    index = "WORD = 'old'" + PURGE + HANDLER if changed == "index" else "from part import WORD\n" + HANDLER
    (folder / "index.py").write_text(index)
    (folder / "part.py").write_text("WORD = 'old'" + PURGE)
    (folder / "late.py").write_text("WORD = 'late'")
    words = f"index root={folder}{processes}"

    def configure(site):
        site.workers = 1
        site.location("/x", handlers=(words,))

    server = launch(configure)
    assert server.get("/x").text == "old"
    replace(folder / f"{changed}.py", (folder / f"{changed}.py").read_text().replace("'old'", "'new'"))
    wait_until(lambda: server.get("/x").text == "new", "the changed module answers")
    server.log.expect("imported late")
    server.log.expect("purged True")
    assert not server.log.find("purged False")


NAMED = """
from mod_python import apache
import helper
beside = apache.import_module("~/beside.py")

def handler(req):
    text = f"{helper.WORD} {beside.WORD} {req.hlist.directory.rstrip('/') == FOLDER} {req.get_options()['said']}"
    req.write(text.encode())
    return apache.OK
"""


@ANYWHERE
def test_folders_and_modules_of_any_name(launch, scratch, processes):
    folder = scratch / "gr\u00f6\u00dfe"
    (folder / "l\u00ef b").mkdir(parents=True)
    for path in (folder, folder / "l\u00ef b"):
        path.chmod(0o755)
    (folder / "s\u00e9ite.py").write_text(f"FOLDER = {str(folder)!r}" + NAMED)
    (folder / "beside.py").write_text("WORD = 'beside'")
    (folder / "l\u00ef b" / "helper.py").write_text("WORD = 'helper'")
    paths = [f"option=mod_python.importer.path=['{start}/l\u00ef b']" for start in ("~", folder)]
    lines = [f"""s\u00e9ite root={folder} "{path}" option=said=\u00e4 interpreter=\u00ef{processes}""" for path in paths]

    def configure(site):
        for number, line in enumerate(lines):
            site.location(f"/{number}", handlers=(line,))

    server = launch(configure)
    for number in range(2):
        response = server.get(f"/{number}")
        # As mod_python has it: each byte of an option is a character.
        assert (response.status, response.body.decode()) == (200, "helper beside True \u00c3\u00a4")
