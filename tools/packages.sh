#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# packages.sh LIST...: installs the missing Debian packages of tools/packages-LIST.txt; their services are neither
# started nor enabled, because two web servers would fight for port 80.
. "$(dirname "$0")/lib.sh"

POLICY=/usr/sbin/policy-rc.d
MARK="# written by gangway's make setup, for the time of an installation"
SERVICES=(nginx apache2 php-fpm fcgiwrap lighttpd)

missing_packages() {
    local name
    for name in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] || printf '%s\n' "$name"
    done
}

# Maintainer scripts ask this program before they start a service; 101 means "not allowed".
forbid_starts() {
    [[ ! -e $POLICY ]] || mv "$POLICY" "$POLICY.gangway"
    printf '#!/bin/sh\n%s\nexit 101\n' "$MARK" >"$POLICY"
    chmod 755 "$POLICY"
}

allow_starts() {
    rm -f "$POLICY"
    [[ ! -e $POLICY.gangway ]] || mv "$POLICY.gangway" "$POLICY"
}

install_packages() {
    local apt=(apt-get -o DPkg::Lock::Timeout=300) service fresh=()
    for service in "${SERVICES[@]}"; do
        [[ " $* " != *" $service "* ]] || fresh+=("$service")
    done
    trap allow_starts EXIT
    trap 'exit 130' INT TERM HUP
    forbid_starts
    export DEBIAN_FRONTEND=noninteractive
    quiet apt-update "${apt[@]}" update
    quiet apt-install "${apt[@]}" install -y --no-install-recommends "$@"
    for service in "${fresh[@]}"; do
        # Debian 12's php-fpm is a package that names no version and a service that does.
        service=${service/#php-fpm/php8.2-fpm}
        quiet "disable-$service" update-rc.d "$service" disable
    done
}

command -v dpkg-query >/dev/null ||
    die "make setup knows Debian 12 only: elsewhere install what tools/packages-*.txt list, and set NGINX_SOURCE_DIR"
wanted=()
for list in "$@"; do
    mapfile -t -O "${#wanted[@]}" wanted < <(words "tools/packages-$list.txt")
done
lock packages
# What an installation left behind that was killed.
! grep -qsF "$MARK" "$POLICY" || ((EUID != 0)) || allow_starts
mapfile -t missing < <(missing_packages "${wanted[@]}")
((${#missing[@]})) || exit 0
command="apt-get install --no-install-recommends ${missing[*]}"
((EUID == 0)) || die "these packages are missing; run this as root, then make again: $command"
say "installing ${missing[*]} (no service is started or enabled)"
install_packages "${missing[@]}"
