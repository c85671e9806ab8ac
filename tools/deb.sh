#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# deb.sh [FOLDER]: the Debian source package of what is committed, and its binary packages, in FOLDER (dist/deb). Fetches the crates; the build
# itself has no network where it may be cut off (as root).
#   RELEASE=bullseye|bookworm|trixie|forky|sid  builds in a fresh root of that Debian with this machine's Rust, as root; else for this Debian
#   PACKAGES=nginx                              only the nginx module: what else there is is the same for every Debian
#   BUILT=FOLDER                                packages of finished files, for tests: what `make` has built here
#   BUILD_FOLDER=NAME                           builds in a folder of this name: its path must make no difference
#   DEBFULLNAME, DEBEMAIL                       who made them
#   DEB_BUILD_OPTIONS=noopt                     compiles in less than half of the time, for those who change the packaging
# Lintian has the last word: an error or a warning of it that debian/ does not override with a reason fails.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/roots.sh"

FOLDER=$(realpath -m "${1:-dist/deb}")
RELEASE=${RELEASE:-}
# Raised when only the packaging has changed.
REVISION=1
# What the packages are built with, in a root; the nginx module needs nginx-dev, which bullseye has not.
BUILD_DEPENDS="build-essential debhelper bash-completion apache2-dev libclang-dev python3 xz-utils"

command -v cargo >/dev/null || die "cargo is missing: install Rust first"
command -v dpkg-source >/dev/null || die "this is no Debian: dpkg-source is missing"
version=$(sed -n '/^\[workspace.package]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
# shellcheck source=/dev/null
[[ -n $RELEASE ]] || RELEASE=$(. /etc/os-release && echo "${VERSION_CODENAME:-sid}") HERE=yes
WORK=$BUILD/deb-$RELEASE
lock "deb-$RELEASE"
number=$(release_number "$RELEASE")
# Versions sort as the releases do; what is built on sid comes after all of them.
full=$version-$REVISION
[[ $RELEASE == sid ]] || full+="~deb${number}u1"
folder=${BUILD_FOLDER:-gangway-$version}
commit=$(git stash create)
commit=${commit:-HEAD}
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}

profiles=pkg.gangway.toolchain
[[ $RELEASE != bullseye ]] || profiles+=,pkg.gangway.nonginx
[[ ${PACKAGES:-} != nginx ]] || profiles+=,pkg.gangway.onlynginx
[[ -z ${BUILT:-} ]] || profiles+=,pkg.gangway.built GANGWAY_BUILT=$(realpath "$BUILT")

# pack TIME TAR-OPTION...: the same bytes of the same files.
pack() { tar --sort=name --owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw --mtime="@$1" "${@:2}"; }

# The crates as a file of the source package, which stays the same as long as Cargo.lock does. Packed better it would be a fifth smaller and take
# four times as long.
vendor() {
    local kept
    kept=$BUILD/crates-$(sha256sum Cargo.lock | cut -c1-16).tar.xz
    if [[ ! -f $kept ]]; then
        quiet cargo-vendor cargo vendor --locked --versioned-dirs "$WORK/crates/vendor"
        XZ_OPT=-2 pack "$(git log -1 --format=%ct Cargo.lock)" -C "$WORK/crates" -cJf "$kept.new" vendor
        mv "$kept.new" "$kept"
        rm -rf "$WORK/crates"
    fi
    cp "$kept" "$1"
}

# Two files of upstream, one of them the crates, and the packaging. Each release has the same two.
make_source() {
    say "making the source package of gangway $full"
    rm -rf "$WORK"
    mkdir -p "$WORK" "$FOLDER"
    local source=$WORK/gangway-$version
    git archive --prefix="gangway-$version/" "$commit" | tar -x -C "$WORK"
    if [[ -z ${BUILT:-} ]]; then
        pack "$SOURCE_DATE_EPOCH" -C "$WORK" -cJf "$WORK/gangway_$version.orig.tar.xz" "gangway-$version"
        vendor "$WORK/gangway_$version.orig-vendor.tar.xz"
        tar -xf "$WORK/gangway_$version.orig-vendor.tar.xz" -C "$source"
    fi
    cp -R "$source/packaging/debian" "$source/debian"
    cat >"$source/debian/changelog" <<CHANGELOG
gangway ($full) $RELEASE; urgency=medium

  * What is new stands in CHANGELOG.md.

 -- ${DEBFULLNAME:-The Gangway developers} <${DEBEMAIL:-gangway@example.org}>  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
CHANGELOG
    # Of finished files there is no source package.
    [[ -z ${BUILT:-} ]] || return 0
    (cd "$WORK" && quiet dpkg-source dpkg-source --build "gangway-$version")
    rm -rf "$source"
}

options() { echo "parallel=$(nproc) ${DEB_BUILD_OPTIONS:-}"; }

build_here() {
    local alone=()
    ((EUID != 0)) || alone=(unshare --net)
    cd "$WORK"
    [[ -n ${BUILT:-} ]] || quiet dpkg-source-extract dpkg-source --extract "gangway_$full.dsc" "$folder"
    cd "$folder"
    RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup} GANGWAY_BUILT=${GANGWAY_BUILT:-} DEB_BUILD_OPTIONS=$(options) quiet dpkg-buildpackage \
        "${alone[@]}" dpkg-buildpackage --no-sign --build=binary --build-profiles="$profiles"
    cd "$WORK"
    rm -rf "$folder"
}

build_in_root() {
    local root=$ROOTS/build-$RELEASE depends=$BUILD_DEPENDS
    need_roots
    [[ $RELEASE == bullseye ]] || depends+=" nginx nginx-dev"
    make_root "$RELEASE" "$root"
    # shellcheck disable=SC2086
    quiet "deb-$RELEASE-depends" in_root "$root" -- sh -c "apt-get update && apt-get install -y --no-install-recommends $depends"
    mkdir -p "$root/build"
    cp "$WORK"/gangway_* "$root/build/"
    quiet "deb-$RELEASE" in_root "$root" -n -b "$(rust_mount)" -- /usr/bin/env PATH="$RUST/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
        SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" DEB_BUILD_OPTIONS="$(options)" DEB_BUILD_PROFILES="${profiles//,/ }" sh -c "
            set -e
            cd /build
            dpkg-source --extract gangway_$full.dsc $folder
            cd $folder
            dpkg-buildpackage --no-sign --build=binary --build-profiles=$profiles"
    find "$root/build" -maxdepth 1 -type f -name '*_*' -newer "$WORK/gangway_$full.dsc" -exec cp -t "$WORK" {} +
    rm -rf "$root"
}

# The source package is the same for every release but for its version.
lint() {
    local files=("gangway_${full}_$(dpkg --print-architecture).changes")
    [[ -n ${BUILT:-}${PACKAGES:-} ]] || files+=("gangway_$full.dsc")
    say "lintian --pedantic looks at ${files[*]}"
    (cd "$WORK" && quiet "lintian-$RELEASE" lintian --allow-root --pedantic --fail-on error,warning --tag-display-limit 0 "${files[@]}")
}

make_source
say "building the packages for $RELEASE"
if [[ -n ${HERE:-} ]]; then build_here; else build_in_root; fi
lint
cd "$WORK"
for file in *; do
    mv "$file" "$FOLDER/"
    say "made ${FOLDER#"$ROOT"/}/$file"
done
rm -rf "$WORK"
