# SPDX-License-Identifier: MIT OR Apache-2.0
"""nginx.conf from a Site."""

from . import places
from .site import quoted

ACCESS_FORMAT = "$request_method $request_uri $status $body_bytes_sent $remote_user"


def indented(text, spaces):
    return "\n".join(" " * spaces + line.strip() for line in text.strip().splitlines())


def location(spec):
    opening = {
        "prefix": spec.path,
        "exact": f"= {spec.path}",
        "regex": f"~ {quoted(spec.path)}",
        "named": spec.path,
    }[spec.kind]
    lines = [f"location {opening} {{"]
    if spec.target is not None:
        words = [quoted(spec.target), *map(quoted, spec.options)]
        lines.append("    gangway_wsgi " + " ".join(words) + ";")
    for name, value in spec.params.items():
        lines.append(f"    gangway_param {name} {quoted(value)};")
    if spec.files is not None:
        lines.append(f"    alias {quoted(spec.files.rstrip('/') + ('/' if spec.path.endswith('/') else ''))};")
    if spec.nginx:
        lines.append(indented(spec.nginx, 4))
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
    if places.AS_ROOT:
        main.append(f"user {site.user or places.WORKER_USER};")
    main += [
        f"worker_processes {site.workers};",
        f"master_process {'on' if site.master else 'off'};",
        "daemon off;",
        f"pid {folder}/nginx.pid;",
        f"error_log {folder}/error.log info;",
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
    http.append(site.nginx_http)
    server = listens(site, ports, version)
    server += ["server_name localhost;", f"root {folder}/htdocs;"]
    if site.tls:
        server += [f"ssl_certificate {certificate}.crt;", f"ssl_certificate_key {certificate}.key;"]
    server.append(site.nginx_server)
    server.append("location = /.ready { access_log off; return 204; }")
    server += [location(spec) for spec in site.locations]
    return "\n".join(
        main + ["events { worker_connections 2048; }", "http {"] + http + ["server {"] + server + ["}", "}", ""]
    )
