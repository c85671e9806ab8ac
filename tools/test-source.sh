#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# test-source.sh [SUITE]: does in a fresh root of a Debian (bookworm) what docs/install.md says of the source, and asks both servers for a page. As
# root, with mmdebstrap; Rust and its crates are this machine's.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/roots.sh"

suite=${1:-bookworm}
root=$BUILD/packages/source-$suite
need_roots
lock "test-source-$suite"
make_root "$suite" "$root"
mkdir -p "$root/tests" "$root/srv/gangway"
cp tests/packages/* "$root/tests/"
blocks docs/install.md "$root/tests/blocks"
commit=$(git stash create)
git archive "${commit:-HEAD}" | tar -x -C "$root/srv/gangway"
say "building from source on Debian ($suite)"
quiet "source-$suite" in_root "$root" -b "$(rust_mount)" -b "${CARGO_HOME:-$HOME/.cargo}:/opt/cargo" -- \
    /usr/bin/env PATH="$RUST/bin:/usr/sbin:/usr/bin:/sbin:/bin" CARGO_HOME=/opt/cargo bash /tests/source.sh
sed -n 's/^packages: /    /p' "$BUILD/log/source-$suite.log"
say "the source holds on Debian ($suite)"
rm -rf "$root"
