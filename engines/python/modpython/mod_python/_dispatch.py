# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs the handlers of a phase, in the order and by the rules of mod_python."""

import html
import sys

from mod_python import _connection, _failures, _importer, _phases, apache
from mod_python._filter import Filter
from mod_python._filters import INPUT


def run(request, place):
    """Runs the handlers of a place for a request, and answers what the phase answers. One handler whose module is loaded once the engine calls itself."""
    if place.is_filter:
        return _run_filter(request, place)
    if place.number == _phases.CONNECTION:
        return _run_connection(request, place)
    request._place, request._running, request._relatives = place, None, None
    outer = apache._CURRENT.replace(request)
    try:
        if place.number == _phases.CLEANUP:
            _clean_up(request)
        answer = go_on(request, place, 0, apache.DECLINED)
    finally:
        apache._CURRENT.replace(outer)
    if place.is_last or answer not in (apache.OK, apache.DECLINED):
        end(request)
    return answer


def go_on(request, place, at, answer, argument=None):
    """Runs the handlers from one of them on. Handlers may add others while they run. `argument`: what those get that are not given the request."""
    while at < len(running := request._handlers()):
        request._at = at
        given = _run_one(request, place, at, running[at], argument)
        at += 1
        if given is _NOT_THERE:
            continue
        answer = given
        if answer not in place.going:
            break
    request._at, request._running = 0, None
    return answer


def _run_filter(request, place):
    """One run of a filter, perhaps inside of a phase of the same request, whose object keeps what it says of that."""
    before = {key: getattr(request, key) for key in _OF_A_RUN}
    request._place, request._running, request._at, request._relatives = place, None, 0, None
    outer = apache._CURRENT.replace(request)
    word, directory = place.handlers[0]
    try:
        filter = Filter(request, place.filter_name, place.number == INPUT, word, directory)
        call(place, _find(place, 0, word, directory, filter), filter)
        return apache.OK
    except apache.SERVER_RETURN as error:
        return _returned(request, error)
    except Exception as error:
        return _failed(request, word, error, False)
    finally:
        apache._CURRENT.replace(outer)
        request.__dict__.update(before)


def _run_connection(request, place):
    """Gives a connection to its handlers, until one does not decline. What stands in the place of a request they do not see."""
    request._place = place
    conversation = _connection.Conversation(request)
    outer = apache._CURRENT.replace(request)
    try:
        return go_on(request, place, 0, apache.DECLINED, conversation)
    finally:
        apache._CURRENT.replace(outer)


#: Instead of a handler that its module may lack.
_NOT_THERE = object()

#: What a request says of the run of its handlers that is at work.
_OF_A_RUN = ("_place", "_running", "_at", "_relatives")


def _clean_up(request):
    """Calls what was registered, the last one first."""
    while request._cleanups:
        callable, data = request._cleanups.pop()
        try:
            callable(data)
        except Exception as error:
            _failures.tell(request._transaction.log, error, f'GW0319 a clean-up of interpreter "{request.interpreter}" raised ')


def end(request):
    """After the last handler that may look at the request: locks of sessions are given back, whatever it has forgotten."""
    calls, request._at_end = request._at_end, None
    for call in calls or ():
        try:
            call()
        except Exception as error:
            _failures.tell(request._transaction.log, error, f'GW0319 the end of a request of interpreter "{request.interpreter}" raised ')


def _run_one(request, place, at, handler, argument=None):
    word, directory = handler
    argument = request if argument is None else argument
    try:
        found = _find(place, at, word, directory, argument)
        return found if found is _NOT_THERE else checked(word, call(place, found, argument))
    except Exception as error:
        return caught(request, word, error)


def call(place, found, argument):
    """Calls a handler, under pdb where PythonEnablePdb and a server with a terminal (`httpd -X`) want that."""
    if place.is_debugged and (apache.exists_config_define("DEBUG") or apache.exists_config_define("ONE_PROCESS")):
        from mod_python import _debugger

        return _debugger.run(found, argument)
    return found(argument)


def checked(word, answer):
    """The answer of a handler. A bool is a slip of the pen: True would be status 1."""
    if type(answer) is not int:
        kind = type(answer).__name__
        raise TypeError(f"the handler {word!r} returned {kind}; return apache.OK, apache.DECLINED or a status")
    return answer


def caught(request, word, error):
    """What a handler answers that has raised this."""
    if isinstance(error, apache.SERVER_RETURN):
        return _returned(request, error)
    if isinstance(error, Exception):
        return _failed(request, word, error, request._place.number == _phases.CONTENT)
    raise error


