#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# setup.sh nginx|httpd: makes an image of a Debian, in which it runs as root. The archive of packages is /srv/apt, and /srv/image has the other
# files. The Containerfiles run it, and tools/images.sh, where there is no engine. setup.sh plain PACKAGE...: an image of these packages alone,
# whose size tools/image-sizes.sh compares.
set -eu

server=$1
shift
. /etc/os-release
own="gangway-engine-python gangway python3-venv php-cgi media-types"
case $server in
nginx) packages="nginx libnginx-mod-http-gangway $own" ;;
httpd) packages="apache2-bin libapache2-mod-gangway $own" ;;
plain) packages=$* ;;
*) echo "setup.sh: \"$server\" is no image" >&2 && exit 1 ;;
esac

# Manuals and translations are for people who log in.
printf 'path-exclude=/usr/share/%s/*\n' doc man locale info lintian >/etc/dpkg/dpkg.cfg.d/gangway-image
printf 'path-include=/usr/share/doc/*/copyright\n' >>/etc/dpkg/dpkg.cfg.d/gangway-image
# Nothing is started while an image is made.
[ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d; }
[ "$server" = plain ] || echo "deb [trusted=yes] file:/srv/apt $VERSION_CODENAME main" >/etc/apt/sources.list.d/gangway.list
apt-get update
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages

add_application() {
    groupadd --gid 10001 app
    useradd --uid 10001 --gid app --home-dir /srv/app --no-create-home --shell /usr/sbin/nologin app
    mkdir -p /srv/app /srv/venv
    chown app:app /srv/app /srv/venv
    install -m 755 /srv/image/gangway-image /usr/bin/gangway-image
    echo "$server" >/usr/lib/gangway/image
    install -D -m 644 /srv/image/sbom.cdx.json /usr/share/gangway/crates.cdx.json
    python3 /srv/image/sbom.py packages "$server" >/usr/share/gangway/sbom.cdx.json
}
[ "$server" = plain ] || add_application

rm -f /etc/apt/sources.list.d/gangway.list /usr/sbin/policy-rc.d
apt-get clean
find /usr/share/doc -type f ! -name copyright -delete
find /usr/share/doc -depth -type d -empty -delete
find / -xdev -name __pycache__ -type d -prune -exec rm -rf {} +
rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/cache/ldconfig/aux-cache /var/lib/dpkg/*-old /var/log/* /usr/share/man /usr/share/locale /usr/share/info \
    /usr/share/lintian /tmp/* /var/tmp/*
