#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# modules.sh FOLDER PACKAGE... [-- CARGO OPTION...]: builds the packages and puts their shared objects and programs into FOLDER.
. "$(dirname "$0")/lib.sh"

target=$1
shift
packages=()
while (($#)) && [[ $1 != -- ]]; do
    packages+=(-p "$1")
    shift
done

# cargo itself says where the finished files are, whatever target folder the environment or a configuration chose.
artifacts=$(cargo build "${packages[@]}" "${@:2}" --message-format=json-render-diagnostics)
mapfile -t objects < <(/usr/bin/python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message["reason"] != "compiler-artifact":
        continue
    if "cdylib" in message["target"]["kind"]:
        print(*(name for name in message["filenames"] if name.endswith(".so")), sep="\n")
    elif message["executable"] and message["target"]["kind"] == ["bin"]:
        print(message["executable"])' <<<"$artifacts")
((${#objects[@]} * 2 == ${#packages[@]})) || die "cargo built ${#objects[@]} files of ${#packages[@]}"

mkdir -p "$target"
for object in "${objects[@]}"; do
    file=$(basename "$object")
    # libngx_x.so and libmod_x.so, but gangway_python.so: servers and engines are found by names without "lib".
    file=$target/${file#lib}
    cmp -s "$object" "$file" && continue
    # A running server may have the old file mapped: replace it, never write into it.
    cp "$object" "$file.new"
    mv "$file.new" "$file"
    say "built ${file#"$ROOT"/}"
done
