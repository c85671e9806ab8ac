# SPDX-License-Identifier: MIT OR Apache-2.0
# What the page's table says of a package is what the package has, no more and no less. Symbols are elsewhere, and nothing can be written that is executed
# or that the linker has resolved.
. /tests/lib.sh

contents() {
    local name row file said
    for name in $(names); do
        row=$(grep -F "| \`$name\` |" /tests/install.md) || fail "docs/install.md does not say what is in $name"
        said=$(grep -oE '`[A-Za-z0-9_@.-]+`' <<<"${row#*|*|}" | tr -d '`' | sort -u)
        for file in $(dpkg -L "$name" | grep -vE '^/usr/share/(doc|man|lintian|bash-completion)/'); do
            [[ -f $file ]] || continue
            grep -qx -- "${file##*/}" <<<"$said" || fail "docs/install.md does not say that $name has $file"
        done
        for file in $said; do
            dpkg -L "$name" | grep -- "/$file$" >/dev/null || fail "$name has no $file, which docs/install.md names"
        done
        for file in $(dpkg -L "$name" | grep -E '\.so$|^/usr/(bin|lib)/.*/?gangway(-host)?$'); do
            [[ -f $file ]] || continue
            python3 - "$file" <<'PY'
import struct, sys
with open(sys.argv[1], "rb") as file:
    data = file.read()
sections, programs = struct.unpack_from("<Q", data, 40)[0], struct.unpack_from("<Q", data, 32)[0]
program_size, program_count, section_size, section_count = struct.unpack_from("<4H", data, 54)
kinds = {struct.unpack_from("<I", data, sections + number * section_size + 4)[0] for number in range(section_count)}
heads = [struct.unpack_from("<IIQQQQQ", data, programs + number * program_size) for number in range(program_count)]
flags = {kind: flags for kind, flags, *_ in heads}
dynamic = next((offset, size) for kind, _, offset, _, _, size, _ in heads if kind == 2)
tags = dict(struct.unpack_from("<qQ", data, dynamic[0] + at) for at in range(0, dynamic[1], 16))
assert 2 not in kinds, "it has a table of symbols"
assert 0x6474E552 in flags and (tags.get(30, 0) & 8 or tags.get(0x6FFFFFFB, 0) & 1), "what the linker resolves can be written"
assert not flags[0x6474E551] & 1, "its stack can be executed"
assert struct.unpack_from("<H", data, 16)[0] == 3, "it has a fixed address"
PY
        done
    done
    note "the packages have what docs/install.md says"
}
contents
