# SPDX-License-Identifier: MIT OR Apache-2.0
"""Every CPython of this machine that the engine can open, and copies of those that workers cannot reach."""

import functools
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import places

OLDEST, NEWEST = 9, 20
PROBE = """
import json, sys, sysconfig
get = sysconfig.get_config_var
print(json.dumps({
    "version": list(sys.version_info[:3]),
    "prefix": sys.base_prefix,
    "library": get("INSTSONAME"),
    "shared": bool(get("Py_ENABLE_SHARED")),
    "folders": [get("LIBDIR"), (get("LIBDIR") or "") + "/" + (get("MULTIARCH") or "")],
    "threaded": bool(get("Py_GIL_DISABLED")),
}))
"""


@dataclass(frozen=True)
class Python:
    version: tuple
    prefix: Path
    library: Path

    @property
    def name(self):
        return ".".join(map(str, self.version))

    @property
    def program(self):
        return self.prefix / "bin" / f"python{self.version[0]}.{self.version[1]}"


def probe(program):
    try:
        done = subprocess.run([program, "-I", "-c", PROBE], capture_output=True, text=True, timeout=30)
        facts = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None  # a shim for a version that is not installed
    folders = [Path(folder) for folder in facts["folders"] if folder]
    library = next((f / facts["library"] for f in folders if (f / facts["library"]).is_file()), None)
    if not facts["shared"] or facts["threaded"] or library is None:
        return None
    return Python(tuple(facts["version"]), Path(facts["prefix"]), library)


@functools.cache
def installed():
    """One per version, the system's first."""
    names = [f"python3.{minor}" for minor in range(OLDEST, NEWEST)]
    programs = [places.SYSTEM_PYTHON]
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        programs += [f"{folder}/{name}" for name in names if os.access(f"{folder}/{name}", os.X_OK)]
    root = os.environ.get("PYENV_ROOT")
    programs += sorted(map(str, Path(root).glob("versions/3.*/bin/python3"))) if root else []
    found = {}
    for program in programs:
        python = probe(program)
        if python is not None and python.version >= (3, OLDEST):
            found.setdefault(python.version, python)
    return list(found.values())


def reachable(python, workspace):
    """The same Python where the workers' user can read it: itself, or a copy made of hard links."""
    if places.readable_by_worker(python.library) and places.readable_by_worker(python.prefix):
        return python
    copy = workspace.root / f"python-{python.name}"
    if not copy.exists():
        try:
            shutil.copytree(python.prefix, copy, symlinks=True, copy_function=os.link)
        except OSError:  # another file system
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(python.prefix, copy, symlinks=True)
    return Python(python.version, copy, copy / python.library.relative_to(python.prefix))
