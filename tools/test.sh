#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# test.sh [PYTEST OPTION...]: the Rust tests, those of the package mod_python, the behaviour suite, and the tests of WSGI and of security
# once more with applications in processes of their own, some of them in gangway-host; with SERVER set only the suite, on that server.
. "$(dirname "$0")/lib.sh"

SERVER=${SERVER:-}
# Tests wait for servers and times more than they compute, so that there are two for a processor. Each server under test has processes
# of its own: more than four tests at a time disturb each other's deadlines. ARGS='-n 1' takes another number.
JOBS=$(($(nproc) < 2 ? 2 : 4))

# libtest prints a result per binary; this is the sum, which is the line to look at.
rust_tests() {
    local log=$BUILD/log/cargo-test.log status=0
    timeout --foreground --kill-after=10 30m cargo test --workspace --no-fail-fast \
        --config 'target."cfg(all())".runner = ["timeout", "--foreground", "--kill-after=10", "10m"]' 2>&1 </dev/null |
        tee "$log" || status=$?
    SUMMARY+=("$(awk -v status="$status" '/^test result:/ { passed += $4; failed += $6; ignored += $8 }
        END { printf "cargo test: %d passed, %d failed, %d ignored%s\n", passed, failed, ignored,
              status ? " (FAILED, exit status " status ")" : "" }' "$log")")
    if ((status == 101)) && rust_again "$log"; then status=0; fi
    return "$status"
}

# rust_again LOG: as run_again. A binary that ended without a result for each of its tests is no accident of a test.
rust_again() {
    local name passed failed=0
    local names=()
    mapfile -t names < <(sed -nE 's/^test (\S+) \.\.\. FAILED$/\1/p' "$1" | sort -u)
    ((${#names[@]} > 0 && ${#names[@]} <= FLAKY)) || return 1
    # Each failure is one of a test that is named, none of a program that did not compile, was killed or crashed.
    ((${#names[@]} == $(awk '/^test result:/ { failed += $6 } END { print failed + 0 }' "$1"))) || return 1
    ! grep -qE '^error(\[E[0-9]+\])?: (could not compile|.*process didn.t exit)' <(grep -v 'to rerun pass' "$1") || return 1
    for name in "${names[@]}"; do
        passed=0
        timeout --foreground --kill-after=10 10m cargo test --workspace --lib --bins --tests -- --exact "$name" 2>&1 </dev/null |
            tee "${1%.log}-again.log" >/dev/null || failed=1
        passed=$(awk '/^test result:/ { passed += $4 } END { print passed + 0 }' "${1%.log}-again.log")
        if ((failed == 0 && passed > 0)); then
            SUMMARY+=("flaky: $name failed, and passed by itself; mend it before anything else")
        else
            SUMMARY+=("failed again by itself: $name")
            failed=1
        fi
    done
    return "$failed"
}

pytest() {
    timeout --foreground --signal=INT --kill-after=60 "$1" build/venv-test/bin/python -m pytest -o faulthandler_timeout=240 \
        ${SERVER:+--server="$SERVER"} "${@:2}" 2>&1 </dev/null
}

# The tests that the summary of a run names as failed or in error. xdist adds the group after "@".
failed_tests() {
    sed -nE 's/^(FAILED|ERROR) (tests\/.*)$/\2/p' "$1" | sed -E 's/ - .*//; s/@([a-z_]+\.)?test_[a-z0-9_]+:[a-z0-9:_-]+$//' | sort -u
}

# How many may fail and pass by themselves then. More are a fault of the suite, or no accident.
FLAKY=3

# run_again LOG OPTION...: a test that failed runs once more by itself, with nothing beside it; when it passes then it is named as flaky.
run_again() {
    local log=${1%.log}-again.log name failed=0
    local names=()
    mapfile -t names < <(failed_tests "$1")
    ((${#names[@]} > 0 && ${#names[@]} <= FLAKY)) || return 1
    for name in "${names[@]}"; do
        if pytest 5m "$name" "${@:2}" | tee -a "$log"; then
            SUMMARY+=("flaky: $name failed, and passed by itself; mend it before anything else")
        else
            SUMMARY+=("failed again by itself: $name")
            failed=1
        fi
    done
    return "$failed"
}

behaviour_tests() {
    local log=$BUILD/log/behaviour.log status=0 word
    local where=(tests/behaviour)
    # Who names files of the suite wants no others.
    for word in "$@"; do [[ $word != tests/behaviour/?* ]] || where=(); done
    rm -f "$BUILD/log/behaviour-again.log"
    pytest 60m "${where[@]}" -n "$JOBS" "$@" | tee "$log" || status=$?
    SUMMARY+=("behaviour suite on ${SERVER:-nginx, nginx 1.28 and httpd}: $(tail -n1 "$log" | tr -d '=' | xargs)")
    # 1 is pytest's word for tests that failed; anything else is no accident of a test.
    if ((status == 1)) && run_again "$log"; then status=0; fi
    return "$status"
}

# On one nginx: what differs between two is the same in this way.
managed_tests() {
    local log=$BUILD/log/managed.log status=0
    local options=(--managed --server=nginx,apache)
    rm -f "$BUILD/log/managed-again.log"
    pytest 20m tests/behaviour/wsgi tests/behaviour/security -n "$JOBS" "${options[@]}" "$@" | tee "$log" || status=$?
    SUMMARY+=("WSGI and security in processes of applications' own on nginx and httpd: $(tail -n1 "$log" | tr -d '=' | xargs)")
    if ((status == 1)) && run_again "$log" "${options[@]}"; then status=0; fi
    return "$status"
}

# What an application behind FastCGI is told, by a gangway-host that was started by hand.
host_tests() {
    local log=$BUILD/log/host.log status=0
    local options=(--host --server=nginx,apache)
    rm -f "$BUILD/log/host-again.log"
    pytest 10m tests/behaviour/wsgi/test_environ.py -n "$JOBS" "${options[@]}" "$@" | tee "$log" || status=$?
    SUMMARY+=("the environ of WSGI in gangway-host behind nginx and httpd: $(tail -n1 "$log" | tr -d '=' | xargs)")
    if ((status == 1)) && run_again "$log" "${options[@]}"; then status=0; fi
    return "$status"
}

# The package mod_python outside of a server.
package_tests() {
    local log=$BUILD/log/mod_python.log status=0
    timeout --foreground --kill-after=10 5m build/venv-test/bin/python -m pytest -q -p no:cacheprovider \
        engines/python/modpython/tests 2>&1 </dev/null | tee "$log" || status=$?
    SUMMARY+=("package mod_python: $(tail -n1 "$log" | tr -d '=' | xargs)")
    return "$status"
}

status=0
SUMMARY=()
[[ -n $SERVER ]] || rust_tests || status=1
[[ -n $SERVER ]] || package_tests || status=1
behaviour_tests "$@" || status=1
[[ -n $SERVER ]] || managed_tests "$@" || status=1
[[ -n $SERVER ]] || host_tests "$@" || status=1
printf '\n'
for line in "${SUMMARY[@]}"; do say "$line"; done
((status == 0)) || die "tests FAILED"
say "all tests passed"
