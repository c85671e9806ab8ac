#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# packages.sh LIST...: installs the missing Debian packages of tools/packages-LIST.txt; their services are neither
# started nor enabled, because two web servers would fight for port 80.
. "$(dirname "$0")/lib.sh"

POLICY=/usr/sbin/policy-rc.d
MARK="# written by gangway's make setup, for the time of an installation"
SERVICES=(nginx apache2 php-fpm fcgiwrap lighttpd)
# What the build itself runs or opens, for machines without dpkg.
PROGRAMS=(cc c++ make python3)

# The packages of a list. Those of the distribution's nginx are left out where another one is named.
packages_of() {
    if [[ -n ${NGINX_SOURCE_DIR:-}${NGINX_BUILD_DIR:-} ]]; then sed '/^\[nginx]/d' "$1"; else sed 's/^\[nginx]//' "$1"; fi |
        sed 's/#.*//' | xargs -n1
}

# libpython@ is the library of the installed python3, which comes with another package of the same list.
named() {
    local python
    python=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || python=
    if [[ -n $python ]]; then printf '%s\n' "${@/#libpython@/libpython$python}"; else printf '%s\n' "${@/#libpython@/python3}"; fi
}

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
    [[ -n ${UPDATED:-} ]] || quiet apt-update "${apt[@]}" update
    UPDATED=yes
    quiet apt-install "${apt[@]}" install -y --no-install-recommends "$@"
    for service in "${fresh[@]}"; do
        # The package php-fpm names no version, its service does.
        [[ $service != php-fpm ]] || service=$(basename /etc/init.d/php*-fpm)
        quiet "disable-$service" update-rc.d "$service" disable
    done
}

without_dpkg() {
    local program missing=()
    for program in "${PROGRAMS[@]}"; do
        command -v "$program" >/dev/null || missing+=("$program")
    done
    command -v apxs >/dev/null || command -v apxs2 >/dev/null || missing+=(apxs)
    ((${#missing[@]} == 0)) || die "these programs are missing: ${missing[*]}; tools/packages-*.txt list what is needed, by Debian's names"
    [[ -n ${NGINX_SOURCE_DIR:-} ]] ||
        die "without dpkg there is no nginx-dev: set NGINX_SOURCE_DIR to the source tree of your nginx, configured as it is (NGINX_BUILD_DIR, if its objs are elsewhere)"
}

command -v dpkg-query >/dev/null || {
    without_dpkg
    exit 0
}
wanted=()
for list in "$@"; do
    mapfile -t -O "${#wanted[@]}" wanted < <(packages_of "tools/packages-$list.txt")
done
lock packages
# What an installation left behind that was killed.
! grep -qsF "$MARK" "$POLICY" || ((EUID != 0)) || allow_starts
# Once more for the library of a python3 that was not there before.
for _ in first second; do
    mapfile -t names < <(named "${wanted[@]}")
    mapfile -t missing < <(missing_packages "${names[@]}")
    ((${#missing[@]})) || exit 0
    command="apt-get install --no-install-recommends ${missing[*]}"
    ((EUID == 0)) || die "these packages are missing; run this as root, then make again: $command"
    say "installing ${missing[*]} (no service is started or enabled)"
    install_packages "${missing[@]}"
done
