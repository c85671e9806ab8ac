# SPDX-License-Identifier: MIT OR Apache-2.0
"""The smallest Flask application."""

from flask import Flask

application = Flask(__name__)


@application.route("/flask")
def hello():
    return "Hello, World!\n", 200, {"Content-Type": "text/plain"}
