# SPDX-License-Identifier: MIT OR Apache-2.0
"""Settings of gangway_pass in nginx: what is accepted, what is refused and how, and what inner blocks inherit."""

import re
import subprocess

import pytest

from harness import places
from harness.site import quoted
from harness.upstreams import hello

pytestmark = [
    pytest.mark.servers("nginx", "nginx128"),
    pytest.mark.better("names of Gangway's own", absent=True),
]

# setting -> its default, another value. {folder}: a folder of the test's own. None: the default has no words.
FASTCGI = {
    "index": (None, "index.php"),
    "split_path_info": (None, quoted(r"^(.+\.php)(.*)$")),
    "pass_request_headers": ("on", "off"),
    "pass_request_body": ("on", "off"),
    "request_buffering": ("on", "off"),
    "connect_timeout": ("60s", "1500ms"),
    "send_timeout": ("60s", "1m"),
    "read_timeout": ("60s", "1h"),
    "bind": ("off", "127.0.0.1:$server_port transparent"),
    "socket_keepalive": ("off", "on"),
    "send_lowat": ("0", "0"),
    "ignore_client_abort": ("off", "on"),
    "keep_conn": ("on", "off"),
    "next_upstream": ("error timeout", "error http_500 http_503 http_403 http_404 http_429 invalid_header non_idempotent"),
    "next_upstream_tries": ("0", "3"),
    "next_upstream_timeout": ("0", "10s"),
    "buffering": ("on", "off"),
    "buffer_size": ("4k", "16k"),
    "buffers": ("8 4k", "16 8k"),
    "busy_buffers_size": ("8k", "32k"),
    "limit_rate": ("0", "100k"),
    "force_ranges": ("off", "on"),
    "intercept_errors": ("off", "on"),
    "hide_header": (None, "X-Powered-By"),
    "pass_header": (None, "X-Accel-Expires"),
    "ignore_headers": (
        None,
        "X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate X-Accel-Buffering X-Accel-Charset Expires Cache-Control"
        " Set-Cookie Vary",
    ),
    "catch_stderr": (None, quoted("PHP Fatal error")),
    "temp_path": ("{folder}/temp 1 2", "{folder}/temp-of-another 1 2 2"),
    "max_temp_file_size": ("1024m", "0"),
    "temp_file_write_size": ("8k", "64k"),
    "store": ("off", "{folder}/store$uri"),
    "store_access": ("user:rw", "user:rw group:r all:r"),
    "cache": ("off", "off"),
    "cache_key": (None, "$scheme$request_method$host$request_uri"),
    "cache_valid": (None, "200 302 10m"),
    "cache_bypass": (None, "$cookie_nocache $arg_nocache"),
    "no_cache": (None, "$http_authorization"),
    "cache_use_stale": ("off", "error timeout invalid_header updating http_500 http_503 http_403 http_404 http_429"),
    "cache_lock": ("off", "on"),
    "cache_lock_timeout": ("5s", "1s"),
    "cache_lock_age": ("5s", "1s"),
    "cache_methods": ("GET HEAD", "POST"),
    "cache_min_uses": ("1", "5"),
    "cache_max_range_offset": (None, "100"),
    "cache_revalidate": ("off", "on"),
    "cache_background_update": ("off", "on"),
}
UWSGI = {
    "modifier1": ("0", "255"),
    "modifier2": ("0", "3"),
    "string": (None, "text"),
    "ssl_protocols": ("TLSv1.2 TLSv1.3", "TLSv1.3"),
    "ssl_ciphers": ("DEFAULT", "HIGH:!aNULL"),
    "ssl_name": (None, "$host"),
    "ssl_server_name": ("off", "on"),
    "ssl_verify": ("off", "on"),
    "ssl_verify_depth": ("1", "3"),
    "ssl_trusted_certificate": (None, "{certificate}.crt"),
    "ssl_certificate": (None, "{certificate}.crt"),
    "ssl_certificate_key": (None, "{certificate}.key"),
    "ssl_password_file": (None, "{folder}/passwords"),
    "ssl_session_reuse": ("on", "off"),
    "ssl_conf_command": (None, "Options -SessionTicket"),
}
OWN = {
    "authorize": ("off", "fastcgi://127.0.0.1:9"),
    "authorize_param": (None, "MODE strict if_not_empty"),
    "script_suffixes": ("php phtml phar", "php"),
    "script_check": ("on", "symlinks"),
    "pass_authorization": ("off", "on"),
    "flush_wait": ("5ms", "0"),
    "head_max_size": ("64k", "1m"),
    "stderr_level": ("error", "debug"),
    "keepalive": ("32", "0"),
    "keepalive_timeout": ("10s", "1m"),
    "keepalive_requests": ("1000", "1"),
}
# A revocation list needs an authority that signed one; a certificate cache needs nginx 1.27.4; a cache path has no levels.
APART = {"ssl_crl", "ssl_certificate_cache", "cache_path"}
SETTINGS = {**FASTCGI, **UWSGI, **OWN}


