# SPDX-License-Identifier: MIT OR Apache-2.0
"""What comes after a response, and what handlers add for later phases."""

import sys

from mod_python import apache

STARTED = []


def start():
    STARTED.append("started")
    apache.register_cleanup(lambda data: apache.log_error(f"the process ends with {data}", apache.APLOG_NOTICE), "data")


def say(req, text):
    req.log_error(f"{req.uri}: {text}", apache.APLOG_NOTICE)


def handler(req):
    req.trail = ["content"]
    req.notes["trail"] = "content"
    for number in (1, 2):
        req.register_cleanup(lambda data: say(req, f"cleanup {data} after {req.trail}"), number)
    req.write("answered")
    return apache.OK


def loghandler(req):
    req.trail = [*getattr(req, "trail", []), "log"]
    req.notes["trail"] = " ".join(req.trail)
    for what in (lambda: req.write("late"), req.read, lambda: req.internal_redirect("/later/plain")):
        try:
            what()
        except (ValueError, OSError):
            req.trail.append("refused")
    say(req, f"logged {req.status} {req.bytes_sent} {req.trail}")
    return apache.OK


def cleanuphandler(req):
    say(req, f"cleaned {req.phase} {req.trail}")
    return apache.OK


def fails(req):
    raise ValueError("late failure")


def registers_failing(req):
    def raises(data):
        raise ValueError("failed clean-up")

    req.register_cleanup(lambda data: say(req, "the other one"))
    req.register_cleanup(raises)
    req.write("answered")
    return apache.OK


def adds(req):
    req.add_handler("PythonHandler", __file__ + "::added_content")
    req.add_handler("PythonFixupHandler", __file__ + "::added_same")
    req.add_handler("PythonLogHandler", __file__ + "::added_log")
    req.add_handler("PythonCleanupHandler", __file__ + "::added_cleanup")
    for name in ("PythonTransHandler", "PythonOutputFilter", "nonsense"):
        try:
            req.add_handler(name, "x")
        except ValueError:
            continue
        return apache.HTTP_INTERNAL_SERVER_ERROR
    req.handler = "mod_python"
    return apache.OK


def added_same(req):
    req.same = req.hlist.handler.rpartition("::")[2]
    return apache.OK


def added_content(req):
    req.write(f"added after {req.same}")
    return apache.OK


def added_log(req):
    say(req, "added log")
    return apache.OK


def added_cleanup(req):
    say(req, "added cleanup")
    return apache.OK


def started(req):
    req.write(f"{STARTED} {'later' in sys.modules}")
    return apache.OK


def plain(req):
    req.write("plain")
    return apache.OK


def redirects(req):
    req.register_cleanup(lambda data: say(req, "cleaned after a redirect"))
    req.internal_redirect("/later/plain")
    return apache.OK
