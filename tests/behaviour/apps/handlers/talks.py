# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handlers of connections: protocols of a few words."""

from mod_python import apache


def connectionhandler(conn):
    """Each line comes back, until an empty one."""
    while True:
        line = conn.readline()
        if not line.strip():
            return apache.OK
        conn.write(line)


def pieces(conn):
    """What has come, however little, then all the rest, by its length."""
    conn.write("ready\n")
    while (part := conn.read(64)) != b"rest\n":
        conn.write(b"[" + part + b"]\n")
    conn.write("now\n")
    conn.write(f"{conn.readline(3)!r}\n")
    conn.write(f"{len(conn.read())} and {conn.read(5)!r}\n")
    return apache.OK


def facts(conn):
    conn.notes["seen"] = "yes"
    seen = (conn.remote_ip, conn.remote_addr[0], conn.local_ip, conn.local_addr[1], conn.aborted, conn.keepalives, conn.notes["seen"])
    conn.write(repr(seen) + "\n")
    conn.write(f"{conn.base_server.server_hostname} {conn.base_server.get_options()} {type(conn.id).__name__}\n")
    conn.log_error("said by a connection", apache.APLOG_NOTICE)
    return apache.OK


def declines(conn):
    return apache.DECLINED


def raises(conn):
    conn.write("the beginning\n")
    raise ValueError("in the middle")


def large(conn):
    for _ in range(256):
        conn.write(b"x" * 65536)
    return apache.OK
