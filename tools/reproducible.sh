#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# reproducible.sh: builds the packages twice, in folders of different names and at different times, and compares the bytes of each file. RELEASE and
# PACKAGES as for deb.sh, whose dist/deb gets the packages. What differs is shown by diffoscope, where that is installed.
#   FIRST=FOLDER  the first of the two has been built already, by `make deb`, of the same commit: only the second one is built
. "$(dirname "$0")/lib.sh"

FOLDER=$BUILD/reproducible
FIRST=${FIRST:-}
[[ -z ${BUILT:-} ]] || die "finished files say nothing about a build"
rm -rf "$FOLDER"
if [[ -z $FIRST ]]; then BUILD_FOLDER=gangway-first tools/deb.sh "$FOLDER/first"; else FIRST=$(realpath "$FIRST"); fi
BUILD_FOLDER=gangway-second tools/deb.sh "$FOLDER/second"
status=0
compared=0
for second in "$FOLDER"/second/*; do
    # These say when and where they were made.
    case $second in *.buildinfo | *.changes) continue ;; esac
    first=${FIRST:-$FOLDER/first}/$(basename "$second")
    [[ -f $first ]] || die "there is no $first: what FIRST= names was built of another version, or for another release"
    compared=$((compared + 1))
    if cmp -s "$first" "$second"; then
        say "the same: $(sha256sum "$first" | cut -c1-16) $(basename "$first")"
    else
        say "NOT the same: $(basename "$first")"
        ! command -v diffoscope >/dev/null || diffoscope --max-report-size 20000 "$first" "$second" | head -n 100 || true
        status=1
    fi
done
((status == 0)) || die "two builds have different bytes; both are in ${FIRST:-${FOLDER#"$ROOT"/}/first} and ${FOLDER#"$ROOT"/}/second"
if [[ -z $FIRST ]]; then
    mkdir -p dist/deb
    mv "$FOLDER"/first/* dist/deb/
fi
rm -rf "$FOLDER"
say "two builds have the same bytes ($compared files)"
