# SPDX-License-Identifier: MIT OR Apache-2.0
"""Where gangway_pass goes in nginx: blocks of if and limit_except, addresses of variables, variables of the script."""

import pytest

from harness import upstreams
from harness.site import quoted

pytestmark = [
    pytest.mark.servers("nginx", "nginx128"),
    pytest.mark.better("names of Gangway's own", absent=True),
]

SPLIT = quoted(r"^(.+?\.php)(/.*)$")
SHOW = 'default_type text/plain; return 200 "$gangway_script_name|$gangway_path_info";'


def configure(site, kind):
    site.nginx_server = f"gangway_index outer.php; gangway_split_path_info {SPLIT};"
    site.location("/v/", nginx=SHOW)
    site.location("/v/inner/", nginx=f"gangway_index inner.php; {SHOW}")
    site.location("/v/pattern/", nginx=f"gangway_split_path_info {quoted('^(.+/p)(/.*)$')}; {SHOW}")
    backend = site.recorder("fastcgi")
    site.nginx_http = f"upstream group {{ server {backend.where}; }}"
    blocks = "if ($arg_if) { expires 1h; }\nlimit_except GET { deny 10.0.0.0/8; }"
    site.passes("/fastcgi/blocks/", backend, nginx=blocks)
    site.location("/fastcgi/other/", nginx=f"if ($arg_to) {{ gangway_pass {backend.address}; }}\nempty_gif;")
    site.location("/fastcgi/address/", nginx="gangway_pass fastcgi://$arg_where;")
    site.location("/fastcgi/url/", nginx="gangway_pass $arg_backend;")


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("/v/", "/v/outer.php|"),
        ("/v/inner/", "/v/inner/inner.php|"),
        ("/v/x.php", "/v/x.php|"),
        ("/v/x.php/more", "/v/x.php|/more"),
        ("/v/x.php/a/b.php/", "/v/x.php|/a/b.php/"),
        ("/v/%78.php/%2e", "/v/x.php|/"),
        ("/v/x", "/v/x|"),
        ("/v/pattern/p/q", "/v/pattern/p|/q"),
        ("/v/pattern/x.php/q", "/v/pattern/x.php/q|"),
        ("/v/pattern/", "/v/pattern/outer.php|"),
    ],
)
def test_variables_of_the_script(server, path, values):
    assert server.get(path).body.decode() == values


@pytest.fixture
def backend(server):
    return server.site.backends["fastcgi"]


def hello(server, backend, path, **kw):
    response = upstreams.answered(server, backend, upstreams.hello("fastcgi"), path=path, **kw)
    assert (response.status, response.body) == (200, b"hello")
    return response


def test_an_if_passes_where_its_location_passes(server, backend):
    assert hello(server, backend, "/blocks/x?if=1").header("Cache-Control") == "max-age=3600"
    assert hello(server, backend, "/blocks/x").header("Cache-Control") is None


def test_a_limit_except_passes_where_its_location_passes(server, backend):
    hello(server, backend, "/blocks/x", method="DELETE")


def test_an_if_may_pass_where_its_location_does_not(server, backend):
    hello(server, backend, "/other/x?to=1")
    assert server.get("/fastcgi/other/x").header("Content-Type") == "image/gif"


def test_a_location_that_ends_in_a_slash_redirects_to_it(server):
    response = server.get("/fastcgi/blocks")
    assert response.status == 301
    assert response.header("Location").endswith("/fastcgi/blocks/")


def test_an_address_of_variables(server, backend):
    hello(server, backend, f"/address/x?where={backend.where}")
    hello(server, backend, "/address/x?where=group")


def test_a_scheme_of_variables(server, backend):
    hello(server, backend, f"/url/x?backend={backend.address}")
    hello(server, backend, "/url/x?backend=fastcgi://group")


@pytest.mark.parametrize("path", ["/address/x?where=:9", "/url/x?backend=group", "/url/x?backend=http://group", "/url/x"])
def test_variables_that_make_no_address(server, path):
    assert server.get(f"/fastcgi{path}").status == 500
    server.log.expect("GW0106")
