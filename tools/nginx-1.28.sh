#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# nginx-1.28.sh [NAME [CC_OPT]]: builds nginx 1.28 into build/NAME (default nginx-1.28), from the source tree inside
# the crate `nginx-src`, with the system's OpenSSL, PCRE2 and zlib.
. "$(dirname "$0")/lib.sh"

NAME=${1:-nginx-1.28}
CC_OPT=${2:--O2 -g}
TARGET=$BUILD/$NAME
MANIFEST=tools/nginx-src/Cargo.toml
FLAGS=(--with-compat --with-debug --with-threads --with-pcre-jit --error-log-path=stderr
    --with-http_ssl_module --with-http_v2_module --with-http_realip_module --with-http_auth_request_module
    --with-http_stub_status_module --with-http_slice_module --with-http_addition_module --with-http_sub_module
    --with-http_gunzip_module --with-http_gzip_static_module)

crate_folder() {
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')
    cargo metadata --quiet --locked --format-version 1 --manifest-path "$MANIFEST" --filter-platform "$host" |
        /usr/bin/python3 -c '
import json, os, sys
packages = json.load(sys.stdin)["packages"]
print(*(os.path.dirname(p["manifest_path"]) for p in packages if p["name"] == "nginx-src"))'
}

lock "$NAME"
stamp=$(cat "$0" tools/nginx-src/Cargo.lock - <<<"$CC_OPT" | sha256sum)
[[ $(cat "$TARGET/stamp" 2>/dev/null) != "$stamp" ]] || exit 0

folder=$(crate_folder)
[[ -f $folder/nginx/src/core/nginx.h ]] || die "the crate nginx-src in '$folder' has no nginx source tree"
version=$(sed -n 's/^#define NGINX_VERSION *"\(.*\)"/\1/p' "$folder/nginx/src/core/nginx.h")
say "building nginx $version in build/$NAME (about a minute)"
rm -rf "$TARGET"
cp -R "$folder/nginx" "$TARGET"
cd "$TARGET"
# The folder of its own makes relative paths of a configuration come out below the prefix a test gives with -p.
quiet "$NAME-configure" auto/configure --prefix="$TARGET" "${FLAGS[@]}" --with-cc-opt="$CC_OPT" --with-ld-opt="$CC_OPT"
quiet "$NAME-make" make -s -j "$(nproc)"
printf '%s\n' "$stamp" >stamp
