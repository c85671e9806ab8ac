# SPDX-License-Identifier: MIT OR Apache-2.0
"""Modules of handlers: keyed by interpreter and path, swapped when they change, kept when the new ones fail."""

import os
import pickle
import sys
import threading
import time

import pytest

from conftest import replace_current

from mod_python import _importer, apache


def write(path, text, age=10):
    """A file that has settled: as if it was written some seconds ago, each time another moment."""
    path.write_text(text)
    write.moment += 1
    moment = time.time() - 1000 + write.moment / 1000 - age
    os.utime(path, (moment, moment))


write.moment = 0


def find(folder, name="index", interpreter="main", reload=True):
    return _importer.find(interpreter, name, [str(folder)], reload)


def test_two_directories_have_two_modules(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "index.py", f"import part\nNAME = {name!r}")
        write(tmp_path / name / "part.py", f"NAME = {name!r}")
    a, b = find(tmp_path / "a"), find(tmp_path / "b")
    assert (a.NAME, a.part.NAME, b.NAME, b.part.NAME) == ("a", "a", "b", "b")
    assert find(tmp_path / "a") is a
    assert find(tmp_path / "a", interpreter="other") is not a


def test_a_changed_module_is_another_one(tmp_path):
    write(tmp_path / "index.py", "VALUE = 1")
    old = find(tmp_path)
    write(tmp_path / "index.py", "VALUE = 2")
    assert find(tmp_path, reload=False) is old
    new = find(tmp_path)
    assert (old.VALUE, new.VALUE) == (1, 2) and find(tmp_path) is new


def test_a_link_that_leads_elsewhere_is_followed(tmp_path):
    """As deployments do it: a link to the release that serves."""
    for number in (1, 2):
        (tmp_path / f"release{number}").mkdir()
        write(tmp_path / f"release{number}" / "index.py", f"VALUE = {number}")
    link = tmp_path / "current"
    link.symlink_to("release1")
    assert [find(link).VALUE for _ in range(3)] == [1, 1, 1]
    (tmp_path / "new").symlink_to("release2")
    os.replace(tmp_path / "new", link)
    assert find(link, reload=False).VALUE == 1
    assert [find(link).VALUE for _ in range(3)] == [2, 2, 2]


def test_an_earlier_folder_is_looked_at_each_time(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    write(second / "index.py", "VALUE = 2")
    folders = [str(first), str(second)]
    assert _importer.find("main", "index", folders, True).VALUE == 2
    write(first / "index.py", "VALUE = 1")
    assert _importer.find("main", "index", folders, True).VALUE == 1


def test_a_file_that_is_known_is_looked_at_once(tmp_path, monkeypatch):
    write(tmp_path / "index.py", "VALUE = 1")
    find(tmp_path)
    looks = []
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda path, *more, **named: looks.append(path) or stat(path, *more, **named))
    monkeypatch.setattr(os, "lstat", lambda path, *more, **named: looks.append(path) or stat(path, *more, **named))
    assert find(tmp_path).VALUE == 1
    assert looks == [str(tmp_path / "index.py")]
    assert find(tmp_path, reload=False).VALUE == 1
    assert len(looks) == 1


def test_what_a_module_imports_is_a_reason(tmp_path):
    write(tmp_path / "index.py", "from part import VALUE")
    write(tmp_path / "part.py", "from below import VALUE")
    write(tmp_path / "below.py", "VALUE = 1")
    assert find(tmp_path).VALUE == 1
    write(tmp_path / "below.py", "VALUE = 2")
    assert find(tmp_path).VALUE == 2


def test_a_change_that_fails_is_told_once_and_changes_nothing(tmp_path, log):
    write(tmp_path / "index.py", "VALUE = 1")
    old = find(tmp_path)
    write(tmp_path / "index.py", "VALUE = = 2")
    assert find(tmp_path) is old and find(tmp_path) is old
    assert len([text for _, text in log if "GW0320" in text]) == 1
    write(tmp_path / "index.py", "VALUE = 3")
    assert find(tmp_path).VALUE == 3


def test_a_part_that_is_corrected_heals_its_user(tmp_path, log):
    write(tmp_path / "index.py", "from part import VALUE")
    write(tmp_path / "part.py", "VALUE = 1")
    assert find(tmp_path).VALUE == 1
    write(tmp_path / "part.py", "raise ValueError")
    assert find(tmp_path).VALUE == 1
    write(tmp_path / "part.py", "VALUE = 2")
    assert find(tmp_path).VALUE == 2


def test_a_first_failure_is_raised_and_tried_again(tmp_path):
    write(tmp_path / "index.py", "raise ValueError('first')")
    for _ in range(2):
        with pytest.raises(ValueError):
            find(tmp_path)
    write(tmp_path / "index.py", "VALUE = 1")
    assert find(tmp_path).VALUE == 1


