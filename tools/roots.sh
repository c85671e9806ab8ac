# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# Sourced after lib.sh: roots of Debian, made by mmdebstrap in build/roots/, and what runs in them. As root.

ROOTS=$BUILD/roots
# Where Rust stands in a root.
RUST=/opt/rust

need_roots() {
    ((EUID == 0)) || die "a root of Debian is made by root"
    command -v mmdebstrap >/dev/null || die "mmdebstrap is missing: apt-get install --no-install-recommends mmdebstrap"
    command -v ip >/dev/null || die "ip is missing: apt-get install --no-install-recommends iproute2"
    mkdir -p "$ROOTS"
}

# The number of a release, as it sorts; sid comes after all.
release_number() {
    case $1 in
    bullseye) echo 11 ;; bookworm) echo 12 ;; trixie) echo 13 ;; forky) echo 14 ;; sid) echo 99 ;;
    *) die "\"$1\" is no Debian that is known here: bullseye, bookworm, trixie, forky or sid" ;;
    esac
}

# The first archive of Debian that apt knows on this machine.
archive() {
    local from
    from=$(apt-cache policy | grep -oE '(https?|file)://[^ ]+/debian/? ' | sort -u | head -n1 | tr -d ' ')
    [[ -n $from ]] || die "apt knows no archive of Debian on this machine"
    printf '%s\n' "$from"
}

# make_root SUITE FOLDER: a fresh minimal Debian. What mmdebstrap gave is kept, so that the next one takes seconds.
make_root() {
    local suite=$1 folder=$2 kept=$ROOTS/$1.tar options=()
    # The lists of these two are good for a week; a mirror that is older has still whole ones, which are signed.
    [[ $suite != forky && $suite != sid ]] || options=(--aptopt='Acquire::Check-Valid-Until "false"')
    if [[ ! -f $kept ]]; then
        say "making a Debian ($suite)"
        quiet "mmdebstrap-$suite" mmdebstrap --format=tar --variant=minbase --include=ca-certificates "${options[@]}" "$suite" "$kept.new" \
            "deb $(archive) $suite main"
        mv "$kept.new" "$kept"
    fi
    rm -rf "$folder"
    mkdir -p "$folder" "$ROOTS/archives-$suite/partial"
    tar -xf "$kept" -C "$folder" --exclude='./dev/*'
    cp -L /etc/resolv.conf "$folder/etc/resolv.conf"
    # How this machine reaches the archive; but downloads are kept for the next root.
    cp -R /etc/apt/apt.conf.d/. "$folder/etc/apt/apt.conf.d/"
    rm -f "$folder"/etc/apt/apt.conf.d/docker-*
    # Nothing in a root starts a service by itself.
    printf '#!/bin/sh\nexit 101\n' >"$folder/usr/sbin/policy-rc.d"
    chmod 755 "$folder/usr/sbin/policy-rc.d"
    printf '%s\n' "$suite" >"$folder/.suite"
}

# in_root FOLDER [-n] [-r] [-b FROM:TO]... -- COMMAND...: in namespaces of its own: mounts and processes end with the command. -n cuts it
# off from every network but its own loopback device, -r makes the root read-only (but for /run and /dev/shm), -b mounts a folder. With the network come the
# downloads that are kept for the release, for one root at a time.
in_root() {
    local folder=$1 flags=(--mount --pid --ipc --uts --fork --kill-child) mounts=() readonly='' alone='' first=() kept
    kept=$ROOTS/archives-$(cat "$folder/.suite")
    shift
    while [[ $1 != -- ]]; do
        case $1 in
        -n) flags+=(--net) alone=yes ;;
        -r) readonly=yes ;;
        -b)
            mounts+=("$2")
            shift
            ;;
        esac
        shift
    done
    shift
    if [[ -z $alone ]]; then
        mounts+=("$kept:/var/cache/apt/archives")
        first=(flock --close "$kept")
    fi
    "${first[@]}" unshare "${flags[@]}" bash -c '
        set -e
        root=$1 readonly=$2 count=$3
        shift 3
        mount --bind "$root" "$root"
        mount -t proc proc "$root/proc"
        mount -t tmpfs tmpfs "$root/run"
        mkdir -p "$root/run/lock"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
        for pair in "${@:1:count}"; do
            mkdir -p "$root${pair#*:}"
            mount --bind "${pair%%:*}" "$root${pair#*:}"
        done
        shift "$count"
        if [ -n "$readonly" ]; then
            mount -o remount,bind,ro "$root"
        fi
        ip link set lo up
        exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"' \
        in_root "$folder" "$readonly" "${#mounts[@]}" "${mounts[@]}" "$@"
}

# Rust of this machine, as an argument for -b.
rust_mount() { printf '%s:%s\n' "$(rustc --print sysroot)" "$RUST"; }

# blocks PAGE FOLDER: the blocks of a page that have a name, as scripts.
blocks() {
    mkdir -p "$2"
    awk -v folder="$2" '
        /^<!-- test: .* -->$/ { name = $3; next }
        name && /^```/ { if (inside) { inside = 0; name = "" } else inside = 1; next }
        inside { print >(folder "/" name ".sh") }' "$1"
}
