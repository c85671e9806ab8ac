// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether anybody has accepted a connection over a unix socket: sock_diag(7).

use std::os::fd::RawFd;

use super::diag;

/// Whether the other end of a connected unix socket has been accepted. A socket that waits in the queue of its listener
/// is nobody's file yet, so the kernel has no inode for it. `None`: this kernel does not tell.
#[must_use]
pub fn is_accepted(connection: RawFd) -> Option<bool> {
    diag::of_unix(diag::inode(connection)?, diag::PEER).map(|inode| inode != 0)
}

#[cfg(test)]
mod tests {
    use std::os::{
        fd::AsRawFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    };

    use super::*;

    #[test]
    fn who_waits_to_be_accepted_is_seen() {
        let name = format!("gangway-accepted-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let connect = || UnixStream::connect_addr(&address).unwrap();
        let connections = [connect(), connect()];
        // A kernel without unix_diag says nothing, now and later.
        let says =
            |at: usize, answer| is_accepted(connections[at].as_raw_fd()).is_none_or(|found| found == answer);
        assert!(says(0, false) && says(1, false));
        let first = listener.accept().unwrap();
        assert!(says(0, true) && says(1, false));
        let second = listener.accept().unwrap();
        assert!(says(0, true) && says(1, true));
        drop((first, second));
    }

    #[test]
    fn what_is_no_connection_is_not_known() {
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        assert_eq!(is_accepted(file.as_raw_fd()), None);
        assert_eq!(is_accepted(-1), None);
    }
}
