#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# release.sh VERSION: checks that everything says the same version, builds all that is released, and puts it into dist/release/VERSION/ with its
# sums and a manifest, at which it looks once more. As root. docs/release.md says what comes before and after.
#   CHECK=only   stops after the checks
#   CHECK=now    does so too, and does not mind that nothing is released yet
#   DRY_RUN=yes  builds all the same of what is not released yet, in dist/release/VERSION-dry-run/
. "$(dirname "$0")/lib.sh"

VERSION=${1:-}
CHECK=${CHECK:-}
[[ $CHECK != now ]] || VERSION=$(sed -n '/^\[workspace.package]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
DRY_RUN=${DRY_RUN:-}
FOLDER=$ROOT/dist/release/$VERSION${DRY_RUN:+-dry-run}
NGINX_RELEASES=(bookworm trixie forky sid)
NGINX_ORG=(1.28.3)

problems=()
expect() { [[ $2 == "$3" ]] || problems+=("$1 says \"$2\" and not \"$3\""); }

# What a compiler sees of the header, which is the contract.
contract() { cc -fpreprocessed -dD -E -P -xc - | grep -vE '^#define GW_ABI_(MAJOR|MINOR) '; }

abi_of() { sed -nE 's/^#define GW_ABI_(MAJOR|MINOR) +([0-9]+).*/\2/p' | paste -sd.; }

# The release before this one has a lower version, and the contract of that version of the ABI.
compare_with_previous() {
    local previous abi
    previous=$(git tag --list 'v[0-9]*' --sort=version:refname | sed "/^v${VERSION//./\\.}\$/d" | tail -n1)
    [[ -n $previous ]] || return 0
    [[ $(printf '%s\n' "${previous#v}" "$VERSION" | sort -V | tail -n1) == "$VERSION" ]] || problems+=("${previous#v} was released, which is later than $VERSION")
    abi=$(git show "$previous:include/gangway.h" | abi_of)
    if [[ $abi == "$1" ]]; then
        cmp -s <(git show "$previous:include/gangway.h" | contract) <(contract <include/gangway.h) ||
            problems+=("include/gangway.h is not that of $previous, and both say $abi")
    else
        grep -qE "^ \*   ${abi//./\\.} " include/gangway.h || problems+=("the history in include/gangway.h has no $abi, which $previous had")
        [[ $(printf '%s\n' "$abi" "$1" | sort -V | tail -n1) == "$1" ]] || problems+=("include/gangway.h says $1, and $previous said $abi")
    fi
}

report() {
    ((${#problems[@]} == 0)) || {
        printf 'gangway: %s\n' "${problems[@]}" >&2
        die "$1"
    }
}

check() {
    local top tool minor history major
    [[ $VERSION =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || die "which version? make release VERSION=0.1.0"
    expect "Cargo.toml" "$(sed -n '/^\[workspace.package]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)" "$VERSION"
    for tool in gangway gangway-host gangway-nginx gangway-apache gangway-python; do
        expect "Cargo.lock of $tool" "$(awk -v name="\"$tool\"" '$1 == "name" { found = ($3 == name) } found && $1 == "version" { gsub("\"", "", $3); print $3; exit }' Cargo.lock)" "$VERSION"
    done
    # The newest section has the version and the day of the release.
    top=$(grep -m1 '^## ' CHANGELOG.md)
    [[ $top =~ ^##\ $VERSION\ \([0-9]{4}-[0-9]{2}-[0-9]{2}\)$ || -n $CHECK$DRY_RUN && $CHECK != only && $top == "## $VERSION (unreleased)" ]] || problems+=("CHANGELOG.md begins with \"$top\" and not with \"## $VERSION (YYYY-MM-DD)\"")
    # The last line of the header's history is the version that the macros say, and the changelog names it.
    major=$(awk '$1 == "#define" && $2 == "GW_ABI_MAJOR" { print $3 }' include/gangway.h)
    minor=$(awk '$1 == "#define" && $2 == "GW_ABI_MINOR" { print $3 }' include/gangway.h)
    history=$(sed -nE 's/^ \*   ([0-9]+\.[0-9]+) .*/\1/p' include/gangway.h | tail -n1)
    expect "the history in include/gangway.h" "$history" "$major.$minor"
    grep -qF "version $major.$minor" CHANGELOG.md || problems+=("CHANGELOG.md does not name version $major.$minor of the C ABI")
    [[ $CHECK == now || -z $(git status --porcelain) ]] || problems+=("there are changes that are not committed")
    compare_with_previous "$major.$minor"
    if git rev-parse -q --verify "refs/tags/v$VERSION" >/dev/null; then
        expect "the tag v$VERSION" "$(git rev-parse "v$VERSION^{commit}")" "$(git rev-parse HEAD)"
    fi
    report "the release $VERSION is not consistent: see above"
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
        echo "gangway $VERSION${DRY_RUN:+: a dry run, which is no release}"
        echo "commit $(git rev-parse HEAD)"
        echo "abi $(sed -nE 's/^ \*   ([0-9]+\.[0-9]+) .*/\1/p' include/gangway.h | tail -n1)"
        echo "rust $(rustc --version)"
        [[ -z ${DEB_BUILD_OPTIONS:-} ]] || echo "options $DEB_BUILD_OPTIONS"
        (cd "$FOLDER" && find . -type f ! -name MANIFEST ! -name SHA256SUMS -printf '%P %s\n' | LC_ALL=C sort)
    } >"$FOLDER/MANIFEST"
    (cd "$FOLDER" && find . -type f ! -name SHA256SUMS -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum >SHA256SUMS)
    [[ -z ${GANGWAY_KEY:-} ]] || gpg --batch --yes --local-user "$GANGWAY_KEY" --armor --detach-sign "$FOLDER/SHA256SUMS"
}

# What somebody finds who takes the folder: sums that hold, a module for the nginx of each suite, and one version everywhere.
inspect() {
    local suite name list file
    (cd "$FOLDER" && sha256sum --check --quiet SHA256SUMS) || problems+=("SHA256SUMS does not hold")
    for suite in bullseye "${NGINX_RELEASES[@]}"; do
        list=$(cat "$FOLDER/apt/dists/$suite"/main/binary-*/Packages) || list=
        for name in libnginx-mod-http-gangway libapache2-mod-gangway gangway-engine-python gangway; do
            [[ $suite/$name != bullseye/libnginx-* ]] || continue
            grep -qx "Package: $name" <<<"$list" || problems+=("the archive has no $name for $suite")
        done
        for file in $(sed -n 's/^Filename: //p' <<<"$list"); do
            [[ -f $FOLDER/apt/$file ]] || problems+=("the archive names $file for $suite and has it not")
        done
    done
    for file in "$FOLDER"/apt/pool/*.deb; do
        [[ $(dpkg-deb -f "$file" Version) == "$VERSION"-* ]] || problems+=("$(basename "$file") is $(dpkg-deb -f "$file" Version)")
    done
    for name in nginx httpd; do [[ -f $FOLDER/images/$name.tar ]] || problems+=("there is no image $name.tar"); done
    report "the folder $FOLDER is not whole"
    say "made ${FOLDER#"$ROOT"/}: $(wc -l <"$FOLDER/SHA256SUMS") files, whose sums hold"
}

check
[[ -z $CHECK ]] || exit 0
((EUID == 0)) || die "the roots of Debian that a release is built in are made by root"
build
collect
inspect
