# SPDX-License-Identifier: MIT OR Apache-2.0
"""A Flask application for uWSGI, with the paths of every backend here."""

import json

from flask import Flask, Response, redirect, request

application = Flask(__name__)


def everywhere(name, **options):
    """A server may say where the application is mounted in SCRIPT_NAME, or leave the mount in PATH_INFO."""

    def add(view):
        application.add_url_rule(f"/{name}", view.__name__, view, **options)
        application.add_url_rule(f"/<mount>/{name}", view.__name__, view, **options)
        return view

    return add


@everywhere("hello")
def hello(mount=None):
    return Response("hello", mimetype="text/plain")


@everywhere("env")
def env(mount=None):
    found = {key: value for key, value in request.environ.items() if isinstance(value, str)}
    return Response(json.dumps(found), mimetype="application/json")


@everywhere("echo", methods=["POST"])
def echo(mount=None):
    body = request.get_data()
    return Response(body, mimetype="text/plain", headers={"X-Length": str(len(body))})


@everywhere("large")
def large(mount=None):
    size, block = int(request.args["size"]), bytes(range(256)) * 256
    return Response((block[: min(len(block), size - at)] for at in range(0, size, len(block))), mimetype="text/plain")


@everywhere("missing")
def missing(mount=None):
    response = Response("nothing here", status="404 Not There", mimetype="text/plain")
    response.headers.add("Set-Cookie", "a=1")
    response.headers.add("Set-Cookie", "b=2")
    return response


@everywhere("redirect")
def elsewhere(mount=None):
    return redirect("http://other.example/", code=303)
