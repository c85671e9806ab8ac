# SPDX-License-Identifier: MIT OR Apache-2.0
"""Has `import mod_python` find the package that the engine brings along."""

import importlib.abc
import importlib.machinery
import sys

PACKAGE = "mod_python"
#: mod_python's own, which stands beside it.
C_MODULE = "_apache"


class Finder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    def __init__(self, sources):
        self.sources = sources

    def _part(self, name):
        """The module's name inside of the package; None for one of somebody else."""
        if name == PACKAGE:
            return "__init__"
        if name == C_MODULE:
            return name
        package, _, part = name.rpartition(".")
        return part if package == PACKAGE and part in self.sources else None

    def find_spec(self, name, path=None, target=None):
        part = self._part(name)
        if part is None:
            return None
        spec = importlib.machinery.ModuleSpec(name, self, origin=self._file(part), is_package=part == "__init__")
        # Tracebacks and inspect look for a file of this name, and find the source by way of get_source().
        spec.has_location = True
        return spec

    @staticmethod
    def _file(part):
        return f"<gangway>/{PACKAGE}/{part}.py"

    def get_source(self, name):
        part = self._part(name)
        if part is None:
            raise ImportError(f"no module {name!r} in here", name=name)
        return self.sources[part]

    def get_code(self, name):
        return compile(self.get_source(name), self._file(self._part(name)), "exec", dont_inherit=True)

    def is_package(self, name):
        return name == PACKAGE


def install(sources, server):
    finder = Finder(sources)
    # A package of the real mod_python would look for the server that it belongs to.
    for name in [name for name in sys.modules if name == PACKAGE or name.startswith(PACKAGE + ".")]:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    sys.modules[PACKAGE + "._server"] = server
