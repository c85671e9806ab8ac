#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# test-packages.sh [SUITE...]: installs the packages of dist/apt as a person would, in a fresh root of each Debian (bookworm), uses them in both
# servers, and removes them. As root, with mmdebstrap; Debian's own packages come from where this machine's apt gets them.
. "$(dirname "$0")/lib.sh"

((EUID == 0)) || die "a root of Debian is made by root"
command -v mmdebstrap >/dev/null || die "mmdebstrap is missing: apt-get install --no-install-recommends mmdebstrap"
[[ -d dist/apt/dists ]] || die "there is no dist/apt: make deb"

# The first archive of Debian that apt knows on this machine.
archive() { apt-cache policy | grep -oE '(https?|file)://[^ ]+/debian/? ' | sort -u | head -n1 | tr -d ' '; }

# In namespaces of its own: mounts and processes end with it. NETWORK=own cuts it off from everything but its own loopback device.
inside() {
    local own=()
    [[ ${NETWORK:-} != own ]] || own=(--net)
    unshare --mount --pid --ipc --uts --fork --kill-child "${own[@]}" bash -c '
        set -e
        root=$1
        shift
        mount -t proc proc "$root/proc"
        mount -t tmpfs tmpfs "$root/run"
        mkdir -p "$root/run/lock"
        mount --rbind /dev "$root/dev"
        mkdir -p "$root/repository"
        mount --bind dist/apt "$root/repository"
        ip link set lo up 2>/dev/null || true
        exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"' \
        inside "$ROOTFS" "$@"
}

test_on() {
    local suite=$1 from number
    from=$(archive)
    [[ -n $from ]] || die "apt knows no archive of Debian on this machine"
    ROOTFS=$BUILD/packages/$suite
    rm -rf "$ROOTFS"
    mkdir -p "$ROOTFS"
    say "making a Debian ($suite)"
    quiet "mmdebstrap-$suite" mmdebstrap --variant=minbase --include=ca-certificates "$suite" "$ROOTFS" "deb $from $suite main"
    cp -L /etc/resolv.conf "$ROOTFS/etc/resolv.conf"
    cp -R /etc/apt/apt.conf.d/. "$ROOTFS/etc/apt/apt.conf.d/"
    mkdir -p "$ROOTFS/tests"
    cp tests/packages/* "$ROOTFS/tests/"
    number=$(sed -n 's/^VERSION_ID="\(.*\)"/debian-\1/p' "$ROOTFS/etc/os-release")
    echo "deb [trusted=yes] file:/repository ${number:-debian-sid} main" >"$ROOTFS/etc/apt/sources.list.d/gangway.list"
    for step in prepare install; do
        inside bash "/tests/$step.sh" >"$BUILD/log/packages-$suite-$step.log" 2>&1 || { tail -n 25 "$BUILD/log/packages-$suite-$step.log" >&2; die "$suite: $step failed"; }
    done
    NETWORK=own inside bash /tests/serve.sh || die "$suite: the packages do not serve"
    inside bash /tests/remove.sh || die "$suite: removal leaves something"
    say "the packages hold on Debian ($suite)"
    rm -rf "$ROOTFS"
}

mkdir -p "$BUILD/packages"
for suite in "${@:-bookworm}"; do
    test_on "$suite"
done