def test_a_file_that_has_just_changed_may_be_half_written(tmp_path):
    write(tmp_path / "index.py", "VALUE = 1")
    old = find(tmp_path)
    (tmp_path / "index.py").write_text("VALUE = 2")
    assert find(tmp_path) is old
    moment = time.time() - 1
    os.utime(tmp_path / "index.py", (moment, moment))
    assert find(tmp_path).VALUE == 2


def test_a_file_that_is_taken_away_goes_on(tmp_path):
    write(tmp_path / "index.py", "VALUE = 1")
    old = find(tmp_path)
    assert _importer._ENTRIES[("main", str(tmp_path / "index.py"))].get(True) is old
    (tmp_path / "index.py").unlink()
    assert _importer._ENTRIES[("main", str(tmp_path / "index.py"))].get(True) is old


def test_modules_that_import_each_other(tmp_path):
    write(tmp_path / "index.py", "NAME = 'index'\nimport part\nPART = part.NAME")
    write(tmp_path / "part.py", "import index\nNAME = 'part of ' + index.NAME")
    assert find(tmp_path).PART == "part of index"


def test_who_has_an_older_version_does_not_wait(tmp_path):
    gate, begun = threading.Event(), threading.Event()
    sys.gate, sys.begun = gate, begun
    write(tmp_path / "index.py", "VALUE = 1")
    old = find(tmp_path)
    write(tmp_path / "index.py", "import sys\nsys.begun.set()\nsys.gate.wait(10)\nVALUE = 2")
    found = []
    thread = threading.Thread(target=lambda: found.append(find(tmp_path)))
    thread.start()
    assert begun.wait(10)
    assert find(tmp_path) is old
    gate.set()
    thread.join()
    assert found[0].VALUE == 2 and find(tmp_path) is found[0]


def test_classes_can_be_pickled(tmp_path):
    write(tmp_path / "pickled_here.py", "class Thing:\n    pass")
    module = find(tmp_path, "pickled_here")
    assert isinstance(pickle.loads(pickle.dumps(module.Thing())), module.Thing)


def test_what_is_no_file_is_pythons(tmp_path):
    assert find(tmp_path, "json.decoder").__name__ == "json.decoder"
    with pytest.raises(ImportError):
        find(tmp_path, "no_such_module_anywhere")
    with pytest.raises(ImportError):
        find(tmp_path, str(tmp_path / "absent.py"))


def test_python_path_adds_and_takes_nothing_away(tmp_path):
    before = list(sys.path)
    try:
        _importer.use_path(f"[{str(tmp_path / 'first')!r}] + sys.path + [{str(tmp_path / 'last')!r}]")
        assert sys.path == [str(tmp_path / "first"), *before, str(tmp_path / "last")]
        _importer.use_path(f"[{str(tmp_path / 'alone')!r}]")
        assert sys.path[1:-2] == before and sys.path[-1] == str(tmp_path / "alone")
        with pytest.raises(TypeError):
            _importer.use_path("5")
    finally:
        sys.path[:] = before


# ---- apache.import_module ----


@pytest.fixture
def at(make):
    """Makes the calling thread run the handlers of a request in a section."""
    before = []

    def at(folder, path=None):
        request = make(options={} if path is None else {_importer.OPTION: path})
        request._directory, request.interpreter = str(folder), "main"
        before.append(replace_current(request))
        return request

    yield at
    if before:
        replace_current(before[0])


def test_paths_begin_at_the_module_or_at_the_section(tmp_path, at):
    (tmp_path / "inner").mkdir()
    write(tmp_path / "part.py", "NAME = 'outer'")
    write(tmp_path / "inner" / "part.py", "NAME = 'inner'")
    write(
        tmp_path / "inner" / "index.py",
        "from mod_python import apache\n"
        "NAMES = [apache.import_module(name).NAME for name in ('./part.py', '../part.py', '~/part.py', '~/inner/../inner/part.py', 'part')]",
    )
    at(tmp_path)
    assert find(tmp_path / "inner").NAMES == ["inner", "outer", "outer", "inner", "inner"]


def test_a_path_of_folders_begins_there_too(tmp_path, at):
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / f"only_{name}.py", f"NAME = {name!r}")
    write(
        tmp_path / "a" / "index.py",
        "from mod_python import apache\n"
        "NAMES = [apache.import_module('only_b', path=['../b']).NAME, apache.import_module('only_c', path=['~/c']).NAME]",
    )
    at(tmp_path)
    assert find(tmp_path / "a").NAMES == ["b", "c"]


@pytest.mark.parametrize("name", ["./part.py", "../part.py", "~/part.py"])
def test_a_path_that_begins_nowhere(name):
    with pytest.raises(ImportError, match="name an absolute path"):
        apache.import_module(name)


def test_a_path_that_leads_to_nothing_names_the_file(tmp_path, at):
    at(tmp_path)
    with pytest.raises(ImportError, match=str(tmp_path / "absent.py")):
        apache.import_module("~/absent.py")


