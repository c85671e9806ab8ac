#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# asan.sh nginx128|apache [PYTEST OPTION...]: the behaviour suite with AddressSanitizer in all of Gangway: on an nginx 1.28 that is
# built with it, too, and without pools, or on the distribution's httpd with the sanitizer's library before its own.
. "$(dirname "$0")/lib.sh"

SERVER=$1
shift
DIST=$BUILD/asan
TARGET_DIR=${CARGO_TARGET_DIR:-target}/asan
HOST=$(rustc -vV | sed -n 's/^host: //p')
LIBRARY=$(gcc -print-file-name=libasan.so)
[[ -e $LIBRARY ]] || die "gcc has no libasan.so"

# Workers write there, too, and so do processes of applications.
LOGS=$(mktemp -d /tmp/gangway-asan.XXXXXX)
chmod 1777 "$LOGS"
# What Python and httpd keep until the end is no leak; signals are the server's own. Two modules of one process have the core each.
OPTIONS=detect_leaks=0:use_sigaltstack=0:handle_segv=0:handle_abort=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:detect_odr_violation=0:log_path=$LOGS/report

# A program names the library itself, before all others. What gangway-host is told in its environment its server chooses, so
# the options stand in the program.
LINKER=$BUILD/asan-link
mkdir -p "$LINKER"
printf 'const char *__asan_default_options(void) { return "%s"; }\n' "$OPTIONS" >"$LINKER/options.c"
gcc -c -o "$LINKER/options.o" "$LINKER/options.c"
cat >"$LINKER/cc" <<SCRIPT
#!/bin/sh
case " \$* " in
*" -shared "*) exec cc "\$@" ;;
*) exec cc "$(realpath "$LIBRARY")" "\$@" "$LINKER/options.o" ;;
esac
SCRIPT
chmod 755 "$LINKER/cc"

# The compiler's sanitizers are not stable; the variable lets a stable compiler have them. The modules name no runtime: it is
# that of the server's process, gcc's, whose interface is the same (version 8). Stacks are not watched: a cloned child that becomes
# another program never leaves its frames, and greenlets move theirs.
sanitized() {
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Zexternal-clangrt -Clinker=$LINKER/cc -Cllvm-args=-asan-stack=0 -Cforce-frame-pointers=yes" \
        tools/modules.sh "$1" "${@:2}" --target "$HOST" --target-dir "$TARGET_DIR"
}

case $SERVER in
nginx128)
    tools/nginx-1.28.sh nginx-1.28-asan '-O1 -g -fno-omit-frame-pointer -fsanitize=address -DNGX_DEBUG_PALLOC=1'
    sanitized "$DIST" gangway-python gangway-python-runtime gangway-host gangway-command --
    NGINX_SOURCE_DIR=$BUILD/nginx-1.28-asan NGINX_BUILD_DIR=$BUILD/nginx-1.28-asan/objs sanitized "$DIST/nginx-1.28" gangway-nginx --
    # A program that tests a configuration is told nothing of its caller's environment.
    export GANGWAY_NGINX128=$LOGS/nginx ASAN_OPTIONS=$OPTIONS
    cat >"$GANGWAY_NGINX128" <<SCRIPT
#!/bin/sh
ASAN_OPTIONS=$OPTIONS exec $(realpath "$BUILD")/nginx-1.28-asan/objs/nginx "\$@"
SCRIPT
    chmod 755 "$GANGWAY_NGINX128"
    ;;
apache)
    sanitized "$DIST" gangway-python gangway-python-runtime gangway-host gangway-command gangway-apache gangway-apache-proxy --
    export GANGWAY_APACHE=$LOGS/httpd
    cat >"$GANGWAY_APACHE" <<SCRIPT
#!/bin/sh
ASAN_OPTIONS=$OPTIONS LD_PRELOAD=$(realpath "$LIBRARY") exec /usr/sbin/apache2 "\$@"
SCRIPT
    chmod 755 "$GANGWAY_APACHE"
    ;;
*) die "asan.sh nginx128|apache" ;;
esac

status=0
# Memory has another size with the sanitizer's shadows and quarantine, and a process with memory= no room for them; a site of its own runs in a server that has no sanitizer.
GANGWAY_DIST=$DIST SERVER=$SERVER tools/test.sh -k 'not memory and not gibibyte and not a_download_over_http2 and not slow_readers and not two_sites and not what_a_process_is_given and not who_never_reads and not who_reads_nothing and not test_large' "$@" || status=$?
# What is no error is the sanitizer's wonder about the stacks of greenlets.
mapfile -t reports < <(grep -l "ERROR: AddressSanitizer" "$LOGS"/report.* 2>/dev/null)
if ((${#reports[@]})); then
    head -n 40 "${reports[@]}"
    die "AddressSanitizer has found something: ${reports[*]}"
fi
say "AddressSanitizer: no report"
rm -rf "$LOGS"
exit "$status"
