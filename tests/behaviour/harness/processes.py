# SPDX-License-Identifier: MIT OR Apache-2.0
"""What /proc knows of the processes under test."""

import ctypes
import os
import signal
import tempfile
from pathlib import Path
from typing import NamedTuple

from .deadline import wait_until

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Makes this process the parent of every orphan below it, so that a child that outlives its server is seen
    however often it forked or changed its session."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


class Process(NamedTuple):
    pid: int
    parent: int
    session: int
    state: str
    name: str


def process(pid):
    """What is known of a process; None when there is none."""
    try:
        file = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except (FileNotFoundError, ProcessLookupError):
        return None
    try:
        stat = os.read(file, 4096).decode(errors="replace")
    except ProcessLookupError:
        return None
    finally:
        os.close(file)
    end = stat.rindex(")")
    state, parent, _, session, _ = stat[end + 2 :].split(" ", 4)
    return Process(int(pid), int(parent), int(session), state, stat[stat.index("(") + 1 : end])


def processes():
    """All of this machine. Every test asks for it several times: it must not cost much."""
    found = (process(entry) for entry in os.listdir("/proc") if entry.isdigit())
    return {p.pid: p for p in found if p is not None}


def children(pid, everything=None):
    """The living children of a process, oldest first; `everything` is what processes() has said already."""
    everything = processes() if everything is None else everything
    return sorted(p.pid for p in everything.values() if p.parent == pid and p.state not in "ZX")


SPAWNER = "gangway-spawn"
GUARDIAN = "gangway-guard"
SUPERVISOR = "gangway-super"
RUN_DIRECTORIES = Path("/run") if os.geteuid() == 0 else Path(tempfile.gettempdir())


def below(ancestor, everything=None):
    """Every process that has `ancestor` above itself, and that one."""
    everything = processes() if everything is None else everything

    def is_below(process):
        while process is not None and process.pid != ancestor:
            process = everything.get(process.parent)
        return process is not None

    return [p for p in everything.values() if is_below(p)]


def scripts(ancestor, everything=None):
    """What the spawners of servers below `ancestor` have started and not collected: also what is a zombie. What runs beside a
    supervisor is meant to stay."""
    found = below(ancestor, everything)
    keepers = {p.parent for p in found if p.name == SUPERVISOR}
    helpers = {p.pid for p in found if p.name == SPAWNER} - keepers
    return [p for p in found if p.parent in helpers and p.name != SPAWNER]


def trees():
    """The guards of managed processes of servers below this process."""
    found = below(os.getpid())
    keepers = {p.parent for p in found if p.name == SUPERVISOR}
    return {p.parent for p in found if p.pid in keepers}


def managed(guard):
    """The processes of applications below a guard, by their names; and those who look after them."""
    return [p for p in below(guard) if p.state not in "ZX"]


def run_directories(pid):
    """Where the processes of a server listen: nothing of it stays."""
    return [str(path) for path in RUN_DIRECTORIES.glob(f"gangway-*/{pid}.*")]


def unix_connections():
    """Unix sockets of this machine without a name, as /proc/PID/fd names them: connections, and what stands for one."""
    lines = Path("/proc/net/unix").read_text(errors="replace").splitlines()[1:]
    return {f"socket:[{fields[6]}]" for line in lines if len(fields := line.split()) == 7}


def named(name):
    """The living processes of this name that the test's own process has below itself."""
    return [p.pid for p in below(os.getpid()) if p.name == name and p.state not in "ZX"]


def alive(pid):
    return (p := process(pid)) is not None and p.state not in "ZX"


def descriptors(pid):
    """Descriptor number -> what it refers to."""
    found = {}
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(number)] = os.readlink(f"/proc/{pid}/fd/{number}")
        except FileNotFoundError:
            continue
    return found


def accepted(ports):
    """How many connections to these local ports some process still holds."""
    found, ends = 0, tuple(f":{port:04X}" for port in ports)
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, rest = line.split(None, 4)
        # There may be thousands of others.
        if local.endswith(ends):
            found += state != "0A" and rest.split()[5] != "0"
    return found


def connected(ports):
    """The sockets, as /proc/PID/fd names them, that are connected to one of these ports of this machine."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[2].partition(":")[2], 16) in ports:
            found.add(f"socket:[{fields[9]}]")
    return found


def has_read(client):
    """Whether the server's process has taken all that a socket of a client has sent to a port of this machine."""
    near, far = (f"{address[1]:04X}" for address in (client.getsockname(), client.getpeername()))
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{far}") and fields[2].endswith(f":{near}"):
            return int(fields[4].partition(":")[2], 16) == 0
    return False


def established(ports):
    """How many connections to these remote ports some process still holds."""
    found = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        found += int(fields[2].partition(":")[2], 16) in ports and fields[9] != "0"
    return found


def stop(*pids):
    """Stops processes: each of their threads has noticed when this returns, and does nothing more before SIGCONT."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    tasks = [int(task) for pid in pids for task in os.listdir(f"/proc/{pid}/task")]
    states = lambda: {found.state for task in tasks if (found := process(task))}
    wait_until(lambda: states() <= {"T"}, "all of them are stopped")


def at_rest(*pids):
    """Whether no thread of these processes computes, or would if it had a processor."""
    try:
        tasks = [int(task) for pid in pids for task in os.listdir(f"/proc/{pid}/task")]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return all((found := process(task)) is None or found.state == "S" for task in tasks)


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def threads_named(pid, name):
    """How many threads of a process have this name; none of one that has ended."""
    found = 0
    for comm in Path("/proc").glob(f"{pid}/task/*/comm"):
        try:
            found += comm.read_text().strip() == name
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def pauses(pid, name):
    """How often the threads of this name in a process have gone to sleep."""
    tasks = [task for task in Path(f"/proc/{pid}/task").iterdir() if (task / "comm").read_text().strip() == name]
    assert tasks, f"{pid} has no thread {name}"
    lines = [line for task in tasks for line in (task / "status").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


def memory(pid, field="Pss"):
    """Bytes of `field` (Rss, Pss, Private_Dirty ...) of a process."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def resident(pid):
    """Resident bytes, cheap enough to sample in a loop."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def cpu_seconds(pid):
    stat = Path(f"/proc/{pid}/stat").read_text()
    fields = stat[stat.rindex(")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def reap_orphans(known):
    """Collects adopted children that have ended; those in `known` belong to a Popen."""
    for process in processes().values():
        if process.parent == os.getpid() and process.state == "Z" and process.pid not in known:
            try:
                os.waitpid(process.pid, os.WNOHANG)
            except ChildProcessError:
                pass