def answered(request, word, answer):
    """The answer of a handler that is no number."""
    try:
        return checked(word, answer)
    except TypeError as error:
        return caught(request, word, error)


def _returned(request, error):
    """What `raise apache.SERVER_RETURN(...)` answers: a result, or a result with the status of the response."""
    result, *status = error.args or (apache.OK,)
    if status and status[0] is not None:
        request.status = status[0]
    return result if type(result) is int else apache.HTTP_INTERNAL_SERVER_ERROR


def _find(place, at, word, directory, argument):
    """The object of `module`, `module::object` or `module::object.method`; `argument` is what it will be called with."""
    is_steady = place.settings.get("PythonAutoReload", "1") != "1" and at < len(place.handlers) and not place.is_debugged
    if is_steady and at in place.steady:
        module, part = place.steady[at]
        found = getattr(module, part)
        if not isinstance(found, type):
            return found
    module_name, path, parts = _WORDS.get(word) or _parse(word)
    if "PythonPath" in place.settings:
        _importer.use_path(_importer.as_path(place.settings["PythonPath"]))
    reload = place.settings.get("PythonAutoReload", "1") == "1"
    module = found = _importer.of_handler(place.interpreter, module_name, directory, place.options, reload)
    if path == _phases.IF_THERE:
        if not hasattr(found, place.default):
            return _NOT_THERE
        path, parts = "", None
    for part in parts or (place.default,):
        if isinstance(found, type):
            # A method of a class is one of an object that the request has for itself.
            found = found(argument)
        found = getattr(found, part)
    if is_steady and len(parts or (place.default,)) == 1:
        place.steady[at] = module, part
    return found(argument) if not path and isinstance(found, type) else found


#: Words of handlers in their parts: the configuration has not many.
_WORDS = {}
_MOST_WORDS = 1024


def _parse(handler):
    """`module`, the object's name or "", and the parts of that."""
    module_name, _, path = handler.partition("::")
    parsed = module_name, path, tuple(path.split(".")) if path else None
    if len(_WORDS) < _MOST_WORDS:
        _WORDS[handler] = parsed
    return parsed


def _failed(request, handler, error, is_content):
    """Says in the log what has happened, and in the response where PythonDebug is on. Answers 500: never access."""
    text = f'GW0319 {request.phase} "{handler}" of interpreter "{request.interpreter}" raised '
    _failures.tell(request._transaction.log, error, text)
    if not is_content or request._settings.get("PythonDebug") != "1":
        return apache.HTTP_INTERNAL_SERVER_ERROR
    if request._began and _is_announced(request):
        # What fills the length would look like the end of the response to its client.
        return apache.HTTP_INTERNAL_SERVER_ERROR
    shown = html.escape("\n".join(_failures.lines(error)))
    title = html.escape(f"{request.phase} {handler}")
    text = f"<h1>{title} failed</h1>\n<pre>{shown}</pre>\n<p>This page is shown because of PythonDebug On.</p>\n"
    begins = "\n" if request._began else "<!doctype html>\n<title>500 Internal Server Error</title>\n"
    page = (begins + text).encode("utf-8", "backslashreplace")
    try:
        request.status, request.status_line = apache.HTTP_INTERNAL_SERVER_ERROR, None
        for table in (request.headers_out, request.err_headers_out):
            for name in _OF_THE_DOCUMENT if not request._began else ("Content-Length",):
                table.pop(name, None)
        if not request._began:
            request.content_type, request.content_encoding = "text/html; charset=utf-8", None
            request.set_content_length(len(page))
        # Behind what it has written, as in mod_python.
        request.write(page)
    except (OSError, ValueError):
        # The client has left, or the server refuses what the handler has made of the head.
        return apache.HTTP_INTERNAL_SERVER_ERROR
    return apache.DONE


def _is_announced(request):
    """Whether the head of the response has left, or can be no other any more, and says a length."""
    try:
        tables = request.headers_out, request.err_headers_out
        return bool(request.sent_bodyct) and (request.clength > 0 or any("Content-Length" in table for table in tables))
    except OSError:
        # The client has left.
        return True


#: What a handler may have said of what it was about to send.
_OF_THE_DOCUMENT = (
    "Content-Length", "Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition", "Content-Range", "Content-MD5", "Digest",
    "Content-Digest", "Repr-Digest", "ETag", "Last-Modified", "Accept-Ranges", "Cache-Control", "Expires",
)  # fmt: skip


assert sys.version_info >= (3, 9), "Gangway's mod_python needs Python 3.9"
