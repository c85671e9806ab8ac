# SPDX-License-Identifier: MIT OR Apache-2.0
"""Folders that the workers may not enter: the advice names them, and never tells anybody to throw away what is there."""

import shutil
import subprocess

import pytest

from harness import places, pythons

pytestmark = pytest.mark.skipif(not places.AS_ROOT, reason="only root can close a folder to the workers and test it itself")

HELLO = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'hello']\n"


@pytest.fixture
def closed(scratch):
    folder = scratch / "closed"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "hello.py").write_text(HELLO)
    folder.chmod(0o700)
    return folder


@pytest.fixture
def venv(scratch, closed):
    """One that was made from a Python below the closed folder."""
    venv = scratch / "venv"
    subprocess.run([places.SYSTEM_PYTHON, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=60)
    version = "python{}.{}".format(*pythons.installed()[0].version)
    bin = closed / "python" / "bin"
    bin.mkdir(parents=True)
    for name in ("python3", version):
        (bin / name).symlink_to(f"/usr/bin/{version}")
    for name in ("python", "python3", version):
        (venv / "bin" / name).unlink(missing_ok=True)
        (venv / "bin" / name).symlink_to(bin / version)
    config = venv / "pyvenv.cfg"
    lines = [line for line in config.read_text().splitlines() if line.partition(" ")[0] in ("version", "include-system-site-packages")]
    config.write_text("\n".join([f"home = {bin}", *lines]) + "\n")
    return venv


def expect_closed(text, closed):
    assert str(closed) in text and "may not enter" in text
    assert "--clear" not in text and "again" not in text and "not there" not in text


def test_root_tests_with_the_workers_eyes(configtest, closed):
    result = configtest(lambda site: site.wsgi("/", "hello:app", root=closed / "inner"))
    assert result.status == 0, result.output
    (line,) = [line for line in result.output.splitlines() if "GW0108" in line]
    assert f'"{places.WORKER_USER}"' in line and "hello:app" in line
    expect_closed(line, closed)


def test_the_python_of_a_venv(configtest, closed, venv, scratch):
    (scratch / "hello.py").write_text(HELLO)
    result = configtest(lambda site: site.wsgi("/", "hello:app", root=scratch, venv=venv))
    assert result.status == 0, result.output
    (line,) = [line for line in result.output.splitlines() if "GW0108" in line]
    expect_closed(line, closed)


@pytest.mark.parametrize("way", ["root", "link", "file", "python", "env_file"])
def test_every_path_of_an_application(configtest, closed, scratch, way):
    (scratch / "link").symlink_to(closed / "inner")
    options = {
        "root": {"root": closed / "inner"},
        "link": {"root": scratch / "link"},
        "file": {"root": scratch},
        "python": {"root": scratch, "python": closed / "python"},
        "env_file": {"root": scratch, "env_file": closed / "env"},
    }[way]
    (closed / "env").write_text("A=b\n")
    (closed / "python").symlink_to("/usr")
    target = f"{closed}/inner/hello.py:app" if way == "file" else "hello:app"
    result = configtest(lambda site: site.wsgi("/", target, **options))
    assert result.status == 0, result.output
    lines = [line for line in result.output.splitlines() if "GW0108" in line]
    # A file of secrets is read by root and needs no reader else.
    assert len(lines) == (way != "env_file"), result.output
    for line in lines:
        expect_closed(line, closed)


def test_nothing_is_said_of_what_is_open(configtest, scratch, workspace):
    result = configtest(lambda site: site.wsgi("/", "process:app"))
    assert result.status == 0 and "GW0108" not in result.output


# managed/test_life.py has processes that cannot be started.
NO_PROCESS = pytest.mark.in_process("without its engine a process of an application's own does not begin: requests get 503, and the same advice stands at GW0903")


@NO_PROCESS
def test_a_worker_names_the_folder_too(launch, closed, venv, scratch):
    (scratch / "hello.py").write_text(HELLO)
    server = launch(lambda site: site.wsgi("/", "hello:app", root=scratch, venv=venv))
    expect_closed(server.log.expect("GW0206").raw, closed)
    server.log.allow("GW0108|GW0206")
    assert server.get("/").status == 500


@NO_PROCESS
def test_a_library_that_is_no_python_is_what_is_at_fault(launch, scratch):
    version = "{}.{}".format(*pythons.installed()[0].version)
    prefix = scratch / "fake"
    (prefix / f"lib/python{version}/encodings").mkdir(parents=True)
    (prefix / f"lib/python{version}/encodings/__init__.py").write_text("")
    (prefix / f"lib/python{version}/os.py").write_text("")
    found = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    some = next(line.split()[-1] for line in found.splitlines() if "libm.so.6" in line)
    shutil.copy(some, prefix / f"lib/libpython{version}.so.1.0")
    server = launch(lambda site: site.wsgi("/", "process:app", python=prefix))
    line = server.log.expect("GW0206 .*undefined symbol").raw
    assert f"{prefix}/lib/libpython{version}.so.1.0" in line and "no complete libpython" in line
    assert "install both again" not in line
    server.log.allow("GW0206")
    assert server.get("/").status == 500
