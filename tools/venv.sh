#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# venv.sh FOLDER REQUIREMENTS...: a virtual environment of Debian's Python with these requirements installed.
. "$(dirname "$0")/lib.sh"

folder=$1
shift
name=$(basename "$folder")
lock "$name"
stamp=$(/usr/bin/python3 -V; cat "$0" "$@" | sha256sum)
[[ $(cat "$folder/stamp" 2>/dev/null) != "$stamp" ]] || exit 0

options=()
for file in "$@"; do
    options+=(-r "$file")
done
say "installing $* into ${folder#"$ROOT"/}"
# A folder whose interpreter went away with an upgrade is made anew.
"$folder/bin/python" -m pip --version >/dev/null 2>&1 || quiet "$name" /usr/bin/python3 -m venv --clear "$folder"
quiet "$name" "$folder/bin/python" -m pip install --disable-pip-version-check "${options[@]}"
printf '%s\n' "$stamp" >"$folder/stamp"
