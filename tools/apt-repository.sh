#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# apt-repository.sh [PACKAGES [FOLDER]]: makes an archive for apt in FOLDER (dist/apt) of the packages in PACKAGES (dist/deb), with a suite for
# each Debian. The nginx module of a suite is the one that was built for it; of the other packages, whose one binary serves every later Debian,
# the suite has the newest build that is not of a later one. GANGWAY_KEY names the GnuPG key that signs the archive.
. "$(dirname "$0")/lib.sh"

PACKAGES=$(realpath -m "${1:-dist/deb}")
FOLDER=$(realpath -m "${2:-dist/apt}")

command -v apt-ftparchive >/dev/null || die "apt-ftparchive is missing: apt-get install --no-install-recommends apt-utils"
shopt -s nullglob
files=("$PACKAGES"/*.deb)
((${#files[@]})) || die "there are no packages in $PACKAGES: make deb"

lock apt-repository
rm -rf "$FOLDER.new"
mkdir -p "$FOLDER.new/pool"
cp "${files[@]}" "$FOLDER.new/pool/"
cd "$FOLDER.new"
architectures=$(for file in pool/*.deb; do dpkg-deb -f "$file" Architecture; done | sort -u | grep -vx all | xargs)
for architecture in $architectures; do
    apt-ftparchive --arch "$architecture" packages pool >"$architecture.list"
    /usr/bin/python3 - "$architecture" "$architecture.list" <<'PYTHON'
import os, re, subprocess, sys

SUITES = {11: "bullseye", 12: "bookworm", 13: "trixie", 14: "forky", 99: "sid"}
architecture, path = sys.argv[1:]
with open(path, encoding="utf-8") as file:
    stanzas = [stanza for stanza in file.read().split("\n\n") if stanza.strip()]


def field(stanza, name):
    return re.search(rf"^{name}: (.*)$", stanza, re.M).group(1)


def release(stanza):
    found = re.search(r"~deb(\d+)u\d+$", field(stanza, "Version"))
    return int(found.group(1)) if found else 99


def newer(one, other):
    return subprocess.run(["dpkg", "--compare-versions", field(one, "Version"), "gt", field(other, "Version")]).returncode == 0


for number, suite in SUITES.items():
    chosen = {}
    for stanza in stanzas:
        name, built = field(stanza, "Package"), release(stanza)
        if built > number or name.startswith("libnginx-") and built != number:
            continue
        if name not in chosen or newer(stanza, chosen[name]):
            chosen[name] = stanza
    if not chosen:
        continue
    folder = f"dists/{suite}/main/binary-{architecture}"
    os.makedirs(folder)
    with open(f"{folder}/Packages", "w", encoding="utf-8") as file:
        file.write("\n\n".join(chosen[name].strip("\n") for name in sorted(chosen)) + "\n\n")
PYTHON
    rm "$architecture.list"
done
for suite in dists/*; do
    suite=${suite#dists/}
    xz --keep --force "dists/$suite"/main/binary-*/Packages
    date=()
    [[ -z ${SOURCE_DATE_EPOCH:-} ]] || date=(-o APT::FTPArchive::Release::Date="$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")")
    apt-ftparchive "${date[@]}" -o APT::FTPArchive::Release::Origin=Gangway -o APT::FTPArchive::Release::Label=Gangway \
        -o APT::FTPArchive::Release::Suite="$suite" -o APT::FTPArchive::Release::Codename="$suite" \
        -o APT::FTPArchive::Release::Components=main -o APT::FTPArchive::Release::Architectures="$architectures" \
        release "dists/$suite" >"dists/$suite.Release"
    mv "dists/$suite.Release" "dists/$suite/Release"
    if [[ -n ${GANGWAY_KEY:-} ]]; then
        gpg --batch --yes --local-user "$GANGWAY_KEY" --clearsign -o "dists/$suite/InRelease" "dists/$suite/Release"
        gpg --batch --yes --local-user "$GANGWAY_KEY" --armor --detach-sign -o "dists/$suite/Release.gpg" "dists/$suite/Release"
    fi
done
[[ -z ${GANGWAY_KEY:-} ]] || gpg --batch --yes --export "$GANGWAY_KEY" >gangway.gpg
rm -rf "$FOLDER"
mv "$FOLDER.new" "$FOLDER"
say "made ${FOLDER#"$ROOT"/}: $(cd "$FOLDER/dists" && echo *)"
