#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# debian-13.sh [FOLDER]: builds the modules in a Debian 13 of their own and asks the demo for a page in both servers. As root,
# with debootstrap; the packages come from where this machine's apt gets its own, the Rust tools from this machine.
. "$(dirname "$0")/lib.sh"

SUITE=${SUITE:-trixie}
FOLDER=$(realpath -m "${1:-$BUILD/debian-$SUITE}")
# The folder of the project in there.
INSIDE=/srv/gangway
PORT=18080

((EUID == 0)) || die "a root of another Debian is made by root"
command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install --no-install-recommends debootstrap"
command -v cargo >/dev/null || die "cargo is missing: install Rust first"

# The first archive of Debian that apt knows on this machine.
archive() { apt-cache policy | grep -oE '(https?|file)://[^ ]+/debian/? ' | sort -u | head -n1 | tr -d ' '; }

make_root() {
    [[ ! -e $FOLDER/.complete ]] || return 0
    local from
    from=$(archive)
    [[ -n $from ]] || die "apt knows no archive of Debian on this machine"
    say "making a Debian ($SUITE) in $FOLDER"
    quiet "debootstrap-$SUITE" debootstrap --variant=minbase --include=ca-certificates,make "$SUITE" "$FOLDER" "$from"
    touch "$FOLDER/.complete"
}

copy_tree() {
    mkdir -p "$FOLDER$INSIDE"
    # What belongs to the project, without what this machine has built of it.
    git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$FOLDER$INSIDE"
}

# In a namespace of its own: the mounts and every process end with it.
inside() {
    unshare --mount --pid --fork --kill-child bash -c '
        set -e
        root=$1 cargo=$2 rustup=$3
        shift 3
        mount -t proc proc "$root/proc"
        for pair in "$cargo:/opt/cargo" "$rustup:/opt/rustup" /etc/ssl/certs:/etc/ssl/certs; do
            mkdir -p "$root${pair#*:}"
            mount --bind "${pair%%:*}" "$root${pair#*:}"
        done
        mkdir -p "$root/dev/pts"
        mount --bind /dev "$root/dev"
        exec chroot "$root" /usr/bin/env PATH=/opt/cargo/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root CARGO_HOME=/opt/cargo \
            RUSTUP_HOME=/opt/rustup "$@"' \
        inside "$FOLDER" "${CARGO_HOME:-$HOME/.cargo}" "${RUSTUP_HOME:-$HOME/.rustup}" "$@"
}

ask() {
    cat <<'INSIDE'
set -euo pipefail
server=$1 port=$2
tools/demo.sh "$server" "$port" >"build/log/demo-$server.log" 2>&1 </dev/null &
demo=$!
for _ in $(seq 600); do
    if curl -fsS "http://127.0.0.1:$port/" >build/log/page 2>/dev/null; then
        kill -TERM "$demo"
        wait "$demo" || true
        sed -n 's/^Flask runs inside /gangway: the demo has answered inside /p' "build/log/demo-$server.log"
        exit 0
    fi
    kill -0 "$demo" 2>/dev/null || break
    sleep 0.2
done
cat "build/log/demo-$server.log"
exit 1
INSIDE
}

make_root
copy_tree
cp -L /etc/resolv.conf "$FOLDER/etc/resolv.conf"
ask >"$FOLDER$INSIDE/build-ask.sh"
say "building in $FOLDER; what it says is in $FOLDER/build.log"
inside bash -c "cd $INSIDE && make" >"$FOLDER/build.log" 2>&1 || {
    tail -n 40 "$FOLDER/build.log" >&2
    die "make failed"
}
for server in nginx apache; do
    inside bash -c "cd $INSIDE && bash build-ask.sh $server $PORT" || die "the demo with $server failed"
done
inside bash -c '. /etc/os-release; echo "$PRETTY_NAME"; dpkg-query -W -f "\${Package} \${Version}\n" nginx apache2 python3 libc6 gcc'
