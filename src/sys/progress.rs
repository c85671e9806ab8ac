// SPDX-License-Identifier: MIT OR Apache-2.0
//! How far a request over a unix socket has come: SIOCOUTQ, and sock_diag(7).

use std::os::fd::RawFd;

use super::{diag, unread::has_unread};

/// How far a request has come that was sent on a connection to a unix socket, as far as this kernel tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The connection waits to be accepted, or nobody can say.
    Queued,
    /// Somebody has accepted the connection, and nobody has read.
    Accepted,
    /// Somebody has read at least a part of it.
    Read,
}

/// How far a request of so many bytes has come. One system call if all of it has been read.
#[must_use]
pub fn progress(connection: RawFd, sent: u64) -> Progress {
    // PHP leaves the last record of a request unread: that there is something says little.
    if sent > 0 && has_unread(connection, true) == Some(false) {
        return Progress::Read;
    }
    // A socket that waits in the queue of its listener is nobody's file yet, so the kernel has no inode for it.
    let peer = diag::inode(connection).and_then(|own| diag::of_unix(own, diag::PEER));
    match peer.filter(|inode| *inode != 0) {
        None => Progress::Queued,
        Some(peer) if diag::of_unix(peer, diag::QUEUES).is_some_and(|left| u64::from(left) < sent) => {
            Progress::Read
        }
        Some(_) => Progress::Accepted,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::{
            fd::AsRawFd,
            linux::net::SocketAddrExt,
            unix::net::{SocketAddr, UnixListener, UnixStream},
        },
    };

    use super::*;

    #[test]
    fn a_request_is_queued_accepted_and_read() {
        let name = format!("gangway-progress-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let connect = || UnixStream::connect_addr(&address).unwrap();
        let mut connections = [connect(), connect()];
        for connection in &mut connections {
            connection.write_all(&[1; 100]).unwrap();
        }
        // A kernel without unix_diag says nothing, now and later.
        let is_told =
            diag::inode(connections[0].as_raw_fd()).and_then(|own| diag::of_unix(own, diag::PEER)).is_some();
        let says = |at: usize, answer| !is_told || progress(connections[at].as_raw_fd(), 100) == answer;
        assert!(says(0, Progress::Queued) && says(1, Progress::Queued));
        let mut first = listener.accept().unwrap().0;
        assert!(says(0, Progress::Accepted) && says(1, Progress::Queued));
        let second = listener.accept().unwrap();
        assert!(says(0, Progress::Accepted) && says(1, Progress::Accepted));
        first.read_exact(&mut [0; 92]).unwrap();
        assert!(says(0, Progress::Read) && says(1, Progress::Accepted));
        first.read_exact(&mut [0; 8]).unwrap();
        assert_eq!(progress(connections[0].as_raw_fd(), 100), Progress::Read);
        // Of a request that has not left nothing has been read.
        assert_ne!(progress(connections[0].as_raw_fd(), 0), Progress::Read);
        drop(second);
    }

    #[test]
    fn what_is_no_connection_is_not_known() {
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        assert_eq!(progress(file.as_raw_fd(), 1), Progress::Queued);
        assert_eq!(progress(-1, 1), Progress::Queued);
    }
}
