"""A page of mod_python's publisher: /, and /greet?name=you."""


def index(req):
    return "A site for mod_python, without mod_python.\n"


def greet(req, name="you"):
    req.content_type = "text/plain; charset=utf-8"
    return f"Hello, {name}.\n"
