#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# valgrind.sh [PYTEST OPTION...]: the behaviour suite on httpd under valgrind. Fails if memcheck has anything to say.
. "$(dirname "$0")/lib.sh"

command -v valgrind >/dev/null || die "valgrind is missing: apt-get install --no-install-recommends valgrind"
# The workers' user writes here, too.
LOGS=$(mktemp -d /tmp/gangway-valgrind.XXXXXX)
chmod 1777 "$LOGS"
PROGRAM=$LOGS/httpd
cat >"$PROGRAM" <<SCRIPT
#!/bin/sh
exec valgrind --quiet --error-limit=no --num-callers=30 --log-file=$LOGS/%p.log "${GANGWAY_APACHE:-/usr/sbin/apache2}" "\$@"
SCRIPT
chmod 755 "$LOGS" "$PROGRAM"
chmod 1777 "$LOGS"

status=0
# Python's own allocator hides from memcheck who uses what.
PYTHONMALLOC=malloc GANGWAY_APACHE=$PROGRAM "$BUILD/venv-test/bin/python" -m pytest tests/behaviour --server=apache "$@" || status=$?
if grep -lE '^==' "$LOGS"/*.log; then
    die "memcheck has found something: see the files above"
fi
say "memcheck: nothing in $(find "$LOGS" -name '*.log' | wc -l) processes"
rm -rf "$LOGS"
exit $status
