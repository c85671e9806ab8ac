# SPDX-License-Identifier: MIT OR Apache-2.0
"""What an application on an event loop starts: by its loop, by threads, and by os.fork() in the middle of a handler."""

import asyncio
import atexit
import json
import os
import sys
from urllib.parse import parse_qsl

from children import WAYS, shell


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError("no lifespan")
    name = scope["path"][len(scope["root_path"]) :].strip("/")
    words = dict(parse_qsl(scope["query_string"].decode()))
    found = await globals()[f"do_{name}"](**words)
    if found == "from the child":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(found).encode()})


async def do_loop():
    return type(asyncio.get_running_loop()).__module__


async def by_exec(out):
    process = await asyncio.create_subprocess_exec(*shell(out))
    return await process.wait()


async def by_shell(out):
    process = await asyncio.create_subprocess_shell(f"exec /bin/sh -c '{shell(out)[2]}' sh {out}")
    return await process.wait()


async def by_thread(out):
    return await asyncio.to_thread(WAYS["run"], out)


async def do_look(way, out):
    """How a child begins."""
    if way in WAYS:
        WAYS[way](out)
    else:
        await {"exec": by_exec, "shell": by_shell, "to_thread": by_thread}[way](out)
    with open(out) as status, open(out + ".fds") as descriptors:
        facts = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
        facts["fds"] = [line.split(maxsplit=8)[8] for line in descriptors.read().splitlines()[1:]]
    return facts


async def do_end(how):
    """How a child ends that is told to."""
    process = await asyncio.create_subprocess_exec("sleep", "60")
    {"terminate": process.terminate, "kill": process.kill}[how]()
    return await asyncio.wait_for(process.wait(), 10)


async def do_pipes():
    process = await asyncio.create_subprocess_exec(
        "tr", "a-z", "A-Z", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(b"hello" * 50_000), 20)
    return [out == b"HELLO" * 50_000, process.returncode]


async def do_many():
    async def one(number):
        process = await asyncio.create_subprocess_exec("sh", "-c", f"exit {number}")
        return await process.wait()

    return await asyncio.wait_for(asyncio.gather(*map(one, range(20))), 20)


def fork(how):
    """The child may leave here. Answers as os.fork() does."""
    pid = os.fork()
    if pid == 0:
        if how == "exit":
            sys.exit(5)
        if how == "raise":
            raise LookupError("the child has failed")
        if how == "look":
            sys.setprofile(refuse_events)
    return pid


def refuse_events(frame, event, what):
    """Ends a child that would take what is its parent's."""
    if event == "c_call" and what.__name__ in ("drain", "gather", "is_to_stop"):
        os._exit(7)


async def fork_in_task(how):
    return await asyncio.ensure_future(fork_later(how))


async def fork_later(how):
    pid = fork(how)
    if pid == 0 and how == "wait":
        await FOREVER
    return pid


async def fork_in_thread(how):
    return await asyncio.to_thread(fork, how)


async def ended(pid):
    """How a child has ended."""
    for _ in range(500):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        await asyncio.sleep(0.02)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return "it has not ended"


async def do_fork(how, where="handler"):
    """A child that leaves the handler, or waits in it, which it cannot: the loop is its parent's. Its parent says how it has ended."""
    pid = await {"handler": fork_later, "task": fork_in_task, "thread": fork_in_thread}[where](how)
    if pid == 0:
        if how == "look":
            await FOREVER
        return "from the child"
    return await ended(pid)


async def do_debug(on):
    asyncio.get_running_loop().set_debug(on == "1")


class Forever:
    """What a child of a loop's comes back to that loop with."""

    def __await__(self):
        while True:
            yield


FOREVER = Forever()


def fork_at_exit():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


async def do_at_exit():
    """A child of the end of the process, when its loop is closed."""
    atexit.register(fork_at_exit)


async def do_tasks():
    """What from 3.11 on a standard application is made of."""
    if not hasattr(asyncio, "TaskGroup"):
        return None
    found = []
    try:
        async with asyncio.timeout(0.05):
            await asyncio.sleep(60)
    except TimeoutError:
        found.append("timeout")

    async def fail():
        raise LookupError("one of them")

    async def wait():
        try:
            await asyncio.sleep(60)
        finally:
            found.append("cancelled")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(wait())
            await asyncio.sleep(0)
            group.create_task(fail())
    except BaseException as error:
        found.append([type(one).__name__ for one in error.exceptions])
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asyncio.sleep(0, number)) for number in range(3)]
    found.append([task.result() for task in tasks])
    return found
