#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# image-sizes.sh: the sizes of dist/images/ beside those of what else an application in Python is put into. Base images cannot be pulled everywhere,
# so the others are made of the same Debian (DEBIAN=trixie), with its packages, and cleaned by the same script. As root.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/roots.sh"

DEBIAN=${DEBIAN:-trixie}
ROOT_OF_PEER=$BUILD/images/peer
# NAME:PACKAGES:WHEELS, which pip installs into an environment, as who starts from python:slim has them.
PEERS=("Debian alone:"
    "Python and pip, nothing else:python3-venv"
    "Python, gunicorn by pip, without a web server:python3-venv:gunicorn"
    "nginx, Python and gunicorn by pip:nginx python3-venv:gunicorn"
    "Python, granian by pip, without a web server:python3-venv:granian"
    "nginx, Python and uWSGI:nginx python3-venv uwsgi-core uwsgi-plugin-python3"
    "Apache httpd with mod_wsgi:apache2-bin python3-venv libapache2-mod-wsgi-py3")

# row NAME COMMAND...: the command writes a tar.
row() {
    local name=$1 bytes packed
    shift
    bytes=$("$@" | wc -c)
    packed=$("$@" | gzip -9 | wc -c)
    printf '%-45s %4d MB %4d MB packed\n' "$name" $((bytes >> 20)) $((packed >> 20))
}

layer() { tar -xOf "$1" "$(tar -xOf "$1" manifest.json | /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["Layers"][0])')" | gunzip; }

# For the Python of that Debian, on this machine, which knows where they come from.
wheels_of() {
    local python
    python=$(basename "$(readlink "$ROOT_OF_PEER/usr/bin/python3")")
    pip download --quiet --only-binary :all: --python-version "${python#python}" --implementation cp --platform manylinux2014_x86_64 \
        --dest "$BUILD/images/wheels-of-peers" "$@"
}

need_roots
lock image-sizes
mkdir -p "$BUILD/images"
for image in nginx httpd; do
    [[ ! -f dist/images/$image.tar ]] || row "gangway/$image" layer "dist/images/$image.tar"
done
for peer in "${PEERS[@]}"; do
    IFS=: read -r name packages wheels <<<"$peer"
    make_root "$DEBIAN" "$ROOT_OF_PEER"
    # shellcheck disable=SC2086
    quiet image-peer in_root "$ROOT_OF_PEER" -b "$ROOT/images:/srv/image" -- sh /srv/image/setup.sh plain $packages
    if [[ -n $wheels ]]; then
        quiet image-peer-wheels wheels_of "$wheels"
        quiet image-peer-pip in_root "$ROOT_OF_PEER" -n -b "$BUILD/images/wheels-of-peers:/srv/wheels" -- \
            sh -c "python3 -m venv /srv/venv && /srv/venv/bin/pip install --no-index --find-links /srv/wheels --no-cache-dir $wheels"
        rmdir "$ROOT_OF_PEER/srv/wheels"
    fi
    row "$name" tar -C "$ROOT_OF_PEER" --exclude=./run -cf - .
done
rm -rf "$ROOT_OF_PEER"
