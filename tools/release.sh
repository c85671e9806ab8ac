#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# release.sh VERSION: checks that everything says the same version, builds all that is released, and puts it into dist/release/VERSION/ with its
# sums and a manifest. CHECK=only stops after the checks; CHECK=now does so too, and does not mind that nothing is released yet. As root.
# docs/release.md says what comes before and after.
. "$(dirname "$0")/lib.sh"

VERSION=${1:-}
CHECK=${CHECK:-}
[[ $CHECK != now ]] || VERSION=$(sed -n '/^\[workspace.package]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
FOLDER=$ROOT/dist/release/$VERSION
NGINX_RELEASES=(bookworm trixie forky sid)
NGINX_ORG=(1.28.3)

problems=()
expect() { [[ $2 == "$3" ]] || problems+=("$1 says \"$2\" and not \"$3\""); }

check() {
    local top tool minor history major
    [[ $VERSION =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || die "which version? make release VERSION=0.1.0"
    expect "Cargo.toml" "$(sed -n '/^\[workspace.package]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)" "$VERSION"
    for tool in gangway gangway-host gangway-nginx gangway-apache gangway-python; do
        expect "Cargo.lock of $tool" "$(awk -v name="\"$tool\"" '$1 == "name" { found = ($3 == name) } found && $1 == "version" { gsub("\"", "", $3); print $3; exit }' Cargo.lock)" "$VERSION"
    done
    # The newest section has the version and the day of the release.
    top=$(grep -m1 '^## ' CHANGELOG.md)
    [[ $top =~ ^##\ $VERSION\ \([0-9]{4}-[0-9]{2}-[0-9]{2}\)$ || $CHECK == now && $top == "## $VERSION (unreleased)" ]] || problems+=("CHANGELOG.md begins with \"$top\" and not with \"## $VERSION (YYYY-MM-DD)\"")
    # The last line of the header's history is the version that the macros say, and so do the crate, the page and the changelog.
    major=$(awk '$1 == "#define" && $2 == "GW_ABI_MAJOR" { print $3 }' include/gangway.h)
    minor=$(awk '$1 == "#define" && $2 == "GW_ABI_MINOR" { print $3 }' include/gangway.h)
    history=$(sed -nE 's/^ \*   ([0-9]+\.[0-9]+) .*/\1/p' include/gangway.h | tail -n1)
    expect "the history in include/gangway.h" "$history" "$major.$minor"
    grep -qF "version $major.$minor" CHANGELOG.md || problems+=("CHANGELOG.md does not name version $major.$minor of the C ABI")
    [[ $CHECK == now || -z $(git status --porcelain) ]] || problems+=("there are changes that are not committed")
    if git rev-parse -q --verify "refs/tags/v$VERSION" >/dev/null; then
        expect "the tag v$VERSION" "$(git rev-parse "v$VERSION^{commit}")" "$(git rev-parse HEAD)"
    fi
    ((${#problems[@]} == 0)) || {
        printf 'gangway: %s\n' "${problems[@]}" >&2
        die "the release $VERSION is not consistent: see above"
    }
    say "everything says $VERSION, ABI $major.$minor"
}

# step NAME COMMAND...: once for a commit, so that a release that was interrupted goes on where it was.
step() {
    [[ ! -e $STEPS/$1 ]] || return 0
    "${@:2}"
    touch "$STEPS/$1"
}

build() {
    local release nginx
    STEPS=$BUILD/release/$VERSION-$(git rev-parse HEAD)
    if [[ ! -d $STEPS ]]; then
        rm -rf "$BUILD/release" dist/deb dist/apt dist/images
        mkdir -p "$STEPS"
    fi
    step bullseye env RELEASE=bullseye tools/deb.sh
    for release in "${NGINX_RELEASES[@]}"; do
        step "nginx-$release" env RELEASE="$release" PACKAGES=nginx tools/deb.sh
    done
    tools/apt-repository.sh
    for nginx in "${NGINX_ORG[@]}"; do step "nginx-org-$nginx" tools/nginx-module.sh "$nginx"; done
    step images env ENGINE=none tools/images.sh nginx httpd modules
}

collect() {
    local nginx
    rm -rf "$FOLDER"
    mkdir -p "$FOLDER"
    cp -R dist/deb "$FOLDER/deb"
    cp -R dist/apt "$FOLDER/apt"
    cp -R dist/images "$FOLDER/images"
    for nginx in "${NGINX_ORG[@]}"; do install -D -m 644 -t "$FOLDER/nginx-$nginx" "dist/nginx-$nginx/ngx_http_gangway_module.so"; done
    git archive --prefix="gangway-$VERSION/" HEAD | gzip -n9 >"$FOLDER/gangway-$VERSION.tar.gz"
    install -m 644 include/gangway.h "$FOLDER/gangway.h"
    {
        echo "gangway $VERSION"
        echo "commit $(git rev-parse HEAD)"
        echo "abi $(sed -nE 's/^ \*   ([0-9]+\.[0-9]+) .*/\1/p' include/gangway.h | tail -n1)"
        echo "rust $(rustc --version)"
        [[ -z ${DEB_BUILD_OPTIONS:-} ]] || echo "options $DEB_BUILD_OPTIONS"
        (cd "$FOLDER" && find . -type f ! -name MANIFEST ! -name SHA256SUMS -printf '%P %s\n' | LC_ALL=C sort)
    } >"$FOLDER/MANIFEST"
    (cd "$FOLDER" && find . -type f ! -name SHA256SUMS -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum >SHA256SUMS)
    [[ -z ${GANGWAY_KEY:-} ]] || gpg --batch --yes --local-user "$GANGWAY_KEY" --armor --detach-sign "$FOLDER/SHA256SUMS"
    say "made ${FOLDER#"$ROOT"/}: $(wc -l <"$FOLDER/SHA256SUMS") files"
}

check
[[ -z $CHECK ]] || exit 0
((EUID == 0)) || die "the roots of Debian that a release is built in are made by root"
build
collect