def test_what_is_imported_below_a_path_is_a_reason(tmp_path, at):
    (tmp_path / "below").mkdir()
    write(tmp_path / "index.py", "from mod_python import apache\nPART = apache.import_module('./below/part.py')")
    write(tmp_path / "below" / "part.py", "from mod_python import apache\nVALUE = apache.import_module('../deep.py').VALUE")
    write(tmp_path / "deep.py", "VALUE = 1")
    at(tmp_path)
    old = find(tmp_path)
    assert old.PART.VALUE == 1 and find(tmp_path) is old
    write(tmp_path / "deep.py", "VALUE = 2")
    assert find(tmp_path).PART.VALUE == 2 and old.PART.VALUE == 1


def test_folders_of_an_option(tmp_path, at):
    for name in ("site", "site/shared", "other"):
        (tmp_path / name).mkdir()
    write(tmp_path / "site" / "shared" / "by_statement.py", "VALUE = 'shared'")
    write(tmp_path / "other" / "by_call.py", "VALUE = 'other'")
    write(
        tmp_path / "site" / "index.py",
        "from mod_python import apache\nimport by_statement\nVALUES = by_statement.VALUE, apache.import_module('by_call').VALUE",
    )
    at(tmp_path / "site", f"['~/shared', '../other', {str(tmp_path)!r}]")
    assert find(tmp_path / "site").VALUES == ("shared", "other")


@pytest.mark.parametrize(("expression", "error"), [("5", TypeError), ("['here']", ValueError), ("[1]", TypeError), ("[", SyntaxError)])
def test_an_option_that_is_no_list_of_folders(tmp_path, expression, error):
    with pytest.raises(error):
        _importer.option_folders(expression, str(tmp_path))


def test_a_module_has_folders_of_its_own(tmp_path, at):
    (tmp_path / "lib").mkdir()
    write(tmp_path / "lib" / "part_of_lib.py", "VALUE = 1")
    write(
        tmp_path / "index.py",
        "from mod_python import apache\n__mp_path__ = ['./lib']\nimport part_of_lib\nSAME = apache.import_module('part_of_lib') is part_of_lib",
    )
    at(tmp_path)
    old = find(tmp_path)
    assert old.SAME and old.part_of_lib.VALUE == 1
    write(tmp_path / "lib" / "part_of_lib.py", "VALUE = 2")
    assert find(tmp_path).part_of_lib.VALUE == 2


CARRIED = """
if 'COUNTS' not in globals():
    COUNTS, PURGED = [], []
COUNTS.append({number})
def __mp_clone__(module):
    module.COUNTS, module.PURGED = COUNTS, PURGED
def __mp_purge__():
    PURGED.append({number})
"""


def test_state_is_carried_over(tmp_path):
    write(tmp_path / "index.py", CARRIED.format(number=1))
    old = find(tmp_path)
    assert (old.COUNTS, old.PURGED) == ([1], [])
    write(tmp_path / "index.py", CARRIED.format(number=2))
    new = find(tmp_path)
    assert new is not old and new.COUNTS is old.COUNTS
    assert (new.COUNTS, new.PURGED) == ([1, 2], [1])


def test_hooks_that_raise(tmp_path, log):
    write(tmp_path / "index.py", "VALUE = 1\ndef __mp_clone__(module):\n    raise ValueError('clone')")
    old = find(tmp_path)
    write(tmp_path / "index.py", "VALUE = 2")
    assert find(tmp_path) is old
    assert [text for _, text in log if "GW0320" in text and "clone" in text]
    log.clear()
    write(tmp_path / "other.py", "VALUE = 1\ndef __mp_purge__():\n    raise ValueError('purge')")
    find(tmp_path, "other")
    write(tmp_path / "other.py", "VALUE = 2")
    assert find(tmp_path, "other").VALUE == 2
    assert [text for _, text in log if "GW0319" in text and "__mp_purge__" in text]


def test_a_failed_load_purges_nothing(tmp_path, log):
    write(tmp_path / "index.py", CARRIED.format(number=1))
    old = find(tmp_path)
    write(tmp_path / "index.py", "raise ValueError")
    assert find(tmp_path) is old and old.PURGED == []


def test_frozen_modules_stay_what_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(_importer, "_FROZEN", False)
    write(tmp_path / "index.py", "import part\nVALUE = 1")
    write(tmp_path / "part.py", "VALUE = 1")
    old = find(tmp_path)
    apache.freeze_modules()
    for name in ("index", "part"):
        write(tmp_path / f"{name}.py", "VALUE = 2")
    assert find(tmp_path) is old and find(tmp_path, "part").VALUE == 1
    write(tmp_path / "late.py", "VALUE = 1")
    assert find(tmp_path, "late").VALUE == 1
