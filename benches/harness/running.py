# SPDX-License-Identifier: MIT OR Apache-2.0
"""A peer at work: its processes, whether it answers, and its last words when it does not."""

import http.client
import socket
import subprocess
import time
from pathlib import Path

from . import load, processes
from .load import BenchError
from .scenarios import Scenario

# While a peer starts, refused connections and 502 are in order.
NOT_YET = (BenchError, OSError, http.client.HTTPException)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Running:
    """The processes of one peer, in a folder of its own."""

    def __init__(self, name: str, directory: Path):
        self.name, self.directory, self.port = name, directory, free_port()
        self.directory.mkdir(mode=0o755)
        self.processes: list[subprocess.Popen] = []

    def start(self, commands: list[list[str]], cwd: Path, environment: dict[str, str]) -> None:
        for command in commands:
            self.processes.append(processes.start(command, self.directory, cwd, environment))

    def wait(self, scenario: Scenario, answer: bytes, deadline: float) -> None:
        """Until the right answer comes."""
        while True:
            try:
                load.check_answer(self.port, scenario, answer)
                return
            except NOT_YET as error:
                ended = next((process for process in self.processes if process.poll() is not None), None)
                if ended or time.monotonic() > deadline:
                    state = f"{Path(ended.args[0]).name} ended with {ended.returncode}" if ended else f"{error}"
                    raise BenchError(f"{scenario.name}: {state}; {self.last_words()}") from None
            time.sleep(0.05)

    def last_words(self) -> str:
        logs = [self.directory / name for name in ("output.log", "error.log", "fpm.log")]
        lines = [line.strip() for log in logs if log.exists() for line in log.read_text(errors="replace").splitlines()[-3:]]
        return " | ".join(lines)[-600:]

    def everybody(self) -> list[int]:
        return processes.tree([process.pid for process in self.processes])

    def stop(self) -> None:
        if killed := processes.stop(self.processes):
            print(f"  {self.name}: {len(killed)} processes had to be killed", flush=True)
