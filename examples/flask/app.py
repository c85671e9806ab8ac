# SPDX-License-Identifier: MIT OR Apache-2.0
"""A small Flask application: what a request looks like from inside, a form, a stream and an upload."""

import hashlib
import os
import sys
import threading
import time
from importlib.metadata import version

import flask
from jinja2 import DictLoader

app = flask.Flask(__name__)
app.jinja_loader = DictLoader(
    {
        "page.html": """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{% block title %}{% endblock %}</title>
<style>body { font: 16px/1.5 sans-serif; margin: 2em auto; max-width: 48em } td { padding-right: 1.5em }</style>
<h1>{{ self.title() }}</h1>
<p><a href="{{ url_for('index') }}">facts</a> | <a href="{{ url_for('form') }}">form</a> |
<a href="{{ url_for('stream') }}">stream</a> | <a href="{{ url_for('upload') }}">upload</a></p>
{% block body %}{% endblock %}
</html>
""",
        "index.html": """{% extends "page.html" %}
{% block title %}Flask inside {{ facts["server"] }}{% endblock %}
{% block body %}<table>
{% for name, value in facts.items() %}<tr><td>{{ name }}</td><td><code>{{ value }}</code></td></tr>
{% endfor %}</table>{% endblock %}
""",
        "form.html": """{% extends "page.html" %}
{% block title %}A form{% endblock %}
{% block body %}<form method="post"><input name="name" placeholder="Your name"> <button>Greet</button></form>
{% if name %}<p>Hello, {{ name }}!</p>{% endif %}{% endblock %}
""",
        "upload.html": """{% extends "page.html" %}
{% block title %}An upload{% endblock %}
{% block body %}<form method="post" enctype="multipart/form-data"><input type="file" name="file"> <button>Send</button></form>
{% if digest %}<p><code>{{ name }}</code>: {{ size }} bytes, SHA-256 <code>{{ digest }}</code></p>{% endif %}{% endblock %}
""",
    }
)


@app.get("/")
def index():
    request = flask.request
    facts = {
        "server": request.environ["SERVER_SOFTWARE"],
        "worker": f"process {os.getpid()}, {threading.current_thread().name}",
        "Python": f"{sys.version.split()[0]} in {sys.prefix}",
        "Flask": version("flask"),
        "request": f"{request.method} {request.url} {request.environ['SERVER_PROTOCOL']}",
        "SCRIPT_NAME, PATH_INFO": f"{request.environ['SCRIPT_NAME']!r}, {request.environ['PATH_INFO']!r}",
        "client": request.remote_addr,
        "browser": request.user_agent.string,
    }
    return flask.render_template("index.html", facts=facts)


@app.route("/form", methods=["GET", "POST"])
def form():
    return flask.render_template("form.html", name=flask.request.form.get("name"))


@app.get("/stream")
def stream():
    """One line every half a second, each sent at once; `closed` appears in the error log when a reader leaves."""

    def lines():
        try:
            for number in range(1, 11):
                yield f"line {number} of 10 at {time.strftime('%H:%M:%S')}\n"
                time.sleep(0.5)
        finally:
            print("stream closed")

    return flask.Response(lines(), mimetype="text/plain", headers={"Cache-Control": "no-store"})


@app.route("/upload", methods=["GET", "POST"])
def upload():
    file = flask.request.files.get("file")
    if file is None:
        return flask.render_template("upload.html")
    digest, size = hashlib.sha256(), 0
    while block := file.stream.read(65536):
        digest.update(block)
        size += len(block)
    return flask.render_template("upload.html", name=file.filename, size=size, digest=digest.hexdigest())
