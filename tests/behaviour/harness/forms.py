# SPDX-License-Identifier: MIT OR Apache-2.0
"""Forms as browsers send them."""

FORM = [("Content-Type", "application/x-www-form-urlencoded")]
BOUNDARY = "----gangway-boundary"


def multipart(content, **fields):
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="up.bin"\r\n'
    parts.append(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n")
    body = b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
    return body, [("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")]
