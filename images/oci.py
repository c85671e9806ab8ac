#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""oci.py CONTAINERFILE ROOT ARCHIVE TAG [ARG=VALUE ...]: an image as a file that docker, podman and skopeo load, made of a finished root. What an
engine would take of the Containerfile (labels, user, entry point, health check) is taken of it here as well."""

import gzip
import hashlib
import io
import json
import os
import re
import shlex
import sys
import tarfile

EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
UNITS = {"s": 10**9, "m": 60 * 10**9}


def instructions(text):
    """The instructions of a Containerfile, one for each: (NAME, rest)."""
    text = re.sub(r"^#.*\n", "", text, flags=re.M).replace("\\\n", " ")
    for line in text.splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            yield name, rest.strip()


def health(rest):
    """HEALTHCHECK --interval=10s ... CMD [...]"""
    flags, _, command = rest.partition("CMD ")
    check = {"Test": ["CMD", *json.loads(command)]}
    for name, number, unit in re.findall(r"--([a-z-]+)=(\d+)([sm])", flags):
        check[{"interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod"}[name]] = int(number) * UNITS[unit]
    return check


def configuration(text, arguments):
    """The config object of the image."""
    config = {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}
    for name, rest in instructions(text):
        rest = re.sub(r"\$\{(\w+)\}", lambda found: arguments.get(found.group(1), found.group(0)), rest)
        if name == "LABEL":
            config.setdefault("Labels", {}).update(word.split("=", 1) for word in shlex.split(rest))
        elif name == "ARG":
            key, _, default = rest.partition("=")
            arguments.setdefault(key, default)
        elif name in ("ENTRYPOINT", "CMD"):
            config[name.capitalize()] = json.loads(rest)
        elif name == "EXPOSE":
            config["ExposedPorts"] = {f"{rest}/tcp": {}}
        elif name == "HEALTHCHECK":
            config["Healthcheck"] = health(rest)
        elif name in ("USER", "WORKDIR", "STOPSIGNAL"):
            config[{"USER": "User", "WORKDIR": "WorkingDir", "STOPSIGNAL": "StopSignal"}[name]] = rest
        elif name not in ("FROM", "RUN", "COPY"):
            sys.exit(f"oci.py: {name} is not known here")
    return config


def layer(root):
    """All of a folder as a tar, the same bytes for the same files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder, folders, files in os.walk(root):
            folders.sort()
            for name in sorted(folders + files):
                path = os.path.join(folder, name)
                entry = tar.gettarinfo(path, os.path.relpath(path, root))
                entry.mtime, entry.uname, entry.gname = min(int(entry.mtime), EPOCH), "", ""
                if entry.isfile():
                    with open(path, "rb") as file:
                        tar.addfile(entry, file)
                else:
                    tar.addfile(entry)
    return out.getvalue()


def main(containerfile, root, path, tag, *words):
    arguments = dict(word.split("=", 1) for word in words)
    tar = layer(root)
    packed = gzip.compress(tar, 9, mtime=0)
    blobs = {}

    def blob(data, kind):
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    with open(containerfile, encoding="utf-8") as file:
        config = configuration(file.read(), arguments)
    image = {
        "architecture": "amd64", "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}"]},
    }
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
    manifest["config"] = blob(json.dumps(image).encode(), "config.v1+json")
    manifest["layers"] = [blob(packed, "layer.v1.tar+gzip")]
    entry = blob(json.dumps(manifest).encode(), "manifest.v1+json")
    full = tag if ":" in tag else f"{tag}:latest"
    entry["annotations"] = {"org.opencontainers.image.ref.name": full.rpartition(":")[2], "io.containerd.image.name": f"docker.io/{full}"}
    names = [f"blobs/{part['digest'].replace(':', '/')}" for part in (manifest["config"], manifest["layers"][0])]
    files = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(),
        "manifest.json": json.dumps([{"Config": names[0], "RepoTags": [full], "Layers": names[1:]}]).encode(),
        **blobs,
    }
    with tarfile.open(f"{path}.new", "w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(files[name]), EPOCH, 0o644
            archive.addfile(info, io.BytesIO(files[name]))
    os.replace(f"{path}.new", path)
    print(f"gangway: made {os.path.relpath(path)}: {full}, {len(tar) >> 20} MB, {len(packed) >> 20} MB packed")


if __name__ == "__main__":
    main(*sys.argv[1:])
