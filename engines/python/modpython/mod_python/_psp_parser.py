# SPDX-License-Identifier: MIT OR Apache-2.0
"""Pages with Python in them, as Python code whose lines know where they stand in the page.

`<% code %>`, `<%= expression %>`, `<%@ include file="name" %>`, `<%-- comment --%>`; `<\\%` and `%\\>` are the marks themselves. The indentation of
the last line of code, a comment's as well, holds for the text behind it; behind a colon it is one deeper.
"""

import ast
import os
import re

_MARK = re.compile(r"<%(--|=|@)?")
_COLON = re.compile(r":\s*(#.*)?\Z")
_DIRECTIVE = re.compile(r"""\s*include\s+file\s*=\s*(?:"([^"]*)"|'([^']*)')\s*\Z""")
#: What mod_python leaves to Python's strings in the text of a page: all escapes but \\n, \\r, \\t and that of a quotation mark.
_ESCAPE = re.compile(r"\\(?:[\\'abfv\n]|[0-7]{1,3}|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|N\{[^{}]+\})", re.ASCII)
#: Pages in pages; more are taken for a circle.
_DEPTH = 20


def read(path):
    """A page's text, its lines ending as Python's do; bytes that are not UTF-8 are kept in surrogates. Raises OSError."""
    with open(path, "rb") as file:
        return file.read().replace(b"\r\n", b"\n").decode("utf-8", "surrogateescape")


def stamp(path):
    """What changes when a file does. Raises OSError."""
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size, found.st_ino


def _escaped(found):
    try:
        return ast.literal_eval(f'"{found.group()}"')
    except SyntaxError:
        # No character has such a number or name.
        return found.group()


