# SPDX-License-Identifier: MIT OR Apache-2.0
"""Applications for the security tests: they show what reached them, and return what they must not."""

import json
import os
import subprocess
import sys

from gate import Gate, query

SEEN = []  # the X-Id of every request that ran, in order


def text(start_response, body, fields=()):
    body = body if isinstance(body, bytes) else body.encode("utf-8", "surrogateescape")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), *fields])
    return [body]


def env(environ, start_response):
    shown = {k: v for k, v in environ.items() if type(v) is str}
    return text(start_response, json.dumps(shown))


def process(environ, start_response):
    return text(
        start_response,
        json.dumps(
            {"environ": dict(os.environ), "uid": os.getresuid(), "gid": os.getresgid(), "groups": os.getgroups()}
        ),
    )


def body(environ, start_response):
    """Counts the request and echoes what it was given, with its id."""
    SEEN.append(environ.get("HTTP_X_ID", "none"))
    data = environ["wsgi.input"].read()
    return text(start_response, data, [("X-Id", environ.get("HTTP_X_ID", "none"))])


def seen(environ, start_response):
    return text(start_response, json.dumps(SEEN))


def forget(environ, start_response):
    SEEN.clear()
    return text(start_response, "")


def headers(environ, start_response):
    """Answers with the status and headers that the request's body gives as JSON."""
    wanted = json.loads(environ["wsgi.input"].read())
    start_response(wanted.get("status", "200 OK"), [tuple(field) for field in wanted.get("headers", [])])
    return [wanted.get("body", "body").encode()]


CHILD = """
import json, os
found = {}
for name in os.listdir("/proc/self/fd"):
    try:
        found[int(name)] = os.readlink("/proc/self/fd/" + name)
    except FileNotFoundError:
        pass  # the listing itself
print(json.dumps(found))
"""


def child(environ, start_response):
    """The descriptors of a child process, started as `?how=` says."""
    command = [sys.executable, "-I", "-c", CHILD]
    how = query(environ)["how"]
    if how == "system":
        target = query(environ)["out"]
        script = target + ".py"
        with open(script, "w") as out:
            out.write(CHILD)
        os.system(f"{sys.executable} -I {script} > {target}")
        with open(target) as result:
            return text(start_response, result.read())
    done = subprocess.run(command, close_fds=how != "inherit", capture_output=True, check=True)
    return text(start_response, done.stdout)


def leaves_child(environ, start_response):
    """Starts a child that outlives the request and changes its session."""
    process = subprocess.Popen(["sleep", "300"], start_new_session=True, stdout=subprocess.DEVNULL)
    return text(start_response, str(process.pid))


def hold(environ, start_response):
    """Waits at the gate, then answers with the id of its own request."""
    gate = Gate(environ)
    gate.wait(environ.get("HTTP_X_ID", "none"))
    gate.close()
    return text(start_response, environ.get("HTTP_X_ID", "none"))


def marks(environ, start_response):
    """Adds to environ, and shows what of an earlier request is still there."""
    left = [name for name in environ if name.startswith("mark.")]
    environ["mark.of." + environ.get("HTTP_X_ID", "none")] = True
    environ["HTTP_X_INVENTED"] = "by an application"
    return text(start_response, json.dumps({"left": left, "invented": environ.get("HTTP_X_BEFORE")}))


def large_header(environ, start_response):
    size = int(query(environ)["size"])
    return text(start_response, "large", [("X-Large", "h" * size)])


def many_headers(environ, start_response):
    count = int(query(environ)["count"])
    return text(start_response, "many", [(f"X-Many-{n}", "h" * 50) for n in range(count)])


APPS = {f.__name__: f for f in (
    env, process, body, seen, forget, headers, child, leaves_child, hold, marks, large_header, many_headers,
)}  # fmt: skip


def app(environ, start_response):
    return APPS[environ["PATH_INFO"].strip("/").partition("/")[0]](environ, start_response)
