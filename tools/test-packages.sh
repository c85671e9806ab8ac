#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# test-packages.sh [SUITE...]: installs the packages of dist/apt as docs/install.md says, in a fresh root of each Debian (bookworm), uses them in
# both servers, upgrades, breaks and removes them. SUITE:NEXT installs them in the one and upgrades the whole Debian to the other. As root, with mmdebstrap;
# Debian's own packages come from where this machine's apt gets them.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/roots.sh"

need_roots
[[ -d dist/apt/dists ]] || die "there is no dist/apt: make deb"

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

# The same archive, signed by a key that lives as long as this script.
sign() {
    local folder=$BUILD/packages/apt home
    home=$(mktemp -d)
    export GNUPGHOME=$home
    quiet gpg gpg --batch --passphrase '' --quick-generate-key 'Tests of Gangway <tests@example.org>' rsa3072 sign 1d
    GANGWAY_KEY=tests@example.org quiet sign tools/apt-repository.sh dist/apt/pool "$folder"
    gpgconf --kill all
    unset GNUPGHOME
    rm -rf "$home"
}

# An engine that the server modules must refuse, for every Debian: it needs nothing but memcpy() and the like.
wrong_engine() { cc -shared -fPIC -O1 -Iinclude -o "$1" tests/engines/bad/wrong_major.c; }

# wheels ROOT: what the sites of examples/hosting need, for the Python of the root, which reaches no index.
wheels() {
    local version pip=("$BUILD/venv-test/bin/python" -m pip)
    # `make test` has made it; a machine may have no pip besides.
    [[ -x ${pip[0]} ]] || pip=(pip)
    version=$(in_root "$1" -n -- python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    quiet wheels "${pip[@]}" download -d "$1/tests/wheels" --only-binary :all: --python-version "$version" --implementation cp --platform "manylinux2014_$(uname -m)" \
        -r examples/hosting/blog/requirements.txt -r examples/hosting/shop/requirements.txt
}

test_on() {
    local name=${1/:/-} suite=${1%:*} next=${1#*:} steps=(prepare install hosting serve contents upgrade wrong remove)
    local root=$BUILD/packages/$name network step
    [[ -d dist/apt/dists/$suite ]] || die "dist/apt has nothing for $suite: make deb RELEASE=$suite"
    make_root "$suite" "$root"
    mkdir -p "$root/tests"
    cp tests/packages/* docs/install.md "$root/tests/"
    mkdir "$root/tests/examples"
    cp -r examples/hosting "$root/tests/examples/"
    if grep -qsx 'Package: libnginx-mod-http-gangway' "dist/apt/dists/$suite"/main/binary-*/Packages; then
        touch "$root/tests/with-nginx"
    else
        say "$suite: httpd alone, for dist/apt has no module for its nginx"
    fi
    wrong_engine "$root/tests/engine-of-another-abi.so"
    blocks docs/install.md "$root/tests/blocks"
    # Sid calls itself forky.
    sed -i "s/\$VERSION_CODENAME/$suite/" "$root/tests/blocks/repository.sh" "$root/tests/blocks/signed.sh"
    previous "$suite" "$BUILD/packages/previous-$suite"
    if [[ $1 == *:* ]]; then
        [[ -d dist/apt/dists/$next && -e $root/tests/with-nginx ]] || die "dist/apt has no module for nginx of $suite, or nothing for $next: make deb RELEASE="
        echo "$next" >"$root/tests/next"
        steps=(prepare install next)
    fi
    for step in "${steps[@]}"; do
        [[ $step != hosting ]] || wheels "$root"
        network=-n
        case $step in prepare | install | next) network= ;; esac
        say "$1: $step"
        # shellcheck disable=SC2086
        in_root "$root" $network -b "$BUILD/packages/apt:/srv/apt" -b "$BUILD/packages/previous-$suite:/srv/apt-previous" -- bash "/tests/$step.sh" \
            >"$BUILD/log/packages-$name-$step.log" 2>&1 || { tail -n 40 "$BUILD/log/packages-$name-$step.log" >&2; die "$1: $step failed"; }
        sed -n 's/^packages: /    /p' "$BUILD/log/packages-$name-$step.log"
    done
    say "the packages hold on Debian ($1)"
    rm -rf "$root" "$BUILD/packages/previous-$suite"
}

lock test-packages
mkdir -p "$BUILD/packages"
sign
for suite in "${@:-bookworm}"; do
    test_on "$suite"
done
