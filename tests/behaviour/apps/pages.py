# SPDX-License-Identifier: MIT OR Apache-2.0
"""Pages with server-side includes of other paths of the same application."""


def outer():
    return 'before <!--#include virtual="/pages/inner?x=1" --> after'


def several():
    return " ".join(f'<!--#include virtual="/pages/number?{n}" -->' for n in range(5))


def broken():
    return 'before <!--#include virtual="/pages/raises" --> after'


def streams():
    return '<!--#include virtual="/pages/stream?1" --><!--#include virtual="/pages/stream?2" -->'


def app(environ, start_response):
    path = environ["PATH_INFO"].strip("/")
    if path == "raises":
        raise RuntimeError("the included part fails")
    if path == "stream":
        start_response("200 OK", [("Content-Type", "text/html")])
        return (environ["QUERY_STRING"].encode() * 4096 for _ in range(20))
    if path == "inner":
        body = f"[inner {environ['REQUEST_METHOD']} {environ['SCRIPT_NAME']}{environ['PATH_INFO']} {environ['QUERY_STRING']}]"
    elif path.startswith("of/"):
        environ["wsgi.input"].read()
        body = f'<!--#include virtual="/{path.removeprefix("of/")}/env" -->'
    elif path == "number":
        body = f"[{environ['QUERY_STRING']}]"
    else:
        body = {"outer": outer, "several": several, "broken": broken, "streams": streams}[path]()
    start_response("200 OK", [("Content-Type", "text/html")])
    return [body.encode()]
