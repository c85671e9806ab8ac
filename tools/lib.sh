# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# Sourced by the scripts of this folder: the repository's root as working directory, messages, locks, quiet steps.

set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
BUILD=$ROOT/build
mkdir -p "$BUILD/log"

say() { printf '%s\n' "gangway: $*"; }
die() {
    printf '%s\n' "gangway: $*" >&2
    exit 1
}

# lock NAME: one process at a time beyond this line; released when the script ends. Children that outlive the
# script must close descriptor 9.
lock() {
    exec 9>"$BUILD/.$1.lock"
    flock 9
}

# quiet NAME COMMAND...: output goes to build/log/NAME.log, whose end is shown when the command fails.
quiet() {
    local log=$BUILD/log/$1.log
    shift
    "$@" >"$log" 2>&1 </dev/null && return 0
    tail -n 25 "$log" >&2
    die "\`${*}\` failed; everything it said is in ${log#"$ROOT"/}"
}

# The signature that nginx compares when it loads a module, from a finished binary or module.
nginx_signature() { grep -aoE '[48],[48],[48],[01]{34}' "$1" | head -n1; }

# The same of a configured source tree, which is the working directory: the signature is a macro over its configuration.
claimed_signature() {
    printf '#include <ngx_config.h>\n#include <ngx_core.h>\n#include <ngx_module.h>\nNGX_MODULE_SIGNATURE\n' |
        cc -E -P -I src/core -I src/event -I src/event/modules -I src/event/quic -I src/os/unix -I objs - | tail -n1 | tr -d '" '
}
