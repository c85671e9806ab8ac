# SPDX-License-Identifier: MIT OR Apache-2.0
"""Reads the error log of either server and finds the lines a test has to explain."""

import re
from dataclasses import dataclass

from .deadline import wait_until

ALARMING = {"warn", "error", "crit", "alert", "emerg"}

# No test may declare one of these as expected.
FATAL = re.compile(
    r"panicked at|(Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer|runtime error: |segfault|"
    r"exited on signal|exit signal|Fatal Python error|core dumped|double free|heap corruption|"
    r"free\(\): |malloc\(\): |corrupted|stack smashing|Assertion .* failed"
)

# The lines of a traceback follow the line with the code; whoever declares that one declares these.
TRACEBACK = re.compile(
    r"Traceback \(most recent call last\):|  File \"|    \S|During handling of the above|The above exception was|"
    r"\b[\w.]+(Error|Exception|Exit|Interrupt|Timeout)(:|$|, client| while )"
)

# nginx: 2026/01/02 03:04:05 [error] 1#2: *3 text      httpd: [Fri Jan 02 ...] [module:error] [pid 1:tid 2] text
LINE = re.compile(
    r"^(?:\d{4}/\d\d/\d\d [\d:]{8} \[(?P<nginx>\w+)\] |\[[^]]+\] \[\w*:(?P<apache>[a-z]+)\d?\] )(?P<text>.*)$"
)

# What the servers say when all is well.
BENIGN = [
    re.compile(r"a client request body is buffered to a temporary file"),
    # The tests run httpd with as few processes as they need.
    re.compile(r"AH00161: server reached MaxRequestWorkers setting"),
    # A restart closes the sockets of the event MPM's threads under them (close_worker_sockets). A server that has no module
    # of ours says so, too, when it is restarted under load.
    re.compile(r"\(9\)Bad file descriptor: AH03092: process_lingering_close"),
    # The distribution rebuilt OpenSSL after httpd.
    re.compile(r"AH01882: Init: this version of mod_ssl was compiled against a newer library"),
]


@dataclass(frozen=True)
class Line:
    level: str | None
    text: str
    raw: str

    @property
    def alarming(self):
        # A line without a level went past the server's log: it has no time, no process, no request.
        return self.level is None or self.level in ALARMING


def is_debug(raw):
    """Whether a line is the server's own talk at nginx's level `debug` or httpd's `trace`: no test explains those."""
    return b" [debug] " in raw[:40] or TRACE.match(raw) is not None


TRACE = re.compile(rb"\[[^]]+\] \[\w*:(debug|trace\d)\] ")
# What nginx writes at debug has line ends in it: a line without a time goes on with the one before.
NEW_LINE = re.compile(rb"\d{4}/\d\d/\d\d [\d:]{8} \[\w+\] |\[[^]]+\] \[\w*:\w+\] ")


def parse(raw):
    found = LINE.match(raw)
    if found is None:
        return Line(None, raw, raw)
    return Line(found["nginx"] or found["apache"], found["text"], raw)


class ErrorLog:
    def __init__(self, path):
        self.path = path
        self.read = 0
        self.in_debug = False
        self.known = []
        self.beside = []  # lines without a time that follow one of the level debug: they may be its own, or an application's
        self.expected = []
        self.allowed = []
        self.may_crash = False
        self.usual = [*BENIGN]

    def mark(self):
        """From here on a new test is responsible."""
        self.lines()
        self.known = []
        self.beside = []
        self.expected = []
        self.allowed = []
        self.may_crash = False

    def lines(self):
        """The lines of this test, without those of the levels debug and trace, unless they tell of something fatal."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self.read)
            data = file.read()
        complete = data[: data.rfind(b"\n") + 1]
        self.read += len(complete)
        for raw in complete.split(b"\n")[:-1]:
            self.in_debug = is_debug(raw) or (self.in_debug and not NEW_LINE.match(raw))
            text = raw.decode("utf-8", "backslashreplace")
            if not self.in_debug or FATAL.search(text):
                self.known.append(parse(text))
            elif not is_debug(raw):
                self.beside.append(parse(text))
        return list(self.known)

    def find(self, pattern):
        return [line for line in self.lines() + self.beside if re.search(pattern, line.raw)]

    def allow(self, pattern):
        """Lines like this may appear."""
        self.allowed.append(re.compile(pattern))
        if re.search(r"GW(0?$|03|0\[3|0\(3|\|)", pattern):
            self.allowed.append(TRACEBACK)

    def allow_crashes(self):
        """Processes of applications may crash, and say so."""
        self.may_crash = True

    def expect(self, pattern, timeout=10.0):
        """Waits for a line like this and returns it; it must appear, and may do so more than once."""
        self.allow(pattern)
        tail = lambda: f"a log line like {pattern!r} in:\n" + "\n".join(line.raw for line in self.lines()[-20:])
        return wait_until(lambda: self.find(pattern), tail, timeout)[0]

    def problems(self):
        found = []
        for line in self.lines():
            if FATAL.search(line.raw) and not (self.may_crash and "GW0905" in line.raw):
                found.append(f"fatal line in the error log: {line.raw}")
            elif line.alarming and not any(p.search(line.raw) for p in self.usual + self.allowed):
                found.append(f"undeclared line in the error log: {line.raw}")
        return found
