# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# Sourced by the steps, which run in a root of Debian. /tests/blocks has the commands of docs/install.md, a file for each.
# Who looks for something in what a program says reads it to its end: with pipefail a `grep -q` that has found it ends the program with SIGPIPE.
set -euo pipefail

fail() { echo "packages: $*" >&2; exit 1; }
note() { echo "packages: $*"; }

# Debian 11 has no nginx-dev, and so no module; of others the archive may have none.
has_nginx() { [[ -e /tests/with-nginx ]]; }
names() { if has_nginx; then echo libnginx-mod-http-gangway; fi; echo libapache2-mod-gangway gangway-engine-python gangway; }

# block NAME: a block of the page, as it stands there.
block() {
    note "docs/install.md: $1"
    bash -euo pipefail "/tests/blocks/$1.sh" >/var/tmp/block.log 2>&1 || { cat /var/tmp/block.log >&2; fail "the block \"$1\" of docs/install.md fails"; }
}

said() { grep -qF -- "$1" /var/tmp/block.log || { cat /var/tmp/block.log >&2; fail "it did not say \"$1\""; }; }

# ask URL START: until the server answers.
ask() {
    local page=
    for _ in $(seq 100); do
        page=$(curl -fsS "$1" 2>&1) && [[ $page == "$2"* ]] && break
        sleep 0.1
    done
    [[ $page == "$2"* ]] || { tail -n 20 /var/log/nginx/error.log /var/log/apache2/error.log >&2 || true; fail "$1 is '$page' instead of '$2'"; }
    note "$1: ${page%%$'\n'*}"
}

gone() {
    for _ in $(seq 100); do
        pgrep -x "$1" >/dev/null || return 0
        sleep 0.1
    done
    fail "$1 does not end: $(pgrep -ax "$1")"
}

# What serves beside the servers: names and command lines.
ours() { ps -eo comm=,args= | grep -iE '[g]angway-(guard|spawn|super|host)' || true; }

# No process of ours, once the servers have ended.
nothing_runs() {
    local left=
    for _ in $(seq 100); do
        left=$(ours)
        [[ -n $left ]] || return 0
        sleep 0.1
    done
    fail "processes are left: $left"
}

# What /run and /var/log have in a machine that has started: here /run is a fresh one for each step.
run_folders() { mkdir -p /run/php /run/lock /var/log/nginx /var/log/apache2; }

listing() {
    find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /dev -o -path /var/lib/dpkg -o -path /var/cache -o -path /var/log -o -path /var/lib/apt \
        -o -path /tmp -o -path /var/tmp -o -path /tests -o -path /srv -o -path '/var/lib/systemd' -o -name __pycache__ \) -prune -o -print | sort
}
