# SPDX-License-Identifier: MIT OR Apache-2.0
"""Members of `req` about what is beside it: other requests, mod_ssl, the methods that are allowed."""

from mod_python._server import numbers

#: By number, from 0 on: as apache.M_*.
METHODS = (
    "GET PUT POST DELETE CONNECT OPTIONS TRACE PATCH PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK VERSION-CONTROL CHECKOUT UNCHECKOUT"
    " CHECKIN UPDATE LABEL REPORT MKWORKSPACE MKACTIVITY BASELINE-CONTROL MERGE"
).split()

_OF_ANOTHER = "it is for the request whose handler runs, and this one is beside that"


class Beside:
    """A part of Request."""

    def _related(self, name):
        known = self._known_relatives()
        found = known.get(name, self)
        # None is an answer, too.
        if found is self:
            other = self._transaction.related(numbers["RELATED_" + name])
            found = None
            if other is not None:
                found = _other()(other)
                found._place = self._place
            known[name] = found
        return found

    def _known_relatives(self):
        if self._relatives is None:
            self._relatives = {}
        return self._relatives

    @property
    def main(self):
        """The request of which this one is a part, as mod_include makes them; None for one that the client has sent.

        Of this one, `prev` and `next` facts and tables can be read and changed as long as the handlers of this phase run; attributes that
        its own handlers have set are not there.
        """
        return self._related("MAIN")

    @property
    def prev(self):
        """The request that was redirected inside of the server to this one; None without a redirect."""
        return self._related("PREV")

    @property
    def next(self):
        """The request that this one was redirected to, as a log handler sees it; None without a redirect."""
        return self._related("NEXT")

    def ssl_var_lookup(self, var_name):
        """A variable of mod_ssl's for this connection, such as SSL_CIPHER, in any phase, as str; None where there is none, and without TLS.

        Unlike subprocess_env it does not need SSLOptions +StdEnvVars. Raises ValueError for one that the server cannot tell: nginx has some of them,
        a process of its own none.
        """
        if not isinstance(var_name, str):
            raise TypeError(f"the name of a variable is str, not {type(var_name).__name__}")
        try:
            return self._transaction.look_up(numbers["LOOK_UP_SSL"], var_name)
        except ValueError:
            raise ValueError(
                f"the server cannot tell {var_name} here; `gangway_param {var_name} $ssl_...;` (GangwayParam in httpd) puts a variable of the server into req.subprocess_env"
            ) from None

    @property
    def allowed_methods(self):
        """The methods that are allowed, by name: those of `allowed` and of `allowed_xmethods`."""
        allowed = self.allowed
        return tuple(name for at, name in enumerate(METHODS) if allowed >> at & 1) + self.allowed_xmethods

    def allow_methods(self, methods, reset=0):
        """Adds to the methods that `Allow` names in an answer of 405; with `reset` these are all. A list of names, or of numbers (apache.M_*).

        Raises ValueError for one that httpd has no number for.
        """
        allowed = 0 if reset else self.allowed
        for name in [methods] if isinstance(methods, (str, int)) else methods:
            if isinstance(name, int) and 0 <= name < len(METHODS):
                name = METHODS[name]
            # For httpd HEAD is GET.
            known = "GET" if isinstance(name, str) and name.upper() == "HEAD" else name
            if not isinstance(known, str) or known.upper() not in METHODS:
                raise ValueError(f"httpd has no number for the method {name!r}")
            allowed |= 1 << METHODS.index(known.upper())
        self.allowed = allowed


def _other():
    """The class of a request beside one; made when the whole of Request is known."""
    global _OTHER
    if _OTHER is None:
        from mod_python._request import Request

        class OtherRequest(Request):
            """A request beside the one whose handler runs: facts and tables."""

            def _refuse(self, *words, **named):
                raise AttributeError(_OF_ANOTHER)

            get_config = get_options = read = readline = readlines = write = flush = sendfile = _refuse
            add_input_filter = add_output_filter = register_input_filter = register_output_filter = _refuse
            add_handler = register_cleanup = internal_redirect = set_content_length = meets_conditions = discard_request_body = _refuse
            hlist = property(_refuse)

        _OTHER = OtherRequest
    return _OTHER


_OTHER = None
