# SPDX-License-Identifier: MIT OR Apache-2.0
"""The configuration test warns where everybody can see the status, and nowhere else."""

import pytest

NGINX = pytest.mark.servers("nginx", "nginx128")
APACHE = pytest.mark.servers("apache")
# Of a network for documentation: no machine has this address, so nginx says as well that it cannot listen there.
ELSEWHERE = "listen 192.0.2.1:8099;"


def warns(configtest, configure):
    result = configtest(configure)
    lines = [line for line in result.output.splitlines() if "GW0110" in line]
    assert len(lines) <= 1, result.output
    return bool(lines)


def elsewhere(site, words, listen=ELSEWHERE, more=""):
    site.nginx_http += f"server {{ {listen} {more} location /gangway {{ gangway_status; {words} }} }}"


@NGINX
@pytest.mark.parametrize(
    "words, listen, expected",
    [
        ("", ELSEWHERE, True),
        ("satisfy any;", ELSEWHERE, True),
        ("", f"listen 127.0.0.1:8099; {ELSEWHERE}", True),
        ("allow 192.0.2.0/24; deny all;", ELSEWHERE, False),
        ("auth_basic closed; auth_basic_user_file users;", ELSEWHERE, False),
        ("auth_request /ask;", ELSEWHERE, False),
        ("internal;", ELSEWHERE, False),
        ("", "listen 127.0.0.1:8099;", False),
        ("", "listen [::1]:8099;", False),
    ],
)
def test_nginx_warns_where_everybody_can_ask(configtest, words, listen, expected):
    assert warns(configtest, lambda site: elsewhere(site, words, listen)) == expected


@NGINX
def test_nginx_knows_what_a_location_inherits(configtest):
    assert not warns(configtest, lambda site: elsewhere(site, "", more="deny all;"))
    assert warns(configtest, lambda site: elsewhere(site, "if ($arg_x) { set $y 1; }"))


@APACHE
@pytest.mark.parametrize(
    "lines, expected",
    [
        ("SetHandler gangway-status", True),
        ("SetHandler gangway-status\nRequire all granted", True),
        ("SetHandler gangway-status-full", True),
        ('SetHandler "gangway-status"\n<RequireAny>\nRequire all granted\n</RequireAny>', True),
        ("SetHandler gangway-status\nRequire ip 127.0.0.1", False),
        ("SetHandler gangway-status\nRequire local", False),
        ("<RequireAny>\nRequire ip 127.0.0.1\nRequire host example.org\n</RequireAny>\nSetHandler gangway-status", False),
        ("SetHandler none", False),
    ],
)
def test_httpd_warns_where_nothing_is_required(configtest, lines, expected):
    assert warns(configtest, lambda site: site.location("/gangway", apache=lines)) == expected


@NGINX
def test_there_is_one_handler_in_a_location(configtest):
    def configured(site):
        site.nginx_server += "location /two { gangway_status; gangway_spawn /bin/true; }"

    result = configtest(configured)
    assert result.status != 0 and "GW0107" in result.output
