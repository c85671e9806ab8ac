#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Prepares build/nginx/src: the sources of Debian's nginx-dev, configured as Debian's nginx is (nothing is compiled).
. "$(dirname "$0")/lib.sh"

SOURCE=/usr/share/nginx/src
TARGET=$BUILD/nginx

# The environment names another nginx.
[[ -z ${NGINX_SOURCE_DIR:-}${NGINX_BUILD_DIR:-} ]] || exit 0

lock nginx-headers
version=$(dpkg-query -W -f '${Version}' nginx-dev)
stamp="nginx-dev $version, prepared by $(sha256sum <"$0" | cut -c1-16)"
[[ $(cat "$TARGET/stamp" 2>/dev/null) != "$stamp" ]] || exit 0

say "preparing the headers of nginx $version in build/nginx"
rm -rf "$TARGET.new"
mkdir -p "$TARGET.new"
cp -R "$SOURCE" "$TARGET.new/src"
# shellcheck source=/dev/null
. "$SOURCE/conf_flags"
cd "$TARGET.new/src"
quiet nginx-headers ./configure "${NGX_CONF_FLAGS[@]}"

# What the module will claim to be.
claimed=$(claimed_signature)
[[ $claimed == "$(nginx_signature /usr/sbin/nginx)" ]] ||
    die "nginx-dev $version and /usr/sbin/nginx have different signatures: bring both to one version with apt-get"

cd "$ROOT"
printf '%s\n' "$stamp" >"$TARGET.new/stamp"
rm -rf "$TARGET"
mv "$TARGET.new" "$TARGET"
