# SPDX-License-Identifier: MIT OR Apache-2.0
"""A shop in Flask."""

import os

import flask

app = flask.Flask(__name__)
GOODS = {"anchor": 120, "rope": 15}


@app.get("/")
def goods():
    links = "".join(f'<li><a href="{flask.url_for("good", name=name)}">{name}</a>' for name in GOODS)
    return f"<!doctype html><title>shop</title><ul>{links}</ul><p>Flask in process {os.getpid()} of user {os.geteuid()}\n"


@app.get("/goods/<name>")
def good(name):
    if name not in GOODS:
        flask.abort(404)
    return flask.jsonify(name=name, price=GOODS[name])
