#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# images.sh [nginx|httpd|modules]...: the images of images/, of the packages in dist/apt and the modules in dist/nginx-VERSION. With docker, podman or
# buildah, if one of them works; otherwise the same script makes the same root with mmdebstrap (as root), and an OCI archive that any of them
# loads stands in dist/images/. DEBIAN=trixie names another release; ENGINE=none takes no engine.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/roots.sh"

DEBIAN=${DEBIAN:-trixie}
IMAGES=$ROOT/dist/images
CONTEXT=$BUILD/images/context
version=$(sed -n '/^\[workspace.package]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
revision=$(git rev-parse HEAD)
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}

find_engine() {
    local engine
    for engine in ${ENGINE:-docker podman buildah}; do
        ! "$engine" info >/dev/null 2>&1 || { echo "$engine"; return; }
    done
}

make_context() {
    [[ -d dist/apt/dists/$DEBIAN ]] || die "dist/apt has nothing for $DEBIAN: make deb RELEASE=$DEBIAN"
    rm -rf "$CONTEXT"
    mkdir -p "$CONTEXT/image" "$CONTEXT/modules" "$IMAGES"
    cp -R dist/apt "$CONTEXT/apt"
    cp images/setup.sh images/gangway-image images/sbom.py "$CONTEXT/image/"
    cargo metadata --quiet --locked --format-version 1 | /usr/bin/python3 images/sbom.py crates >"$CONTEXT/image/sbom.cdx.json"
}

# The files for one nginx of nginx.org: where its own build looks for them.
module_files() {
    local nginx=$1 folder=$CONTEXT/modules/nginx-$1 package
    for package in gangway-engine-python gangway; do
        dpkg-deb -x "$(find dist/apt/pool -name "${package}_*.deb" | sort -V | head -n1)" "$folder"
    done
    rm -rf "$folder/usr/share" "$folder/lib" "$folder/usr/lib/systemd" "$folder/etc"
    install -D -m 644 "dist/nginx-$nginx/ngx_http_gangway_module.so" "$folder/usr/lib/nginx/modules/ngx_http_gangway_module.so"
    strip --strip-unneeded "$folder/usr/lib/nginx/modules/ngx_http_gangway_module.so"
    install -D -m 644 LICENSE-MIT "$folder/usr/share/doc/gangway/LICENSE-MIT"
    install -D -m 644 LICENSE-APACHE "$folder/usr/share/doc/gangway/LICENSE-APACHE"
    install -D -m 644 "$CONTEXT/image/sbom.cdx.json" "$folder/usr/share/doc/gangway/sbom.cdx.json"
}

with_engine() {
    local kind=$1 tag=$2
    shift 2
    say "building $tag with $engine"
    quiet "image-$kind" "$engine" build --file "images/$kind/Containerfile" --tag "$tag" --build-arg VERSION="$version" --build-arg REVISION="$revision" \
        "$@" "$CONTEXT"
}

archive_of() {
    local kind=$1 tag=$2 root=$3
    shift 3
    /usr/bin/python3 images/oci.py "images/$kind/Containerfile" "$root" "$IMAGES/$(basename "${tag/:/-}").tar" "$tag" VERSION="$version" REVISION="$revision" "$@"
}

server_image() {
    local kind=$1 root=$BUILD/images/$1
    if [[ -n $engine ]]; then
        with_engine "$kind" "gangway/$kind" --build-arg DEBIAN="$DEBIAN"
        return
    fi
    need_roots
    say "making gangway/$kind without an engine"
    make_root "$DEBIAN" "$root"
    quiet "image-$kind" in_root "$root" -b "$CONTEXT/apt:/srv/apt" -b "$CONTEXT/image:/srv/image" -- sh /srv/image/setup.sh "$kind"
    clean_root "$root"
    archive_of "$kind" "gangway/$kind" "$root"
}

# What this machine has put there, and the places where something was mounted.
clean_root() {
    rmdir "$1/srv/apt" "$1/srv/image"
    rm -rf "$1/.suite" "$1/etc/resolv.conf" "$1/etc/apt/apt.conf.d" "$1/run" "$1/etc/apt/sources.list.d/gangway.list"
    tar -xf "$ROOTS/$DEBIAN.tar" -C "$1" ./etc/apt/apt.conf.d
    mkdir "$1/run"
    printf 'deb http://deb.debian.org/debian %s main\ndeb http://deb.debian.org/debian-security %s-security main\n' "$DEBIAN" "$DEBIAN" >"$1/etc/apt/sources.list"
    find "$1/dev" -mindepth 1 -delete
}

module_images() {
    local folder nginx
    for folder in dist/nginx-*.*.*/; do
        [[ -f $folder/ngx_http_gangway_module.so ]] || die "there are no modules: make modules NGINX=1.28.3"
        nginx=$(basename "${folder#dist/nginx-}")
        module_files "$nginx"
        if [[ -n $engine ]]; then
            with_engine modules "gangway/modules:nginx-$nginx" --build-arg NGINX="$nginx"
        else
            archive_of modules "gangway/modules:nginx-$nginx" "$CONTEXT/modules/nginx-$nginx" NGINX="$nginx"
        fi
    done
}

engine=$(find_engine)
lock images
make_context
for kind in "${@:-nginx httpd}"; do
    for kind in $kind; do
        if [[ $kind == modules ]]; then module_images; else server_image "$kind"; fi
    done
done