@pytest.fixture
def folder(scratch):
    (scratch / "passwords").write_text("secret\n")
    return scratch


@pytest.fixture
def certificate(folder):
    name = folder / "backend"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days"]
    command += ["2", "-subj", "/CN=localhost", "-keyout", f"{name}.key", "-out", f"{name}.crt"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return name


@pytest.fixture
def lines(folder, certificate):
    """The settings of a table as lines: the first or the second of their values."""

    def made(prefix, table, which):
        values = {name: pair[which] for name, pair in table.items() if pair[which] is not None}
        filled = {
            name: value.replace("{folder}", str(folder)).replace("{certificate}", str(certificate))
            for name, value in values.items()
        }
        return "\n".join(f"{prefix}_{name} {value};" for name, value in filled.items())

    return made


def test_the_tables_have_every_setting_of_the_reference():
    page = (places.REPOSITORY / "docs" / "directives.md").read_text()
    rows = re.findall(r"^\| `gangway_(\w+) ", page, re.M)
    assert len(rows) > 70
    assert set(rows) - set(SETTINGS) == APART


def passing(site, path, lines="", target="fastcgi://127.0.0.1:9"):
    site.location(path, nginx=f"gangway_pass {target};\n{lines}")


@pytest.mark.parametrize("which", [0, 1], ids=["defaults", "others"])
@pytest.mark.parametrize("level", ["http", "server", "location"])
def test_each_setting_is_accepted(configtest, lines, level, which):
    text = lines("gangway", SETTINGS, which)

    def settings(site):
        for scheme in ("fastcgi", "scgi", "uwsgi", "suwsgi"):
            passing(site, f"/{scheme}", text if level == "location" else "", f"{scheme}://127.0.0.1:9")
        if level == "http":
            site.nginx_http = text
        if level == "server":
            site.nginx_server = text

    result = configtest(settings)
    assert result.status == 0, result.output


@pytest.mark.parametrize("which", [0, 1], ids=["defaults", "others"])
@pytest.mark.parametrize(("module", "table"), [("fastcgi", FASTCGI), ("uwsgi", UWSGI)])
def test_the_values_are_those_that_the_stock_modules_accept(configtest, lines, module, table, which):
    result = configtest(lambda site: site.location("/", nginx=lines(module, table, which)))
    assert result.status == 0, result.output


def test_inner_blocks_replace_every_setting(configtest, lines):
    def settings(site):
        site.nginx_http = lines("gangway", SETTINGS, 0)
        site.nginx_server = lines("gangway", SETTINGS, 1)
        passing(site, "/", lines("gangway", SETTINGS, 0), "suwsgi://127.0.0.1:9")

    result = configtest(settings)
    assert result.status == 0, result.output


REPEATED = {"authorize_param", "hide_header", "pass_header", "catch_stderr", "cache_valid", "ssl_conf_command"}


@pytest.mark.parametrize("name", sorted({*FASTCGI, *UWSGI} - REPEATED))
def test_a_setting_may_be_repeated_where_the_stock_modules_let_it(configtest, lines, name):
    answers = []
    for prefix in ("gangway", "fastcgi" if name in FASTCGI else "uwsgi"):
        line = lines(prefix, {name: ("one", "one") if name == "cache" else SETTINGS[name]}, 1)
        result = configtest(lambda site: site.location("/", nginx=f"{line}\n{line}"))
        answers.append((result.status, "directive is duplicate" in result.output))
    assert answers[0] == answers[1]
    assert answers[0] in ((0, False), (1, True))


@pytest.mark.parametrize("name", sorted({*OWN} - REPEATED))
def test_a_setting_of_our_own_stands_once_in_a_block(configtest, lines, name):
    line = lines("gangway", {name: OWN[name]}, 1)
    result = configtest(lambda site: site.location("/", nginx=f"{line}\n{line}"))
    assert result.status != 0
    assert f'"gangway_{name}" directive is duplicate' in result.output
    assert "server.conf:" in result.output


PASSED = [
    "fastcgi://127.0.0.1:9000",
    "fastcgi://localhost:9000",
    "fastcgi://[::1]:9000",
    "fastcgi://unix:/run/php/php-fpm.sock",
    "FastCGI://127.0.0.1:9000",
    "scgi://127.0.0.1:4000",
    "scgi://unix:/run/app.sock",
    "uwsgi://127.0.0.1:3031",
    "suwsgi://127.0.0.1:3031",
    "uwsgi://later",
    "fastcgi://$host:9000",
    "fastcgi://unix:/run/${host}.sock",
    "suwsgi://$host:3031",
    "$arg_backend",
    "${arg_scheme}://127.0.0.1:9000",
]


@pytest.mark.parametrize("target", PASSED)
def test_targets(configtest, target):
    def passes(site):
        passing(site, "/", target=target)
        # After the location on purpose: groups may follow.
        site.nginx_http = "upstream later { server 127.0.0.1:9000; }"

    result = configtest(passes)
    assert result.status == 0, result.output


# lines of a location -> what the one line of the failure says
REFUSED = {
    "no scheme": ("gangway_pass 127.0.0.1:9000;", "GW0106", "write fastcgi://127.0.0.1:9000"),
    "no scheme, unix": ("gangway_pass unix:/run/a;", "GW0106", "write fastcgi://unix:/run/a"),
    "no scheme, variable": ("gangway_pass 127.0.0.1:$arg_port;", "GW0106", "write fastcgi://127.0.0.1:$arg_port"),
    "unknown scheme": ("gangway_pass ajp://a:1;", "GW0106", 'scheme "ajp"', "fastcgi, scgi, uwsgi or suwsgi"),
    "httpd's scheme": ("gangway_pass fcgi://a:1;", "GW0106", "write fastcgi://a:1"),
    "http": ("gangway_pass http://127.0.0.1:80;", "GW0106", "proxy_pass"),
    "no target": ("gangway_pass fastcgi://;", "GW0106", "write fastcgi://HOST:PORT"),
    "bad port": ("gangway_pass scgi://127.0.0.1:99999;", "GW0106", "invalid port", '"127.0.0.1:99999"', "scgi://HOST:PORT"),
    "no host": ("gangway_pass fastcgi://:9000;", "GW0106", "no host", '":9000"'),
    "a path": ("gangway_pass fastcgi://127.0.0.1:9000/app;", "GW0106", "invalid host"),
    "no path": ("gangway_pass fastcgi://unix:;", "GW0106", "no path", "fastcgi://unix:/PATH"),
    "no port": ("gangway_pass fastcgi://127.0.0.1;", 'no port in upstream "127.0.0.1"'),
    "twice": ("gangway_pass fastcgi://127.0.0.1:1; gangway_pass scgi://127.0.0.1:2;", '"gangway_pass" directive is duplicate'),
    "beside wsgi": ("gangway_wsgi pep3333:app root={apps}; gangway_pass scgi://127.0.0.1:1;", "GW0107", '"gangway_wsgi"'),
    "wsgi beside it": ("gangway_pass scgi://127.0.0.1:1; gangway_wsgi pep3333:app root={apps};", "GW0107", '"gangway_pass"'),
    "authorizer's scheme": ("gangway_authorize scgi://127.0.0.1:1;", "GW0106", "only FastCGI has authorizers"),
    "authorizer's variables": ("gangway_authorize fastcgi://$host:1;", "GW0106", "variables"),
    "authorizer without scheme": ("gangway_authorize 127.0.0.1:1;", "GW0106", "write fastcgi://127.0.0.1:1"),
    "authorizer's parameter": ("gangway_authorize_param A=B x;", "GW0105", '"gangway_authorize_param" directive'),
    "modifier": ("gangway_modifier1 256;", "GW0102", '"256"', "between 0 and 255"),
    "modifier, text": ("gangway_modifier2 psgi;", "GW0102", '"psgi"', "between 0 and 255"),
    "level": ("gangway_stderr_level loud;", "GW0102", '"loud"', "error, warn, notice, info or debug"),
    "suffix with a dot": ("gangway_script_suffixes php .phtml;", "GW0102", '".phtml"', "without its dot"),
    "suffix with a slash": ("gangway_script_suffixes a/b;", "GW0102", '"a/b"', "for example php"),
    "check": ("gangway_script_check maybe;", "GW0102", '"maybe"', "on, symlinks or off"),
    "pattern": ("gangway_split_path_info (;", "GW0102", "unusable pattern"),
    "groups": ("gangway_split_path_info ^/x$;", "GW0102", "must have 2 captures"),
    "one buffer": ("gangway_buffers 1 4k;", "GW0102", 'at least 2 "gangway_buffers"', 'in location "/"'),
    "busy, small": ("gangway_busy_buffers_size 1k;", "GW0102", '"gangway_busy_buffers_size"', 'in location "/"'),
    "busy, large": ("gangway_busy_buffers_size 1m;", "GW0102", "minus one buffer", 'in location "/"'),
    "write size": ("gangway_temp_file_write_size 1k;", "GW0102", '"gangway_temp_file_write_size"', 'in location "/"'),
    "file size": ("gangway_max_temp_file_size 1k;", "GW0102", '"gangway_max_temp_file_size"', 'in location "/"'),
    "zone": ("gangway_cache one;", "GW0102", 'zone "one" is unknown', "gangway_cache_path DIR keys_zone=one:10m"),
    "empty zone": ('gangway_cache "";', "GW0102", "gangway_cache_path"),
    "cache and store": ("gangway_cache one; gangway_store on;", '"gangway_store" directive is incompatible with "gangway_cache"'),
    "store and cache": ("gangway_store on; gangway_cache one;", '"gangway_cache" directive is incompatible with "gangway_store"'),
    "empty store": ('gangway_store "";', "GW0102", "on, off or a path"),
    "time": ("gangway_read_timeout soon;", '"gangway_read_timeout" directive invalid value'),
    "size": ("gangway_buffer_size big;", '"gangway_buffer_size" directive invalid value'),
    "switch": ("gangway_buffering maybe;", 'invalid value "maybe" in "gangway_buffering" directive'),
    "word": ("gangway_next_upstream http_599;", 'invalid value "http_599"'),
    "header": ("gangway_ignore_headers Server;", 'invalid value "Server"'),
    "number": ("gangway_keepalive -1;", '"gangway_keepalive" directive invalid number'),
    "passwords": ("gangway_ssl_password_file /no/file;", "/no/file"),
    "verify": (
        "gangway_pass suwsgi://127.0.0.1:1; gangway_ssl_verify on;",
        "GW0102",
        "no gangway_ssl_trusted_certificate for gangway_ssl_verify",
    ),
    "certificate": (
        "gangway_pass suwsgi://127.0.0.1:1; gangway_ssl_certificate /no/file; gangway_ssl_certificate_key /no/file;",
        "GW0102",
        '"gangway_ssl_certificate" /no/file',
    ),
    "no key": (
        "gangway_pass suwsgi://127.0.0.1:1; gangway_ssl_certificate /no/file;",
        "GW0102",
        '"gangway_ssl_certificate_key"',
        '"/no/file"',
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_lines(configtest, workspace, name):
    text, *parts = REFUSED[name]
    result = configtest(lambda site: site.location("/", nginx=text.format(apps=workspace.apps)))
    assert result.status != 0, result.output
    lines = [line for line in result.output.splitlines() if parts[0] in line]
    assert len(lines) == 1, result.output
    assert re.search(r"server\.conf:\d+|open\(\)", lines[0]), lines[0]
    for part in parts:
        assert part in lines[0], f"{part!r} is not in: {lines[0]}"
    directive = re.search(r"gangway_\w+", text)[0]
    if parts[0] == "GW0106":
        assert f'"{directive}" directive' in lines[0]


def snippets():
    page = (places.REPOSITORY / "docs" / "migrate-nginx.md").read_text()
    return [text for text in re.findall(r"```nginx\n(.*?)```", page, re.S) if "fastcgi_pass" not in text]


@pytest.mark.parametrize("text", snippets())
def test_what_the_guide_for_moving_says(configtest, folder, text):
    def moved(site):
        if "server {" in text:
            cache = text.replace("/var/cache/nginx", str(folder))
            site.nginx_http = cache.replace("server {", f"server {{ listen 127.0.0.1:{places.free_port()};")
        else:
            site.nginx_server = text

    result = configtest(moved)
    assert result.status == 0, result.output


@pytest.mark.parametrize("text", [text for text in snippets() if "gangway_pass" in text])
def test_what_the_guide_for_moving_says_serves(launch, text):
    """Each configuration of it that passes, with a backend of ours in the place of its own."""
    address = re.compile(r"(fastcgi|uwsgi)://[^;]+")
    protocol = address.search(text)[1]
    is_php = r"\.php" in text

    def moved(site):
        where = site.recorder(protocol, unix=True).where
        root = site.scratch / "root"
        root.mkdir()
        if "symlinks" in text:
            (site.scratch / "share.php").write_text("")
            (root / "x.php").symlink_to(site.scratch / "share.php")
        elif is_php and "script_check off" not in text:
            (root / "x.php").write_text("")
        # A root of the location is that of the example; this one is the server's.
        example = re.sub(r"root \S+;", f"root {root};", address.sub(f"{protocol}://{where}", text))
        site.nginx_server = "gangway_keep_conn off;\n" + example
        # The harness starts a server with the module where something is passed.
        site.passes("/unused/", "fastcgi://127.0.0.1:1")

    server = launch(moved)
    if is_php and "root " not in text:
        (server.folder / "htdocs" / "x.php").write_text("")
    client = server.connect()
    client.request("GET", "/x.php" if is_php or "feed.php" in text else "/x")
    peer = server.site.backends[protocol].next(client)
    request = peer.request()
    peer.answer(hello(protocol))
    assert client.response().status == 200
    if is_php:
        assert request["SCRIPT_FILENAME"].endswith("/x.php")
    for name, value in re.findall(r"gangway_param (\w+) (\S+);", text):
        assert request[name] == {'""': "", "$uri": "/x.php"}.get(value, value)


def test_the_guide_for_moving_has_its_configurations():
    """Those that the tests above run. A change of the page's form must not leave them without any."""
    page = (places.REPOSITORY / "docs" / "migrate-nginx.md").read_text()
    found = {part.splitlines()[0]: len(re.findall(r"```nginx\n[^`]*gangway_", part)) for part in page.split("\n## ")[1:]}
    expected = {"PHP": 4, "A FastCGI application that is no PHP": 1, "uWSGI": 1, "The cache": 1}
    assert {title: count for title, count in found.items() if count} == expected
    assert len(snippets()) == sum(expected.values())


@pytest.mark.parametrize("place", ["http", "server", "limit_except"])
def test_a_pass_stands_in_a_location(configtest, place):
    def wrong(site):
        line = "gangway_pass fastcgi://127.0.0.1:9000;"
        if place == "http":
            site.nginx_http = line
        elif place == "server":
            site.nginx_server = line
        else:
            site.location("/", nginx=f"limit_except GET {{ {line} }}")

    result = configtest(wrong)
    assert result.status != 0
    assert '"gangway_pass" directive is not allowed here' in result.output


def test_a_cache_path_stands_in_http(configtest, folder):
    line = f"gangway_cache_path {folder}/cache levels=1:2 keys_zone=one:1m inactive=1m max_size=10m;"
    result = configtest(lambda site: setattr(site, "nginx_server", line))
    assert '"gangway_cache_path" directive is not allowed here' in result.output

    def right(site):
        site.nginx_http = line + " gangway_cache one; gangway_cache_key $uri;"
        passing(site, "/")

    assert configtest(right).status == 0


def test_a_cache_needs_no_key(configtest, folder):
    def keyless(site):
        site.nginx_http = f"gangway_cache_path {folder}/cache keys_zone=one:1m;"
        passing(site, "/", "gangway_cache one;")

    result = configtest(keyless)
    assert result.status == 0
    assert "gangway_cache_key" not in result.output


@pytest.mark.parametrize(("outer", "fits"), [("gangway_buffers 4 4k;", False), ("gangway_buffers 8 4k;", True)])
@pytest.mark.parametrize("level", ["http", "server"])
def test_settings_of_outer_blocks_count_in_inner_ones(configtest, level, outer, fits):
    def buffers(site):
        setattr(site, f"nginx_{level}", outer)
        passing(site, "/", "gangway_busy_buffers_size 16k;")

    result = configtest(buffers)
    assert (result.status == 0) == fits, result.output
    assert fits or '"gangway_busy_buffers_size" must be less' in result.output


def test_the_cache_of_an_outer_block_is_inherited_and_ended(configtest, folder):
    """A store in a location ends the cache of the server, as in the stock modules."""

    def cached(site):
        site.nginx_http = f"gangway_cache_path {folder}/cache keys_zone=one:1m; gangway_cache_key $uri;"
        site.nginx_server = "gangway_cache one;"
        passing(site, "/a")
        passing(site, "/b", "gangway_store on;")
        passing(site, "/c", "gangway_cache off;")

    result = configtest(cached)
    assert result.status == 0, result.output


@pytest.mark.servers("nginx128")
@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("max=10 inactive=20s valid=1h", None),
        ("off", None),
        ("max=0", '"max=0"'),
        ("max=5 inactive=x", '"inactive=x"'),
        ("valid=1m", '"max" parameter'),
        ("max=5 foo", '"foo"'),
    ],
)
def test_a_certificate_cache(configtest, words, part):
    line = f"gangway_ssl_certificate_cache {words};"
    result = configtest(lambda site: passing(site, "/", line, "suwsgi://127.0.0.1:1"))
    assert (result.status == 0) == (part is None), result.output
    assert part is None or ('"gangway_ssl_certificate_cache" directive GW0102' in result.output and part in result.output)


@pytest.mark.servers("nginx128")
def test_a_rate_may_hold_variables(configtest):
    result = configtest(lambda site: passing(site, "/", "gangway_limit_rate $arg_rate;"))
    assert result.status == 0, result.output


@pytest.mark.servers("nginx128")
@pytest.mark.parametrize("passes", [True, False])
def test_only_a_location_that_passes_makes_a_folder_for_temporary_files(launch, passes):
    """This nginx was built with folders below its prefix, which is the server's folder here."""

    def site_of(site):
        site.nginx_http = "# no gangway_temp_path here"
        site.location("/", nginx="gangway_pass fastcgi://127.0.0.1:9;" if passes else "return 204;")

    server = launch(site_of)
    assert (server.folder / "gangway_temp").is_dir() == passes
