# SPDX-License-Identifier: MIT OR Apache-2.0
"""How large a process becomes while a test does something."""

import threading

from . import processes


class Watch:
    """The largest resident size of a process while it runs, above that at the beginning."""

    def __init__(self, pid):
        self.pid = pid
        self.before = processes.resident(pid)
        self.most = self.before
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._stop.wait(0.02):
            self.most = max(self.most, processes.resident(self.pid))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    @property
    def growth(self):
        return self.most - self.before
