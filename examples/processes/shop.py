# SPDX-License-Identifier: MIT OR Apache-2.0
"""A Flask application that says in which process, and as whom, it runs."""

import os

import flask

app = flask.Flask(__name__)


@app.get("/")
def index():
    return flask.Response(f"Flask runs in process {os.getpid()} as user {os.geteuid()}\n", mimetype="text/plain")
