#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# The unit tests of src/exchange, src/engine and src/pool under Miri, with an engine that is written in Rust
# (src/engine/tests/linked.rs). Files and clocks of the machine are used, so its isolation is off.
. "$(dirname "$0")/lib.sh"

toolchain=${MIRI_TOOLCHAIN:-nightly}
cargo "+$toolchain" miri --version >/dev/null 2>&1 ||
    die "miri: not there; rustup toolchain install $toolchain --component miri,rust-src"

export MIRIFLAGS="-Zmiri-disable-isolation ${MIRIFLAGS:-}"
export PROPTEST_CASES=${PROPTEST_CASES:-4}
for area in exchange engine pool; do
    say "miri: src/$area"
    cargo "+$toolchain" miri test --target-dir "${CARGO_TARGET_DIR:-target}/miri" --package gangway --lib \
        "$area::" "$@" </dev/null
done
