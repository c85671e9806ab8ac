#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# test-images.sh [nginx|httpd]...: lints the Containerfiles, looks into the archives, then runs what dist/images/ has in namespaces as an engine would: read-only, unprivileged, without a
# network. As root.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/roots.sh"

need_roots
lock test-images
PYTHON=$BUILD/venv-images

tools/venv.sh "$PYTHON" images/requirements.txt
"$PYTHON/bin/hadolint" --config images/hadolint.yaml images/*/Containerfile
sh -n images/gangway-image
sh -n images/setup.sh
say "the Containerfiles are clean (hadolint)"

# wheels_for PYTHON: what an application requires, for there is no network in there.
wheels_for() {
    wheels=$BUILD/images/wheels-$1
    [[ -n $(ls "$wheels" 2>/dev/null) ]] || quiet wheels "$PYTHON/bin/pip" download --quiet --only-binary :all: --platform manylinux2014_x86_64 \
        --python-version "$1" --implementation cp --dest "$wheels" \
        -r tests/images/apps/flask/requirements.txt -r tests/images/apps/fastapi/requirements.txt
}

version=$(sed -n '/^\[workspace.package]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
for archive in dist/images/*.tar; do /usr/bin/python3 tests/images/archive.py "$archive" "$version"; done

(($#)) || set -- nginx httpd
for server in "$@"; do
    archive=dist/images/$server.tar
    [[ -f $archive ]] || die "there is no $archive: make images"
    root=$BUILD/images/test-$server
    rm -rf "$root"
    mkdir -p "$root"
    # The archive is taken apart as an engine does it.
    layer=$(tar -xOf "$archive" manifest.json | /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["Layers"][0])')
    tar -xOf "$archive" "$layer" | tar -xz -C "$root"
    mkdir -p "$root/tests/empty" "$root/tests/apps" "$root/tests/wheels"
    echo "$server" >"$root/.suite"
    wheels_for "$(basename "$(readlink "$root/usr/bin/python3")" | sed s/python//)"
    cp tests/images/check.py "$root/tests/"
    mkdir -p "$BUILD/images/apps"
    cp -R tests/images/apps/. "$BUILD/images/apps/"
    mkdir -p "$BUILD/images/apps/empty"
    in_root "$root" -n -r -b "$BUILD/images/apps:/tests/apps" -b "$wheels:/tests/wheels" -- /usr/bin/python3 -B /tests/check.py "$server"
    rm -rf "$root"
done
say "the images hold"
