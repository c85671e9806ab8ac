# SPDX-License-Identifier: MIT OR Apache-2.0
"""`<!--#python eval -->` and `exec` in pages of mod_include, as mod_python has them."""

import pytest

pytestmark = pytest.mark.servers("apache", "apache-worker", "apache-prefork")

PAGES = {
    "eval.shtml": "<<!--#python eval=\"10*'HELLO '\" -->|<!--#python eval=\"len('HELLO')\" -->|<!--#python eval=\"'&auml;' + chr(228)\" -->>",
    "exec.shtml": """<!--#python exec="
import os
def double(text):
    return 2 * text
count = 3
" --><!--#python exec="
for n in range(count):
    filter.write(double(str(n)))
print('printed', file=filter, end='')
" -->!<!--#python eval="filter.req.uri" -->""",
    "globals.shtml": '<!--#python eval="greeting + req.args" --> <!--#python eval="\'count\' in globals()" -->',
    "branch.shtml": '<!--#if expr="false" --><!--#python exec="raise SystemError()" --><!--#else -->else<!--#endif -->',
    "fails.shtml": 'before <!--#python eval="1/0" --> between <!--#python exec="x = = 1" --> after',
    "words.shtml": 'a<!--#python -->b<!--#python other="1" -->c',
    "parts.shtml": '<!--#python exec="name = 1" -->[<!--#include virtual="eval.shtml" -->]<!--#python eval="name" -->',
    "large.shtml": "<!--#python exec=\"filter.write('x' * 1000000)\" -->end",
    "body.shtml": '<!--#python exec="req.write(\'x\')" -->',
}

GLOBALS = """
from mod_python import apache

def fixuphandler(req):
    req.ssi_globals = {"greeting": "hello "}
    return apache.OK

def handler(req):
    req.content_type = "text/html"
    req.add_output_filter("INCLUDES")
    req.write("made <!--#python eval='6 * 7' -->")
    return apache.OK
"""


def files(site, scratch):
    folder = scratch / "pages"
    folder.mkdir(exist_ok=True)
    for name, text in PAGES.items():
        (folder / name).write_text(text)
    (folder / "pages_globals.py").write_text(GLOBALS)
    return folder


@pytest.fixture
def server(launch, scratch):
    def configure(site):
        folder = files(site, scratch)
        site.apache_main = "\n".join(
            [
                "AddType text/html .shtml",
                "AddOutputFilter INCLUDES .shtml",
                f'<Directory "{folder}">',
                "    Options +Includes",
                "    PythonFixupHandler pages_globals",
                "</Directory>",
            ]
        )
        site.apache_host = f"""Alias /pages/ "{folder}/"
Alias /noexec/ "{folder}/"
<Location /noexec/>
Options +IncludesNOEXEC
</Location>
<Location /pages/made>
SetHandler mod_python
PythonHandler pages_globals
PythonPath "sys.path + ['{folder}']"
</Location>"""

    return launch(configure)


def test_expressions(server):
    assert server.get("/pages/eval.shtml?x").body == "<{}|5|&auml;ä>".format("HELLO " * 10).encode()


def test_statements_share_their_names(server):
    for _ in range(2):
        assert server.get("/pages/exec.shtml?x").body == b"001122printed!/pages/exec.shtml"


def test_names_of_a_handler_and_of_no_other_request(server):
    server.get("/pages/exec.shtml?x")
    assert server.get("/pages/globals.shtml?you").body == b"hello you False"


def test_branches_that_are_not_taken(server):
    assert server.get("/pages/branch.shtml").body == b"else"


def test_parts_have_names_of_their_own(server):
    assert server.get("/pages/parts.shtml").body == "[<{}|5|&auml;ä>]1".format("HELLO " * 10).encode()


def test_what_fails_stands_in_the_page_and_in_the_log(server):
    response = server.get("/pages/fails.shtml")
    assert response.status == 200
    assert response.body.count(b"an error occurred") == 2 and response.body.startswith(b"before ") and response.body.endswith(b" after")
    server.log.expect("GW0319 .*ZeroDivisionError")
    server.log.expect("GW0319 .*SyntaxError")
    assert server.get("/pages/words.shtml").body.count(b"an error occurred") == 2


def test_a_large_part(server):
    assert server.get("/pages/large.shtml").body == b"x" * 1_000_000 + b"end"


def test_the_response_is_the_pages(server):
    assert b"an error occurred" in server.get("/pages/body.shtml").body
    server.log.expect("GW0319 .*a filter reads and writes with its own object")


def test_where_nothing_may_be_executed(server):
    body = server.get("/noexec/eval.shtml").body
    assert b"HELLO" not in body and body.count(b"an error occurred") == 3


def test_what_a_handler_writes(server):
    assert server.get("/pages/made").body == b"made 42"


def test_without_handlers_in_the_configuration(launch, scratch):
    def configure(site):
        folder = files(site, scratch)
        site.apache_main = f'AddType text/html .shtml\nAddOutputFilter INCLUDES .shtml\n<Directory "{folder}">\nOptions +Includes\n</Directory>'
        site.apache_host = f'Alias /pages/ "{folder}/"'

    server = launch(configure)
    assert b"HELLO" not in server.get("/pages/eval.shtml").body
    server.log.allow("unknown directive .*python")
