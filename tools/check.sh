#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# What a change must pass besides the tests. Every step runs, so that one look shows everything that is wrong.
. "$(dirname "$0")/lib.sh"

failed=()

step() {
    local name=$1
    shift
    say "check: $name"
    "$@" </dev/null || failed+=("$name")
}

header_compiles() {
    printf '#include "gangway.h"\n' | "$@" -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only -
}

scripts_parse() {
    local script status=0
    for script in tools/*.sh tests/packages/*.sh .ci/run; do
        bash -n "$script" || status=1
    done
    for script in images/setup.sh images/gangway-image packaging/debian/*.p*rm packaging/debian/*.postinst; do
        sh -n "$script" || status=1
    done
    return $status
}

step "formatting (cargo fmt)" cargo fmt --all --check
step "lints (cargo clippy)" cargo clippy --workspace --all-targets --quiet -- -D warnings
step "documentation (cargo doc)" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
step "layers, names and sizes of the crates (cargo test)" cargo test --quiet --test layers
step "header as C99" header_compiles cc -std=c99 -xc
step "header as C++17" header_compiles c++ -std=c++17 -xc++
step "syntax of the scripts" scripts_parse
step "versions in Cargo.toml, CHANGELOG.md and the ABI" env CHECK=now tools/release.sh
# What `make` and `make debug` have built so far.
mapfile -t modules < <(find dist -name '*.so' -o -name gangway-host -o -name gangway 2>/dev/null)
((${#modules[@]} == 0)) || step "no glibc newer than 2.30 (objdump -T)" tools/glibc.sh "${modules[@]}"

((${#failed[@]} == 0)) || die "check: FAILED: $(printf '%s; ' "${failed[@]}")"
say "check: everything passed"
