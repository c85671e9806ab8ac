# SPDX-License-Identifier: MIT OR Apache-2.0
"""Needs what requirements.txt says."""
import flask

app = flask.Flask(__name__)


@app.route("/")
def hello():
    return "hello from Flask\n"
