# SPDX-License-Identifier: MIT OR Apache-2.0
"""Members of `req` about filters, which see the bodies that pass."""

import os

from mod_python._server import numbers

INPUT, OUTPUT = numbers["PHASE_INPUT_FILTER"], numbers["PHASE_OUTPUT_FILTER"]
#: By number: what mod_python calls the directive, and the object of a handler that names none.
FILTERS = {INPUT: ("PythonInputFilter", "inputfilter"), OUTPUT: ("PythonOutputFilter", "outputfilter")}


class Filters:
    """A part of Request."""

    def add_input_filter(self, filter_name):
        """Has the body of this request pass a filter: one of req.register_input_filter(), of PythonInputFilter or of httpd's modules.

        Raises ValueError where there is none of that name.
        """
        self._add_filter(INPUT, filter_name)

    def add_output_filter(self, filter_name):
        """Has the response pass a filter: one of req.register_output_filter(), of PythonOutputFilter or of httpd's modules ("DEFLATE").

        Raises ValueError where there is none of that name.
        """
        self._add_filter(OUTPUT, filter_name)

    def register_input_filter(self, filter_name, filter, dir=None):
        """Gives a handler ("module::object") a name for req.add_input_filter(), for this request. `dir` is where its module is looked for."""
        self._register_filter(INPUT, filter_name, filter, dir)

    def register_output_filter(self, filter_name, filter, dir=None):
        """Gives a handler ("module::object") a name for req.add_output_filter(), for this request. `dir` is where its module is looked for."""
        self._register_filter(OUTPUT, filter_name, filter, dir)

    def _check_body(self):
        """Raises ValueError in a filter, which is at work inside of what reads or writes a body."""
        if self._place.is_filter:
            raise ValueError("a filter reads and writes with its own object")

    def _register_filter(self, kind, name, handler, directory):
        if not isinstance(name, str) or not name or not isinstance(handler, str) or not handler:
            raise ValueError("a filter has a name and a handler: 'module' or 'module::object'")
        self._filters[kind, name.lower()] = name, handler, self._directory if directory is None else directory

    def _add_filter(self, kind, name):
        name_of_it, *handler = self._filters.get((kind, name.lower()), (name, "", ""))
        words = (name_of_it.encode("utf-8", "surrogateescape"), *map(os.fsencode, handler))
        try:
            self._transaction.add_filter(kind, *words)
        except ValueError:
            raise ValueError(f"the server knows no filter of the name {name!r}") from None
