# SPDX-License-Identifier: MIT OR Apache-2.0
"""nginx.conf from a Site."""

import re

from . import places
from .site import quoted

ACCESS_FORMAT = "$request_method $request_uri $status $body_bytes_sent $remote_user"


def indented(text, spaces):
    return "\n".join(" " * spaces + line.strip() for line in text.strip().splitlines())


# What a site includes with `fastcgi_params`; Gangway sends these by itself.
STANDARD = {
    "GATEWAY_INTERFACE": "CGI/1.1",
    "SERVER_SOFTWARE": "nginx/$nginx_version",
    "QUERY_STRING": "$query_string",
    "REQUEST_METHOD": "$request_method",
    "CONTENT_TYPE": "$content_type",
    "REQUEST_URI": "$request_uri",
    "DOCUMENT_URI": "$document_uri",
    "DOCUMENT_ROOT": "$document_root",
    "SERVER_PROTOCOL": "$server_protocol",
    "REQUEST_SCHEME": "$scheme",
    "REMOTE_ADDR": "$remote_addr",
    "REMOTE_PORT": "$remote_port",
    "SERVER_ADDR": "$server_addr",
    "SERVER_PORT": "$server_port",
    "SERVER_NAME": "$server_name",
}
OF_PROTOCOL = {
    "fastcgi": {
        "CONTENT_LENGTH": "$content_length",
        "REDIRECT_STATUS": "200",
        "SCRIPT_NAME": "$fastcgi_script_name",
        "SCRIPT_FILENAME": "$document_root$fastcgi_script_name",
    },
    "scgi": {"SCGI": "1", "PATH_INFO": "$document_uri"},
    "uwsgi": {"CONTENT_LENGTH": "$content_length", "PATH_INFO": "$document_uri"},
}
OURS_ALONE = r"(script_\w+|flush_wait|head_max_size|stderr_level|keepalive\w*|authorize)"


def stock(text, protocol="fastcgi"):
    """Lines in Gangway's words for the server's own module of a protocol."""
    text = re.sub(rf"\bgangway_{OURS_ALONE}\b[^;]*;", "", text)
    text = re.sub(
        r"\bgangway_pass (fastcgi|s?uwsgi|scgi)://([^;]*);",
        lambda found: f"{found[1].removeprefix('s')}_pass {'suwsgi://' if found[1] == 'suwsgi' else ''}{found[2]};"
        if found[1] != "scgi"
        else f"scgi_pass {found[2]};",
        text,
    )
    return re.sub(r"\bgangway_", f"{protocol}_", text)


def passing(spec, upstream):
    """The lines of a location that passes its requests to a backend."""
    if upstream == "gangway":
        return [f"    gangway_pass {spec.passes};", *params("gangway", spec.params)]
    protocol = spec.passes.partition("://")[0].replace("suwsgi", "uwsgi")
    standard = {**STANDARD, **OF_PROTOCOL[protocol]}
    lines = [stock(f"    gangway_pass {spec.passes};")]
    # Names that the location sets itself replace those of the included file.
    return lines + params(protocol, {k: v for k, v in standard.items() if k not in spec.params} | spec.params)


def params(prefix, values):
    """A value may be a pair: itself and `if_not_empty`. The name may be repeated by a list of values."""
    lines = []
    for name, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            words = one if isinstance(one, tuple) else (one,)
            lines.append(f"    {prefix}_param {name} " + " ".join(map(quoted, words)) + ";")
    return lines


def location(spec, upstream="gangway"):
    opening = {
        "prefix": spec.path,
        "exact": f"= {spec.path}",
        "regex": f"~ {quoted(spec.path)}",
        "named": spec.path,
    }[spec.kind]
    lines = [f"location {opening} {{"]
    if spec.target is not None:
        words = [quoted(spec.target), *map(quoted, spec.options)]
        lines.append(f"    gangway_{spec.interface} " + " ".join(words) + ";")
    if spec.cgi is not None:
        lines.append("    gangway_cgi " + " ".join(["on", *map(quoted, spec.cgi)]) + ";")
    if spec.spawn is not None:
        lines.append("    gangway_spawn " + " ".join(map(quoted, spec.spawn)) + ";")
    lines += [f"    gangway_python_handler {words};" for words in spec.handlers]
    raw = spec.nginx
    if spec.passes is not None:
        lines += passing(spec, upstream)
        if upstream == "stock":
            raw = stock(raw, spec.passes.partition("://")[0].replace("suwsgi", "uwsgi"))
    else:
        lines += params("gangway", spec.params)
    if spec.files is not None:
        lines.append(f"    alias {quoted(spec.files.rstrip('/') + ('/' if spec.path.endswith('/') else ''))};")
    if raw:
        lines.append(indented(raw, 4))
    lines.append("}")
    return "\n".join(lines)


def listens(site, ports, version):
    lines = [f"listen 127.0.0.1:{ports['http']};"]
    modern = version >= (1, 25, 1)
    if modern and (site.http2 or site.tls):
        lines.append("http2 on;")
    if site.http2:
        # The old spelling makes this port HTTP/2 alone, the new one detects it: prior knowledge works with both.
        lines.append(f"listen 127.0.0.1:{ports['http2']}{'' if modern else ' http2'};")
    if site.tls:
        lines.append(f"listen 127.0.0.1:{ports['tls']} ssl{'' if modern else ' http2'};")
    return lines


def render(site, folder, ports, module, engines, version, certificate):
    main = []
    if module is not None:
        main.append(f"load_module {quoted(module)};")
    if places.AS_ROOT and site.starter is None:
        main.append(f"user {site.user or places.WORKER_USER};")
    main += [
        f"worker_processes {site.workers};",
        f"master_process {'on' if site.master else 'off'};",
        "daemon off;",
        f"pid {folder}/nginx.pid;",
        f"error_log {folder}/error.log {site.error_level};",
        site.nginx_main,
    ]
    http = [f"{name}_temp_path {folder}/tmp;" for name in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")]
    http += [
        f"log_format harness '{ACCESS_FORMAT}';",
        f"access_log {folder}/access.log harness;",
        "types { text/html html; text/plain txt; text/css css; }",
        "default_type application/octet-stream;",
    ]
    if module is not None and engines != module.parent:
        http.append(f"gangway_engine_dir {quoted(engines)};")
    if site.gzip:
        http += ["gzip on;", "gzip_min_length 0;", "gzip_types *;", "gzip_http_version 1.0;"]
    if site.body_limit is not None:
        http.append(f"client_max_body_size {site.body_limit};")
    plain = stock if site.upstream == "stock" else str
    if site.upstream == "gangway" and module is not None and "gangway_temp_path" not in site.nginx_http:
        http.append(f"gangway_temp_path {folder}/tmp;")
    http.append(plain(site.nginx_http))
    server = listens(site, ports, version)
    server += ["server_name localhost;", f"root {folder}/htdocs;"]
    if site.tls:
        server += [f"ssl_certificate {certificate}.crt;", f"ssl_certificate_key {certificate}.key;"]
    server += [f"gangway_python_handler {words};" for words in site.handlers]
    server.append(plain(site.nginx_server))
    server.append("location = /.ready { access_log off; return 204; }")
    server += [location(spec, site.upstream) for spec in site.locations]
    return "\n".join(
        main + ["events { worker_connections 2048; }", "http {"] + http + ["server {"] + server + ["}", "}", ""]
    )
