#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# apt-repository.sh [PACKAGES [FOLDER]]: makes an archive for apt in FOLDER (dist/apt) of the packages in PACKAGES (dist/deb): one suite for each
# Debian that they were built for. GANGWAY_KEY names the GnuPG key that signs it.
. "$(dirname "$0")/lib.sh"

PACKAGES=$(realpath -m "${1:-dist/deb}")
FOLDER=$(realpath -m "${2:-dist/apt}")

command -v apt-ftparchive >/dev/null || die "apt-ftparchive is missing: apt-get install --no-install-recommends apt-utils"
shopt -s nullglob
files=("$PACKAGES"/*.deb)
((${#files[@]})) || die "there are no packages in $PACKAGES: make deb"

lock apt-repository
rm -rf "$FOLDER.new"
mkdir -p "$FOLDER.new"
for file in "${files[@]}"; do
    suite=$(dpkg-deb -f "$file" Version | sed -nE 's/.*~deb([0-9]+)u[0-9]+$/debian-\1/p')
    pool=$FOLDER.new/pool/${suite:=debian-sid}
    mkdir -p "$pool"
    cp "$file" "$pool/"
done
cd "$FOLDER.new"
for pool in pool/*; do
    suite=$(basename "$pool")
    architectures=$(for file in "$pool"/*.deb; do dpkg-deb -f "$file" Architecture; done | sort -u | grep -vx all)
    for architecture in $architectures; do
        lists=dists/$suite/main/binary-$architecture
        mkdir -p "$lists"
        apt-ftparchive --arch "$architecture" packages "$pool" >"$lists/Packages"
        xz --keep --force "$lists/Packages"
    done
    apt-ftparchive -o APT::FTPArchive::Release::Origin=Gangway -o APT::FTPArchive::Release::Label=Gangway \
        -o APT::FTPArchive::Release::Suite="$suite" -o APT::FTPArchive::Release::Codename="$suite" \
        -o APT::FTPArchive::Release::Components=main -o APT::FTPArchive::Release::Architectures="$(xargs <<<"$architectures")" \
        release "dists/$suite" >"dists/$suite.Release"
    mv "dists/$suite.Release" "dists/$suite/Release"
    if [[ -n ${GANGWAY_KEY:-} ]]; then
        gpg --batch --yes --local-user "$GANGWAY_KEY" --clearsign -o "dists/$suite/InRelease" "dists/$suite/Release"
        gpg --batch --yes --local-user "$GANGWAY_KEY" --armor --detach-sign -o "dists/$suite/Release.gpg" "dists/$suite/Release"
    fi
done
rm -rf "$FOLDER"
mv "$FOLDER.new" "$FOLDER"
say "made ${FOLDER#"$ROOT"/}: $(cd "$FOLDER/dists" && echo *)"
