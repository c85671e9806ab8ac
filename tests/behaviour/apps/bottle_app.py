# SPDX-License-Identifier: MIT OR Apache-2.0
"""A Bottle application."""

import bottle

app = bottle.Bottle()


@app.get("/hello/<name>")
def hello(name):
    bottle.response.set_header("X-Name", name)
    return bottle.template("Hello {{name}}, {{word}}!", name=name, word=bottle.request.query.word)


@app.post("/form")
def form():
    upload = bottle.request.files.get("file")
    return {"text": bottle.request.forms.text, "name": upload.raw_filename, "length": len(upload.file.read())}


@app.get("/stream")
def stream():
    yield "a"
    yield "b" * 10_000


@app.get("/static/<path:path>")
def static(path):
    return bottle.static_file(path, root=__file__.rpartition("/")[0])


@app.get("/redirect")
def redirect():
    bottle.redirect("/bottle/hello/again")


@app.get("/broken")
def broken():
    raise KeyError("in a view")
