# SPDX-License-Identifier: MIT OR Apache-2.0
"""`__auth__`, `__access__` and `__auth_realm__`: of an object, or written inside of a function.

    def page(req):
        def __auth__(req, user, password):
            return password == "secret"
        __access__ = ["adam", "eve"]

The inner ones are never run by Python: they are found in the code of the function and in its source. Where that cannot be done for sure,
this raises, so that a guard that is not understood never lets anybody pass.
"""

import ast
import functools
import hmac
import inspect
import textwrap
import types

NAMES = ("__auth__", "__access__", "__auth_realm__")


class NotUnderstood(TypeError):
    """A guard that this module cannot read. The page of it is status 500."""


def of(thing):
    """The guards of an object, as dictionaries, the outermost first: its own, then those inside of its function, then of what that wraps."""
    seen, pending = [], [thing]
    while pending:
        thing = pending.pop()
        own = {name: getattr(thing, name) for name in NAMES if hasattr(thing, name)}
        if own:
            yield own
        function = _function(thing)
        inner = {} if function is None else _inside(function)
        if inner:
            yield inner
        # A decorator's function stands before the one that has the guards, or an object does, which may have no code of Python's: functools.cache.
        for place in (function, _bare(thing)):
            if place is not None and not any(place is known for known in seen):
                seen.append(place)
                pending += [wrapped for wrapped in [inspect.getattr_static(place, "__wrapped__", None)] if wrapped is not None]


def _function(thing):
    if isinstance(thing, types.MethodType):
        thing = thing.__func__
    elif not isinstance(thing, types.FunctionType) and not isinstance(thing, type):
        call = getattr(type(thing), "__call__", None)
        if hasattr(thing, "func") and hasattr(thing, "keywords"):  # functools.partial
            return _function(thing.func)
        thing = call
    return thing if isinstance(thing, types.FunctionType) else None


def _bare(thing):
    """What a method or a functools.partial calls in the end."""
    while True:
        if isinstance(thing, types.MethodType):
            thing = thing.__func__
        elif isinstance(thing, functools.partial):
            thing = thing.func
        else:
            return thing


def _inside(function):
    """The guards that stand in the body of a function."""
    code = function.__code__
    # A name that is assigned is a variable of the function; one that an inner function uses, a cell.
    wanted = [name for name in NAMES if name in code.co_varnames or name in code.co_cellvars]
    if not wanted:
        return {}
    nested = {}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType) and constant.co_name in wanted:
            if constant.co_name in nested:
                raise NotUnderstood(f"{constant.co_name} stands twice in {function.__qualname__}")
            nested[constant.co_name] = constant
    found, values = {}, None
    for name in wanted:
        if name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
            raise NotUnderstood(f"{name} is a parameter of {function.__qualname__}, which a client could give")
        if name in nested:
            found[name] = _built(function, nested[name])
        else:
            if values is None:
                values = _assigned(function)
            if name not in values:
                raise NotUnderstood(f"{name} in {function.__qualname__} is neither a function nor a constant at the top of its body")
            found[name] = values[name]
    return found


def _built(function, code):
    if code.co_freevars:
        names = ", ".join(code.co_freevars)
        raise NotUnderstood(f"{code.co_name} in {function.__qualname__} uses variables of the function, which has not run: {names}")
    built = types.FunctionType(code, function.__globals__, code.co_name)
    built.__module__ = function.__module__
    return built


def _assigned(function):
    """Constants that are assigned at the top of a function's body."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError, TypeError) as error:
        raise NotUnderstood(f"the source of {function.__qualname__} cannot be read for its guards: {error}") from error
    body = tree.body[0]
    if not isinstance(body, (ast.FunctionDef, ast.AsyncFunctionDef)) or body.name != function.__code__.co_name:
        raise NotUnderstood(f"the source of {function.__qualname__} is not where it was")
    values = {}
    for step in body.body:
        targets = step.targets if isinstance(step, ast.Assign) else [step.target] if isinstance(step, ast.AnnAssign) and step.value else []
        for target in targets:
            if isinstance(target, ast.Name) and target.id in NAMES:
                try:
                    values[target.id] = ast.literal_eval(step.value)
                except ValueError:
                    # One that takes a value from elsewhere: the module's names are known, those of the function are not.
                    values[target.id] = _named(function, target.id, step.value)
    return values


def _named(function, name, node):
    if isinstance(node, ast.Name) and node.id in function.__globals__ and node.id not in function.__code__.co_varnames:
        return function.__globals__[node.id]
    raise NotUnderstood(f"{name} in {function.__qualname__} must be a function, a constant or a name of the module")


def is_same(expected, given):
    """Whether a password is that of a dictionary, in a time that does not tell how much of it is right. None is nobody's."""
    if not isinstance(expected, (str, bytes)):
        return False
    expected = expected.encode("utf-8", "surrogateescape") if isinstance(expected, str) else expected
    return hmac.compare_digest(expected, given.encode("utf-8", "surrogateescape"))
