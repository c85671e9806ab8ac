# SPDX-License-Identifier: MIT OR Apache-2.0
"""A certificate authority of a test's own."""

import subprocess

CA_CONFIGURATION = """
[ca]
default_ca = here
[here]
database = {folder}/index
crlnumber = {folder}/crlnumber
default_md = sha256
default_crl_days = 2
"""


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=60)


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.certificate = self.issue("authority", None)
        (folder / "index").write_text("")
        (folder / "crlnumber").write_text("01\n")
        self.configuration = folder / "ca.conf"
        self.configuration.write_text(CA_CONFIGURATION.format(folder=folder))

    def issue(self, name, issuer, password=None):
        """`name`.crt and `name`.key, for the host of that name."""
        path = self.folder / name
        words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"]
        words += ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
        words += ["-keyout", f"{path}.key", "-out", f"{path}.crt"]
        words += ["-passout", f"pass:{password}"] if password else ["-nodes"]
        if issuer:
            words += ["-CA", f"{issuer}.crt", "-CAkey", f"{issuer}.key", "-addext", "basicConstraints=critical,CA:FALSE"]
        openssl(*words)
        return path

    def revoked(self, path):
        """The list of revoked certificates, with this one."""
        words = ["ca", "-config", self.configuration, "-cert", f"{self.certificate}.crt"]
        words += ["-keyfile", f"{self.certificate}.key"]
        openssl(*words, "-revoke", f"{path}.crt")
        openssl(*words, "-gencrl", "-out", self.folder / "crl")
        return self.folder / "crl"
