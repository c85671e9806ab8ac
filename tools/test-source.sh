#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# test-source.sh [SUITE]: does in a fresh root of a Debian (bookworm) what docs/install.md says of the source, and asks both servers for a page. As
# root, with mmdebstrap; Rust and its crates are this machine's. UNOPTIMIZED=yes compiles in less than half of the time, for work on the steps themselves.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/roots.sh"

suite=${1:-bookworm}
root=$BUILD/packages/source-$suite
cargo_home=${CARGO_HOME:-$HOME/.cargo}
inside=(/usr/bin/env PATH="$RUST/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" CARGO_HOME=/opt/cargo CARGO_NET_OFFLINE=true)
[[ -z ${UNOPTIMIZED:-} ]] || inside+=(CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16)

need_roots
lock "test-source-$suite"
# All that cargo fetches, so that the root needs no registry.
quiet source-crates cargo fetch --locked
quiet source-crates-nginx cargo fetch --locked --manifest-path tools/nginx-src/Cargo.toml
make_root "$suite" "$root"
mkdir -p "$root/tests" "$root/srv/gangway"
cp tests/packages/* "$root/tests/"
blocks docs/install.md "$root/tests/blocks"
commit=$(git stash create)
git archive "${commit:-HEAD}" | tar -x -C "$root/srv/gangway"
for step in build serve; do
    network=
    [[ $step == build ]] || network=-n
    say "$suite, from source: $step"
    # shellcheck disable=SC2086
    quiet "source-$suite-$step" in_root "$root" $network -b "$(rust_mount)" -b "$cargo_home:/opt/cargo" -- "${inside[@]}" bash /tests/source.sh "$step"
    sed -n 's/^packages: /    /p' "$BUILD/log/source-$suite-$step.log"
done
say "the source holds on Debian ($suite)"
rm -rf "$root"