class Page:
    """A page that was read: `code` is Python's text, `files` are those that it has included, with their stamps."""

    def __init__(self, text, path, folder):
        self.path = path
        self.files = []
        # Of each line: its indentation, its text, and file and line in the page, with the line of the outermost page.
        self._lines = []
        # Indentation of the text that comes, blocks that are open, and a block that no line of code stands in yet.
        self._indent, self._open = "", [""]
        self._begun = None
        self._read(text, path, folder, None, 0)

    @property
    def code(self):
        return "".join(f"{indent}{text}\n" for indent, text, *_ in self._lines)

    def compile(self):
        """What exec() takes. Raises SyntaxError with the page's file and line."""
        try:
            tree = ast.parse(self.code, self.path)
            # By Python's compiler, which finds more, such as a return outside of a function.
            compile(self.code, self.path, "exec", dont_inherit=True)
        except ValueError as error:
            # NUL, or bytes that are not UTF-8, in code.
            raise SyntaxError(str(error), (self.path, 1, None, "")) from None
        except SyntaxError as error:
            at = min(max(error.lineno or 1, 1), len(self._lines)) - 1
            file, line = self._lines[at][2:4] if self._lines else (self.path, 1)
            raise SyntaxError(error.msg, (file, line, None, self._lines[at][1] if self._lines else "")) from None
        for node in ast.walk(tree):
            if hasattr(node, "lineno"):
                first, last = (self._lines[min(number, len(self._lines)) - 1][4] for number in (node.lineno, node.end_lineno or node.lineno))
                node.lineno, node.end_lineno = first, max(first, last)
                node.col_offset = node.end_col_offset = 0
        return compile(tree, self.path, "exec", dont_inherit=True)

    def _read(self, text, path, folder, outer, depth):
        line, place = 1, 0

        def where(number):
            return path, number, number if outer is None else outer

        while True:
            mark = _MARK.search(text, place)
            self._write(text[place : mark.start() if mark else len(text)], where(line))
            if mark is None:
                return
            line += text.count("\n", place, mark.start())
            kind = mark.group(1) or ""
            closing = "--%>" if kind == "--" else "%>"
            stop = text.find(closing, mark.end())
            if stop < 0:
                raise SyntaxError(f"{mark.group()} without {closing}", (path, line, None, mark.group()))
            inner = text[mark.end() : stop]
            if kind == "@":
                self._include(inner, folder, where(line), depth)
            elif kind != "--":
                code = inner.replace("\r\n", "\n").replace("%\\>", "%>")
                (self._expression if kind else self._code)(code, line, where)
            line += inner.count("\n")
            place = stop + len(closing)

    def _write(self, text, place):
        if text:
            text = _ESCAPE.sub(_escaped, text.replace("<\\%", "<%").replace("%\\>", "%>"))
            self._lines.append((self._indent, f"req.write({text!r},0)", *place))

    def _expression(self, code, line, where):
        if not code.strip():
            raise SyntaxError("<%= without an expression", (*where(line)[:2], None, "<%="))
        parts = code.split("\n")
        self._lines.append((self._indent, f"req.write(str({parts[0].strip()}", *where(line)))
        for at, part in enumerate(parts[1:], 1):
            self._lines.append(("", part, *where(line + at)))
        # On a line of its own: a comment may stand before it.
        self._lines.append((self._indent, "),0)", *where(line + len(parts) - 1)))

    def _include(self, text, folder, place, depth):
        found = _DIRECTIVE.match(text)
        if found is None:
            raise SyntaxError('a directive must be <%@ include file="name" %>', (*place[:2], None, f"<%@{text}%>"))
        path = os.path.join(folder, found.group(1) or found.group(2) or "")
        if depth >= _DEPTH:
            raise SyntaxError(f"more than {_DEPTH} pages include each other", (*place[:2], None, f"<%@{text}%>"))
        try:
            # Before it is read: a change meanwhile is seen the next time.
            self.files.append((path, stamp(path)))
            inner = read(path)
        except OSError as error:
            raise SyntaxError(f"cannot be included: {error}", (*place[:2], None, f"<%@{text}%>")) from None
        self._read(inner, path, os.path.dirname(path), place[2], depth + 1)

    def _code(self, code, line, where):
        last = None
        for at, text in enumerate(code.split("\n")):
            stripped = text.strip()
            if not stripped:
                if last is not None:
                    # It may stand in a string.
                    self._lines.append(("", text.rstrip("\r"), *where(line + at)))
                continue
            indent = text[: len(text) - len(text.lstrip())]
            if at == 0:
                indent = self._of_first(indent)
            if last is None:
                self._settle(indent)
            self._lines.append((indent, text.lstrip().rstrip("\r"), *where(line + at)))
            self._enter(indent)
            last = indent, stripped
        if last is None:
            self._end_blocks(code.split("\n"))
            return
        self._indent, stripped = last
        self._begun = None
        if _COLON.search(stripped) and not stripped.startswith("#"):
            self._begun = len(self._lines), self._indent
            self._indent += "\t"

    def _end_blocks(self, lines):
        """Empty code that ends with an empty line ends blocks: those that its last line but that one does not stand in."""
        if len(lines) < 2 or lines[-1]:
            return
        indent = lines[-2] if len(lines) > 2 else ""
        if indent in self._open:
            self._indent, self._begun = indent, None
            self._enter(indent)

    def _of_first(self, indent):
        """The indentation of code that begins behind `<%`: there is a space between them that means nothing."""
        indent = indent[1:]
        if self._begun is not None and indent.startswith(self._begun[1]) and len(indent) > len(self._begun[1]):
            return indent
        return indent if indent in self._open else ""

    def _settle(self, indent):
        """The first code of a block says how deep the text before it is."""
        if self._begun is None:
            return
        start, header = self._begun
        if indent.startswith(header) and len(indent) > len(header):
            # Continuations of an expression have no indentation that counts.
            self._lines[start:] = [(indent if own else own, *rest) for own, *rest in self._lines[start:]]

    def _enter(self, indent):
        while len(self._open) > 1 and len(self._open[-1]) >= len(indent):
            self._open.pop()
        if indent and indent not in self._open:
            self._open.append(indent)
