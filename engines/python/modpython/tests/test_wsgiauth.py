# SPDX-License-Identifier: MIT OR Apache-2.0
"""mod_wsgi's scripts for access, users and groups."""

import base64

import pytest

from mod_python import apache, wsgiauth
from mod_python._server import numbers

SCRIPT = """
seen = []
ANSWER = {answer}
def allow_access(environ, host):
    seen.append((environ["REQUEST_METHOD"], host))
    return ANSWER
def check_password(environ, user, password):
    if user == "raises":
        raise ValueError(user)
    return ANSWER if (user, password) == ("ada", "love:lace") else False
def groups_for_user(environ, user):
    return ANSWER
"""


@pytest.fixture
def ask(make, tmp_path, transaction):
    def ask(handler, answer, option, user=None, credentials=None, auth_type="Basic", **options):
        script = tmp_path / f"script{len(list(tmp_path.iterdir()))}.py"
        script.write_text(SCRIPT.replace("{answer}", repr(answer)))
        headers = {}
        if credentials is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(credentials.encode()).decode()
        given = {"mod_python.wsgiauth." + option: str(script), **{f"mod_python.wsgiauth.{name}": value for name, value in options.items()}}
        request = make(headers=headers, options=given, AUTH_TYPE=auth_type, USERAGENT_IP="192.0.2.1")
        request.interpreter = str(tmp_path)
        transaction.texts[numbers["FACT_USER"]] = user
        return handler(request), request

    return ask


@pytest.mark.parametrize(("answer", "status"), [(True, apache.OK), (False, 403), (None, apache.DECLINED)])
def test_access(ask, answer, status):
    assert ask(wsgiauth.accesshandler, answer, "access_script")[0] == status


@pytest.mark.parametrize(
    ("answer", "credentials", "status", "user"),
    [
        (True, "ada:love:lace", apache.OK, "ada"),
        ("lovelace", "ada:love:lace", apache.OK, "lovelace"),
        (True, "ada:wrong", 401, "ada"),
        ("", "ada:love:lace", 401, "ada"),
        (False, "ada:love:lace", 401, "ada"),
        (None, "ada:love:lace", apache.DECLINED, "ada"),
        (True, None, 401, None),
    ],
)
def test_passwords(ask, answer, credentials, status, user):
    found, request = ask(wsgiauth.authenhandler, answer, "auth_user_script", credentials=credentials)
    assert (found, request.user) == (status, user)


@pytest.mark.parametrize(("answer", "status"), [(["staff", "x"], apache.OK), ([], 403), (["staf"], 403)])
def test_groups(ask, answer, status):
    assert ask(wsgiauth.authzhandler, answer, "auth_group_script", user="ada", groups="admins staff")[0] == status


@pytest.mark.parametrize(
    ("handler", "answer", "option", "more"),
    [
        (wsgiauth.accesshandler, 1, "access_script", {}),
        (wsgiauth.accesshandler, "yes", "access_script", {}),
        (wsgiauth.accesshandler, True, "no_script", {}),
        (wsgiauth.authenhandler, 1, "auth_user_script", {"credentials": "ada:love:lace"}),
        (wsgiauth.authenhandler, True, "auth_user_script", {"credentials": "raises:x"}),
        (wsgiauth.authenhandler, True, "auth_user_script", {"credentials": "ada:love:lace", "auth_type": "Digest"}),
        (wsgiauth.authzhandler, "staff", "auth_group_script", {"user": "ada", "groups": "staff"}),
        (wsgiauth.authzhandler, None, "auth_group_script", {"user": "ada", "groups": "staff"}),
        (wsgiauth.authzhandler, [1], "auth_group_script", {"user": "ada", "groups": "staff"}),
        (wsgiauth.authzhandler, ["staff"], "auth_group_script", {"user": "ada"}),
        (wsgiauth.authzhandler, ["staff"], "auth_group_script", {"groups": "staff"}),
    ],
)
def test_what_is_no_answer_raises(ask, handler, answer, option, more):
    with pytest.raises((TypeError, ValueError, LookupError)):
        ask(handler, answer, option, **more)
