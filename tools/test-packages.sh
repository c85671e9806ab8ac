#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# test-packages.sh [SUITE...]: installs the packages of dist/apt as docs/install.md says, in a fresh root of each Debian (bookworm), uses them in
# both servers, upgrades, breaks and removes them. As root, with mmdebstrap; Debian's own packages come from where this machine's apt gets them.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/roots.sh"

need_roots
[[ -d dist/apt/dists ]] || die "there is no dist/apt: make deb"

# The blocks of a page that have a name, as scripts.
blocks() {
    mkdir -p "$2"
    awk -v folder="$2" '
        /^<!-- test: .* -->$/ { name = $3; next }
        name && /^```/ { if (inside) { inside = 0; name = "" } else inside = 1; next }
        inside { print >(folder "/" name ".sh") }' "$1"
}

# The same packages with the number of a version before, for the upgrade.
previous() {
    local suite=$1 folder=$2 file tree=$BUILD/packages/tree version
    version=$(sed -n '/^\[workspace.package]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
    rm -rf "$folder"
    mkdir -p "$folder"
    for file in $(xzcat "dist/apt/dists/$suite"/main/binary-*/Packages.xz | sed -n 's/^Filename: //p' | grep -v dbgsym); do
        rm -rf "$tree"
        dpkg-deb -R "dist/apt/$file" "$tree"
        sed -i "s/${version//./\\.}/0.0.9/g" "$tree/DEBIAN/control"
        dpkg-deb --root-owner-group -Zgzip -z1 -b "$tree" "$folder/" >/dev/null
    done
    rm -rf "$tree"
    (cd "$folder" && apt-ftparchive packages . >Packages)
}

test_on() {
    local suite=$1 root=$BUILD/packages/$1 network
    [[ -d dist/apt/dists/$suite ]] || die "dist/apt has nothing for $suite: make deb RELEASE=$suite"
    make_root "$suite" "$root"
    mkdir -p "$root/tests"
    cp tests/packages/* "$root/tests/"
    blocks docs/install.md "$root/tests/blocks"
    # Sid calls itself forky.
    sed -i "s/\$VERSION_CODENAME/$suite/" "$root/tests/blocks/repository.sh"
    previous "$suite" "$BUILD/packages/previous-$suite"
    for step in prepare install serve upgrade wrong remove; do
        network=-n
        case $step in prepare | install) network= ;; esac
        say "$suite: $step"
        # shellcheck disable=SC2086
        in_root "$root" $network -b "$ROOT/dist/apt:/srv/apt" -b "$BUILD/packages/previous-$suite:/srv/apt-previous" -- bash "/tests/$step.sh" \
            >"$BUILD/log/packages-$suite-$step.log" 2>&1 || { tail -n 40 "$BUILD/log/packages-$suite-$step.log" >&2; die "$suite: $step failed"; }
        sed -n 's/^packages: /    /p' "$BUILD/log/packages-$suite-$step.log"
    done
    say "the packages hold on Debian ($suite)"
    rm -rf "$root" "$BUILD/packages/previous-$suite"
}

lock test-packages
mkdir -p "$BUILD/packages"
for suite in "${@:-bookworm}"; do
    test_on "$suite"
done
