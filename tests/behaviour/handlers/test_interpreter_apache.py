# SPDX-License-Identifier: MIT OR Apache-2.0
"""What directives of mod_python say of the interpreter itself: PythonOptimize."""

import shutil

import pytest

from harness import places

pytestmark = pytest.mark.servers("apache")

ANY = pytest.mark.servers("apache", "apache-worker", "apache-prefork")

FLAGS = """
import sys
import from_the_path

def flags():
    try:
        assert False
        asserted = False
    except AssertionError:
        asserted = True
    return f"{sys.flags.optimize} {__debug__} {asserted} {from_the_path.__cached__} {from_the_path.__doc__}"

def handler(req):
    req.write(flags())
    return 0

def application(environ, start_response):
    start_response("200 OK", [])
    return [flags().encode()]
"""


def sites(scratch, extra):
    """Handlers and an application that stands before them, in one process."""
    folder, library = scratch / "flags", scratch / "flags" / "library"
    library.mkdir(parents=True)
    (folder / "flags.py").write_text(FLAGS)
    (library / "from_the_path.py").write_text('"""Documented."""\n')
    for path in (folder, library):
        path.chmod(0o755)
        if places.AS_ROOT:
            shutil.chown(path, places.WORKER_USER)

    def configure(site):
        path = f"sys.path + ['{library}', '{folder}']"
        site.apache_host = f"""
            <Location "/application">
                GangwayWSGI flags:application root={folder}
            </Location>
            PythonPath "{path}"
            <Location "/handler">
                SetHandler mod_python
                PythonHandler flags
            </Location>
            {extra}
        """

    return library, configure


@ANY
@pytest.mark.parametrize("said", ["main", "host"])
def test_python_starts_without_assertions(launch, scratch, said):
    """Where one says On, an Off elsewhere changes nothing: there is one interpreter."""
    library, configure = sites(scratch, "PythonOptimize On" if said == "main" else "<VirtualHost *:1>\nPythonOptimize On\n</VirtualHost>\nPythonOptimize Off")
    server = launch(configure)
    for path in ("/handler", "/application"):
        text = server.get(path).text
        assert text.startswith("1 False False ") and text.endswith(".opt-1.pyc Documented."), text
    assert all(path.name.endswith(".opt-1.pyc") for path in (library / "__pycache__").iterdir())


def test_python_starts_with_assertions_where_nothing_is_said(launch, scratch):
    _, configure = sites(scratch, "PythonOptimize Off")
    assert launch(configure).get("/handler").text.startswith("0 True True ")


@pytest.mark.parametrize(
    ("lines", "cure"),
    [
        ("PythonOptimize 1", "must be On or Off"),
        ("<Location /x>\nPythonOptimize On\n</Location>", "not allowed in <Location> context"),
        ("PythonOptimize On\nGangwayPythonHandler x::y env=PYTHONOPTIMIZE=2", 'GW0104 "env=PYTHONOPTIMIZE=2" stands beside PythonOptimize On'),
        (
            "PythonOptimize On\n<Location /x>\nGangwayWSGI blog:application root=/ env=PYTHONOPTIMIZE=\n</Location>",
            "set the environment variable PYTHONOPTIMIZE to different values",
        ),
    ],
)
def test_one_process_has_one_interpreter(configtest, lines, cure):
    def wrong(site):
        site.apache_host = lines

    result = configtest(wrong)
    assert result.status != 0 and cure in result.output, result.output
