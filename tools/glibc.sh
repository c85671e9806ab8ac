#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# glibc.sh FILE...: whether modules need nothing of the C library that glibc 2.30 does not have. A module that is built with a newer
# library asks for newer versions of old functions (2.33 and 2.34 moved some): those are named here, and whoever builds with the old one
# gets the old ones. Anything else is a function that the old library lacks.
. "$(dirname "$0")/lib.sh"

MOVED='f?stat(64)?|lstat(64)?|fstatat(64)?|mknod(at)?|dl(open|close|sym|error|addr|addr1|vsym|iterate_phdr|info)|pthread_[a-z_]*|sem_[a-z]*|__pthread_[a-z_]*|__libc_start_main'

status=0
for file in "$@"; do
    newer=$(objdump -T "$file" | sed -nE 's/.*\(?GLIBC_2\.(3[1-9]|[4-9][0-9])\)? +(0x[0-9a-f]+ +)?([A-Za-z0-9_]+)$/\3/p' |
        grep -vxE "$MOVED" | sort -u | xargs || true)
    [[ -z $newer ]] || {
        say "$file needs a glibc newer than 2.30: $newer"
        status=1
    }
done
exit $status
