#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# deb.sh [FOLDER]: the Debian source package of what is committed, and its binary packages for this Debian, in FOLDER (dist/deb).
# Fetches the crates; the build itself needs no network.
# DEBFULLNAME and DEBEMAIL say who made them.
. "$(dirname "$0")/lib.sh"

FOLDER=$(realpath -m "${1:-dist/deb}")
WORK=$BUILD/deb
# Raised when only the packaging has changed.
REVISION=1

command -v cargo >/dev/null || die "cargo is missing: install Rust first"
command -v dpkg-buildpackage >/dev/null || die "this is no Debian: dpkg-buildpackage is missing"
lock deb

version=$(sed -n '/^\[workspace.package]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
# shellcheck source=/dev/null
. /etc/os-release
# testing and sid have no number: what is built there comes after every release.
release=${VERSION_ID:+~deb${VERSION_ID}u1}
full=$version-$REVISION$release
commit=$(git stash create)
commit=${commit:-HEAD}
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}

pack() { tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" "$@"; }

say "making the source package of gangway $full"
rm -rf "$WORK"
mkdir -p "$WORK" "$FOLDER"
source=$WORK/gangway-$version
git archive --prefix="gangway-$version/" "$commit" | tar -x -C "$WORK"
pack -C "$WORK" -cJf "$WORK/gangway_$version.orig.tar.xz" "gangway-$version"
quiet cargo-vendor cargo vendor --locked --versioned-dirs "$source/vendor"
pack -C "$source" -cJf "$WORK/gangway_$version.orig-vendor.tar.xz" vendor
cp -R "$source/packaging/debian" "$source/debian"
cat >"$source/debian/changelog" <<CHANGELOG
gangway ($full) ${VERSION_CODENAME:-unstable}; urgency=medium

  * What is new stands in CHANGELOG.md.

 -- ${DEBFULLNAME:-The Gangway developers} <${DEBEMAIL:-gangway@example.org}>  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
CHANGELOG

cd "$source"
export RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}
say "building the packages"
DEB_BUILD_OPTIONS="parallel=$(nproc) ${DEB_BUILD_OPTIONS:-}" quiet dpkg-buildpackage \
    dpkg-buildpackage --no-sign --build-profiles=pkg.gangway.toolchain
cd "$WORK"
for file in *; do
    [[ -f $file ]] || continue
    mv "$file" "$FOLDER/"
    say "made ${FOLDER#"$ROOT"/}/$file"
done
rm -rf "$WORK"
