#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# fuzz.sh [TARGET...]: every target below fuzz/, or those named, for SECONDS_EACH seconds by cargo-fuzz. Without it and
# a nightly compiler: RUNS changed inputs of each target, from another seed each time. That knows nothing of the
# coverage and finds less.
. "$(dirname "$0")/lib.sh"

SECONDS_EACH=${SECONDS_EACH:-60}
RUNS=${RUNS:-3000000}
SEED=${SEED:-$((RANDOM * 32768 + RANDOM))}

targets=("$@")
((${#targets[@]})) || targets=($(cd fuzz/targets && printf '%s\n' *.rs | sed 's/\.rs$//'))

if cargo +nightly fuzz --version >/dev/null 2>&1; then
    for target in "${targets[@]}"; do
        say "fuzz: $target for $SECONDS_EACH s"
        # New inputs go beside the committed ones, not among them.
        mkdir -p "$BUILD/fuzz/$target"
        cargo +nightly fuzz run "$target" "$BUILD/fuzz/$target" "fuzz/corpus/$target" -- \
            -max_total_time="$SECONDS_EACH" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 </dev/null ||
            die "fuzz: $target FAILED; its input is in fuzz/artifacts/$target/"
    done
    say "fuzz: nothing found in ${#targets[@]} targets"
    exit 0
fi

say "fuzz: cargo-fuzz and a nightly compiler would do more (cargo install cargo-fuzz; rustup toolchain install nightly)"
(($# == 0)) || die "fuzz: without them all targets run together"
say "fuzz: $RUNS changed inputs of each target, seed $SEED"
GANGWAY_FUZZ_RUNS=$RUNS GANGWAY_FUZZ_SEED=$SEED cargo test --quiet -p gangway --lib --target-dir "$BUILD/fuzz/cargo" \
    --config 'profile.test.opt-level=2' -- --exact fuzzing::tests::changed_inputs_hold ||
    die "fuzz: FAILED for the input above; again with SEED=$SEED"
say "fuzz: nothing found"
