#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# reproducible.sh: builds the packages twice, in folders of different names and at different times, and compares the bytes of each file. RELEASE and
# PACKAGES as for deb.sh, whose dist/deb gets the packages. What differs is shown by diffoscope, where that is installed.
. "$(dirname "$0")/lib.sh"

FOLDER=$BUILD/reproducible
[[ -z ${BUILT:-} ]] || die "finished files say nothing about a build"
rm -rf "$FOLDER"
for time in first second; do
    BUILD_FOLDER=gangway-$time tools/deb.sh "$FOLDER/$time"
done
status=0
for first in "$FOLDER"/first/*; do
    # These say when and where they were made.
    case $first in *.buildinfo | *.changes) continue ;; esac
    second=$FOLDER/second/$(basename "$first")
    if cmp -s "$first" "$second"; then
        say "the same: $(sha256sum "$first" | cut -c1-16) $(basename "$first")"
    else
        say "NOT the same: $(basename "$first")"
        ! command -v diffoscope >/dev/null || diffoscope --max-report-size 20000 "$first" "$second" | head -n 100 || true
        status=1
    fi
done
((status == 0)) || die "two builds have different bytes; both are in ${FOLDER#"$ROOT"/}"
mkdir -p dist/deb
mv "$FOLDER"/first/* dist/deb/
rm -rf "$FOLDER"
say "two builds have the same bytes"
