// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether anybody waits to be accepted by a listener of this machine: what ss(8) shows as Recv-Q of its socket.

use std::os::fd::RawFd;

use super::diag::inet;

/// Whether connections wait to be accepted by the listener that this TCP connection goes to. `None`: nobody here can tell.
#[must_use]
pub fn has_waiting(connection: RawFd) -> Option<bool> {
    let (own, peer) = inet::ends(connection)?;
    // A socket of this machine is reached from its own address.
    if !own.has_address_of(&peer) {
        return None;
    }
    peer.backlog().map(|count| count > 0)
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        os::fd::AsRawFd,
    };

    use super::*;

    #[test]
    fn who_waits_to_be_accepted_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap();
        let first = TcpStream::connect(place).unwrap();
        let second = TcpStream::connect(place).unwrap();
        // A kernel without sock_diag says nothing, now and later.
        let says = |answer| has_waiting(first.as_raw_fd()).is_none_or(|found| found == answer);
        assert!(says(true));
        let accepted = listener.accept().unwrap();
        assert!(says(true));
        let accepted = (accepted, listener.accept().unwrap());
        assert!(says(false));
        assert_eq!(has_waiting(first.as_raw_fd()), has_waiting(second.as_raw_fd()));
        drop(accepted);
    }

    #[test]
    fn sockets_without_a_port_are_not_known() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(has_waiting(one.as_raw_fd()), None);
    }
}
