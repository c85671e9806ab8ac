# SPDX-License-Identifier: MIT OR Apache-2.0
"""A Pyramid application."""

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound
from pyramid.response import FileIter, FileResponse, Response


def hello(request):
    return Response(f"Hello {request.matchdict['name']} at {request.application_url}")


def form(request):
    return {"text": request.POST["text"], "length": len(request.POST["file"].file.read())}


def stream(request):
    return Response(app_iter=(b"part %d\n" % number for number in range(3)), content_type="text/plain")


def file(request):
    return FileResponse(__file__, request=request, content_type="text/x-python")


def wrapped(request):
    return Response(app_iter=FileIter(open(__file__, "rb")), content_type="text/x-python")


def redirect(request):
    raise HTTPFound(request.route_url("hello", name="again"))


def broken(request):
    raise IndexError("in a view")


with Configurator() as config:
    for view, path, renderer in [
        (hello, "/hello/{name}", None),
        (form, "/form", "json"),
        (stream, "/stream", None),
        (file, "/file", None),
        (wrapped, "/wrapped", None),
        (redirect, "/redirect", None),
        (broken, "/broken", None),
    ]:
        config.add_route(view.__name__, path)
        config.add_view(view, route_name=view.__name__, renderer=renderer)
    app = config.make_wsgi_app()
