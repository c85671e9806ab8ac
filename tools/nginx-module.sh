#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# nginx-module.sh VERSION: the module for an nginx of this version that was built as nginx.org builds its packages (--with-compat), in
# dist/nginx-VERSION/. Its source is that of NGINX_SOURCE_DIR, of Debian's nginx-dev, or of a crate. Nothing of nginx is compiled.
. "$(dirname "$0")/lib.sh"

VERSION=${1:-}
# Which version of the crate nginx-src has which nginx.
declare -A CRATES=([1.28.0]=1.28.1 [1.28.1]=1.28.3 [1.28.2]=1.28.4 [1.28.3]=1.28.5)
DEBIAN=/usr/share/nginx/src
# As `nginx -V` of nginx.org's packages says, but for the compiler's options and the paths, which no module knows.
FLAGS=(--with-compat --with-file-aio --with-threads --with-http_addition_module --with-http_auth_request_module --with-http_dav_module
    --with-http_flv_module --with-http_gunzip_module --with-http_gzip_static_module --with-http_mp4_module --with-http_random_index_module
    --with-http_realip_module --with-http_secure_link_module --with-http_slice_module --with-http_ssl_module --with-http_stub_status_module
    --with-http_sub_module --with-http_v2_module --with-mail --with-mail_ssl_module --with-stream --with-stream_realip_module
    --with-stream_ssl_module --with-stream_ssl_preread_module)
# Since 1.25.
SINCE_QUIC=(--with-http_v3_module)

version_in() { sed -n 's/^#define NGINX_VERSION *"\(.*\)"/\1/p' "$1/src/core/nginx.h" 2>/dev/null || true; }

of_crate() {
    local folder=$BUILD/nginx-src-$1 host
    mkdir -p "$folder/src"
    sed "s/^nginx-src = .*/nginx-src = \"=$1\"/" tools/nginx-src/Cargo.toml >"$folder/Cargo.toml"
    echo '//! Empty.' >"$folder/src/lib.rs"
    # Without a network the version of this file is the one that can be had.
    cp tools/nginx-src/Cargo.lock "$folder/Cargo.lock"
    host=$(rustc -vV | sed -n 's/^host: //p')
    cargo metadata --quiet --format-version 1 --manifest-path "$folder/Cargo.toml" --filter-platform "$host" | /usr/bin/python3 -c '
import json, os, sys
packages = json.load(sys.stdin)["packages"]
print(*(os.path.dirname(p["manifest_path"]) + "/nginx" for p in packages if p["name"] == "nginx-src"))'
}

source_of() {
    if [[ -n ${NGINX_SOURCE_DIR:-} ]]; then
        [[ $(version_in "$NGINX_SOURCE_DIR") == "$VERSION" ]] || die "NGINX_SOURCE_DIR has nginx '$(version_in "$NGINX_SOURCE_DIR")', not $VERSION"
        echo "$NGINX_SOURCE_DIR"
    elif [[ $(version_in "$DEBIAN") == "$VERSION" ]]; then
        echo "$DEBIAN"
    elif [[ -n ${CRATES[$VERSION]:-} ]]; then
        of_crate "${CRATES[$VERSION]}"
    else
        die "there is no source of nginx $VERSION here: NGINX= one of $(version_in "$DEBIAN") $(printf '%s\n' "${!CRATES[@]}" | sort | xargs), or NGINX_SOURCE_DIR=/path of its source"
    fi
}

[[ $VERSION =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || die "which nginx? make modules NGINX=1.28.3"
source=$(source_of)
TARGET=$BUILD/nginx-org-$VERSION
lock "nginx-org-$VERSION"
say "configuring nginx $VERSION as nginx.org does"
rm -rf "$TARGET"
cp -R "$source" "$TARGET"
rm -rf "$TARGET/objs"
flags=("${FLAGS[@]}")
[[ $(printf '%s\n' 1.25.0 "$VERSION" | sort -V | head -n1) != 1.25.0 ]] || flags+=("${SINCE_QUIC[@]}")
configure=auto/configure
[[ -e $TARGET/$configure ]] || configure=./configure
(cd "$TARGET" && quiet "nginx-org-$VERSION" "$configure" "${flags[@]}")

claimed=$(cd "$TARGET" && claimed_signature)
NGINX_SOURCE_DIR=$TARGET NGINX_BUILD_DIR=$TARGET/objs tools/modules.sh "dist/nginx-$VERSION" gangway-nginx -- --release \
    --target-dir "${CARGO_TARGET_DIR:-target}/nginx-org-$VERSION"
module=dist/nginx-$VERSION/ngx_http_gangway_module.so
[[ $(nginx_signature "$module") == "$claimed" ]] || die "$module has the signature $(nginx_signature "$module"), and nginx.org's nginx $VERSION $claimed"
say "nginx $VERSION, signature $claimed: nginx compares both when it loads $module"
for other in /usr/sbin/nginx; do
    [[ -x $other ]] || continue
    own=$("$other" -v 2>&1 | sed 's|.*nginx/\([0-9.]*\).*|\1|')
    [[ $own == "$VERSION" ]] || continue
    [[ $(nginx_signature "$other") == "$claimed" ]] && verdict="the same: one module serves both" || verdict="not the same"
    say "$other is nginx $own, signature $(nginx_signature "$other"): $verdict"
done
