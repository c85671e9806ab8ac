#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Bills of materials in CycloneDX 1.5: `sbom.py crates` of what the modules and programs are compiled from (the answer of `cargo metadata` on standard
input), `sbom.py packages NAME` of a Debian root, to which the list of crates beside this file is added."""

import json
import os
import subprocess
import sys

PROGRAMS = {
    "gangway-nginx", "gangway-apache", "gangway-apache-proxy", "gangway-python", "gangway-python-runtime", "gangway-host", "gangway-command",
}


def crates(metadata):
    """What is linked into one of the files: normal dependencies, no build scripts' and no tests'."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    todo = [identity for identity, package in packages.items() if package["name"] in PROGRAMS]
    seen = set()
    while todo:
        identity = todo.pop()
        if identity in seen:
            continue
        seen.add(identity)
        for dependency in nodes[identity]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                todo.append(dependency["pkg"])
    for package in sorted((packages[identity] for identity in seen), key=lambda package: (package["name"], package["version"])):
        component = {"type": "library", "name": package["name"], "version": package["version"]}
        component["purl"] = f"pkg:cargo/{package['name']}@{package['version']}"
        if package["license"]:
            component["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
        yield component


def debian():
    """The packages that dpkg has installed here."""
    fields = "${db:Status-Status} ${Package} ${Version} ${Architecture}\n"
    listing = subprocess.run(["dpkg-query", "-W", "-f", fields], check=True, capture_output=True, text=True).stdout
    for line in sorted(listing.splitlines()):
        status, name, version, architecture = line.split()
        if status == "installed":
            purl = f"pkg:deb/debian/{name}@{version}?arch={architecture}"
            yield {"type": "library", "name": name, "version": version, "purl": purl}


def document(name, components):
    """A whole bill; without a time and a serial number, so that equal images have equal ones."""
    subject = {"type": "container" if name != "gangway" else "application", "name": name}
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "metadata": {"component": subject}, "components": components}


def main(what, *names):
    if what == "crates":
        bill = document("gangway", list(crates(json.load(sys.stdin))))
    else:
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "sbom.cdx.json"), encoding="utf-8") as file:
            linked = json.load(file)["components"]
        bill = document(f"gangway/{names[0]}", list(debian()) + linked)
    json.dump(bill, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main(*sys.argv[1:])
