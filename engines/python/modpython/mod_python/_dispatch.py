# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs the handlers of a phase, in the order and by the rules of mod_python."""

import html
import sys
from threading import get_ident

from mod_python import _connection, _failures, _importer, _phases, apache
from mod_python._filter import Filter
from mod_python._filters import FILTERS, INPUT
from mod_python._request import Request


def run(transaction, request, phase, interpreter, handlers, settings, options, filter_name=""):
    """Answers the object of the request, for its next phase, and what the phase answers."""
    if request is None:
        request = Request(transaction)
    if phase in FILTERS:
        return request, _run_filter(request, phase, filter_name, interpreter, handlers[0], settings, options)
    if phase == _connection.PHASE:
        return request, _run_connection(request, interpreter, handlers, settings, options)
    name, going = _phases.PHASES[phase]
    request.phase, request.interpreter = name, interpreter
    request._settings, request._options = settings, options
    # Handlers may add others while they run.
    running = request._running = list(handlers)
    request.__dict__.pop("_relatives", None)
    answer = apache.DECLINED
    default, is_content = _phases.DEFAULTS[phase], phase == _phases.CONTENT
    here, current = get_ident(), apache._CURRENT.requests
    outer, current[here] = current.get(here), request
    try:
        if phase == _phases.CLEANUP:
            _clean_up(request)
        for at, (handler, directory) in enumerate(running):
            request._at = at
            given = _run_one(request, handler, default, directory, is_content)
            if given is _NOT_THERE:
                continue
            answer = given
            if answer not in going:
                break
    finally:
        if outer is None:
            del current[here]
        else:
            current[here] = outer
    if phase in _phases.LAST or answer not in (apache.OK, apache.DECLINED):
        _end(request)
    return request, answer


def _run_filter(request, phase, filter_name, interpreter, handler, settings, options):
    """One run of a filter, perhaps inside of a phase of the same request, whose object keeps what it says of that."""
    name, default = FILTERS[phase]
    word, directory = handler
    before = {key: getattr(request, key) for key in _OF_A_RUN}
    request.phase, request.interpreter, request._directory = name, interpreter, directory
    request._settings, request._options, request._running, request._at = settings, options, [handler], 0
    request.__dict__.pop("_relatives", None)
    outer = apache._CURRENT.replace(request)
    try:
        filter = Filter(request, filter_name, phase == INPUT, word, directory)
        _find(request, word, default, directory, filter)(filter)
        return apache.OK
    except apache.SERVER_RETURN as error:
        return _returned(request, error)
    except Exception as error:
        return _failed(request, word, error, False)
    finally:
        apache._CURRENT.replace(outer)
        request.__dict__.update(before)


def _run_connection(request, interpreter, handlers, settings, options):
    """Gives a connection to its handlers, until one does not decline. What stands in the place of a request they do not see."""
    request.phase, request.interpreter = _connection.NAME, interpreter
    request._settings, request._options = settings, options
    conversation = _connection.Conversation(request)
    outer = apache._CURRENT.replace(request)
    try:
        for handler, directory in handlers:
            request._directory = directory
            answer = _run_one(request, handler, _connection.DEFAULT, directory, False, conversation)
            if answer != apache.DECLINED:
                return answer
        return apache.DECLINED
    finally:
        apache._CURRENT.replace(outer)


#: Instead of a handler that its module may lack.
_NOT_THERE = object()

#: What a request says of the run of its handlers that is at work.
_OF_A_RUN = ("phase", "interpreter", "_directory", "_settings", "_options", "_running", "_at", "_relatives")


def _clean_up(request):
    """Calls what was registered, the last one first."""
    while request._cleanups:
        callable, data = request._cleanups.pop()
        try:
            callable(data)
        except Exception as error:
            _failures.tell(request._transaction.log, error, f'GW0319 a clean-up of interpreter "{request.interpreter}" raised ')


def _end(request):
    """After the last handler that may look at the request: locks of sessions are given back, whatever it has forgotten."""
    for call in request.__dict__.pop("_at_end", ()):
        try:
            call()
        except Exception as error:
            _failures.tell(request._transaction.log, error, f'GW0319 the end of a request of interpreter "{request.interpreter}" raised ')


def _run_one(request, handler, default, directory, is_content, argument=None):
    """`argument`: what handlers get that are not given the request."""
    argument = request if argument is None else argument
    try:
        request._directory = directory
        found = _find(request, handler, default, directory, argument)
        if found is _NOT_THERE:
            return found
        answer = found(argument)
        # A bool is a slip of the pen: True would be status 1.
        if type(answer) is not int:
            kind = type(answer).__name__
            raise TypeError(f"the handler {handler!r} returned {kind}; return apache.OK, apache.DECLINED or a status")
        return answer
    except apache.SERVER_RETURN as error:
        return _returned(request, error)
    except Exception as error:
        return _failed(request, handler, error, is_content)


def _returned(request, error):
    """What `raise apache.SERVER_RETURN(...)` answers: a result, or a result with the status of the response."""
    result, *status = error.args or (apache.OK,)
    if status and status[0] is not None:
        request.status = status[0]
    return result if type(result) is int else apache.HTTP_INTERNAL_SERVER_ERROR


def _find(request, handler, default, directory, argument):
    """The object of `module`, `module::object` or `module::object.method`; `argument` is what it will be called with."""
    settings = request._settings
    reload = settings.get("PythonAutoReload", "1") == "1"
    key = None if reload else (request.interpreter, handler, directory, default)
    if key in _STEADY:
        module, part = _STEADY[key]
        found = getattr(module, part)
        if not isinstance(found, type):
            return found
    module_name, path, parts = _WORDS.get(handler) or _parse(handler)
    if "PythonPath" in settings:
        _importer.use_path(settings["PythonPath"])
    module = found = _importer.find(request.interpreter, module_name, (directory,) if directory else (), reload)
    if path == _phases.IF_THERE:
        if not hasattr(found, default):
            return _NOT_THERE
        path, parts = "", None
    for part in parts or (default,):
        if isinstance(found, type):
            # A method of a class is one of an object that the request has for itself.
            found = found(argument)
        found = getattr(found, part)
    if key is not None and len(parts or (default,)) == 1 and len(_STEADY) < _MOST_WORDS:
        _STEADY[key] = module, part
    return found(argument) if not path and isinstance(found, type) else found


#: Where handlers of modules are that are loaded once (PythonAutoReload Off): module and name, by interpreter, word, directory and default.
_STEADY = {}
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
    if not is_content or request._began or request._settings.get("PythonDebug") != "1":
        return apache.HTTP_INTERNAL_SERVER_ERROR
    try:
        request.status = apache.HTTP_INTERNAL_SERVER_ERROR
        request.content_type = "text/html; charset=utf-8"
        shown = html.escape("\n".join(_failures.lines(error)))
        title = html.escape(f"{request.phase} {handler}")
        request.write(
            f"<!doctype html>\n<title>500 Internal Server Error</title>\n<h1>{title} failed</h1>\n<pre>{shown}</pre>\n"
            "<p>This page is shown because of PythonDebug On.</p>\n"
        )
    except OSError:
        # The client has left.
        return apache.HTTP_INTERNAL_SERVER_ERROR
    return apache.DONE


assert sys.version_info >= (3, 9), "Gangway's mod_python needs Python 3.9"
