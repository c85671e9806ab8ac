#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# test.sh [PYTEST OPTION...]: the Rust tests, then the behaviour suite; with SERVER set only the suite, on that server.
. "$(dirname "$0")/lib.sh"

SERVER=${SERVER:-}
# Each server under test has processes of its own: more than this many at a time disturb each other's deadlines.
JOBS=$(($(nproc) < 4 ? $(nproc) : 4))

# libtest prints a result per binary; this is the sum, which is the line to look at.
rust_tests() {
    local log=$BUILD/log/cargo-test.log status=0
    timeout --foreground --kill-after=10 30m cargo test --workspace --no-fail-fast \
        --config 'target."cfg(all())".runner = ["timeout", "--foreground", "--kill-after=10", "10m"]' 2>&1 </dev/null |
        tee "$log" || status=$?
    SUMMARY+=("$(awk -v status="$status" '/^test result:/ { passed += $4; failed += $6; ignored += $8 }
        END { printf "cargo test: %d passed, %d failed, %d ignored%s\n", passed, failed, ignored,
              status ? " (FAILED, exit status " status ")" : "" }' "$log")")
    return "$status"
}

behaviour_tests() {
    local log=$BUILD/log/behaviour.log status=0
    timeout --foreground --signal=INT --kill-after=60 40m build/venv-test/bin/python -m pytest tests/behaviour \
        -n "$JOBS" -o faulthandler_timeout=240 ${SERVER:+--server="$SERVER"} "$@" 2>&1 </dev/null | tee "$log" || status=$?
    SUMMARY+=("behaviour suite on ${SERVER:-nginx, nginx 1.28 and httpd}: $(tail -n1 "$log" | tr -d '=' | xargs)")
    return "$status"
}

status=0
SUMMARY=()
[[ -n $SERVER ]] || rust_tests || status=1
behaviour_tests "$@" || status=1
printf '\n'
for line in "${SUMMARY[@]}"; do say "$line"; done
((status == 0)) || die "tests FAILED"
say "all tests passed"
