# SPDX-License-Identifier: MIT OR Apache-2.0
"""What an engine reads of an archive before it runs anything: the sums, one layer, and the words of the Containerfile. For the images of modules, which
nothing runs: the files, no more and no less. `archive.py ARCHIVE VERSION`."""

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile

MODULES = {
    "usr/bin/gangway", "usr/bin/gangway-host", "usr/lib/gangway/gangway-host", "usr/lib/gangway/gangway_python.so", "usr/lib/gangway/gangway_python_abi3.so",
    "usr/lib/nginx/modules/ngx_http_gangway_module.so", "usr/share/doc/gangway/LICENSE-APACHE", "usr/share/doc/gangway/LICENSE-MIT",
    "usr/share/doc/gangway/sbom.cdx.json",
}
RUN = {
    "User": "10001:10001", "WorkingDir": "/srv/app", "StopSignal": "SIGTERM", "Entrypoint": ["gangway-image"], "Cmd": ["run"],
    "ExposedPorts": {"8080/tcp": {}},
    "Healthcheck": {"Test": ["CMD", "gangway-image", "health"], "Interval": 10 * 10**9, "Timeout": 6 * 10**9, "StartPeriod": 30 * 10**9},
}


def sha256(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def main(path, version):
    with tarfile.open(path) as archive:
        files = {entry.name: archive.extractfile(entry).read() for entry in archive if entry.isfile()}

    def blob(entry):
        data = files[f"blobs/{entry['digest'].replace(':', '/')}"]
        assert (sha256(data), len(data)) == (entry["digest"], entry["size"]), entry
        return data

    (entry,) = json.loads(files["index.json"])["manifests"]
    manifest = json.loads(blob(entry))
    image = json.loads(blob(manifest["config"]))
    (layer,) = manifest["layers"]
    tar = gzip.decompress(blob(layer))
    assert image["rootfs"]["diff_ids"] == [sha256(tar)], image["rootfs"]
    config = image["config"]
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == version, labels
    assert labels["org.opencontainers.image.licenses"] == "MIT OR Apache-2.0", labels
    assert not [value for value in labels.values() if "$" in value], labels
    with tarfile.open(fileobj=io.BytesIO(tar)) as root:
        if os.path.basename(path).startswith("modules-"):
            found = {member.name for member in root if not member.isdir()}
            assert found == MODULES, found ^ MODULES
            bill = json.load(root.extractfile("usr/share/doc/gangway/sbom.cdx.json"))
            assert bill["bomFormat"] == "CycloneDX" and bill["components"], "no bill of materials"
        else:
            assert {key: config.get(key) for key in RUN} == RUN, config
            assert len(labels["org.opencontainers.image.revision"]) == 40, labels
            left = [name for name in root.getnames() if name.startswith(("var/lib/apt/lists/", "srv/apt", "srv/image", "usr/share/man/", "var/log/"))]
            assert not left, left
    print(f"archive {os.path.basename(path)}: one layer, sums, labels{'' if len(config) < 4 else ', user, signal, health check'}")


main(*sys.argv[1:])
