// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the other end of a connection has not read, as far as this kernel knows: all of it for unix sockets, and for TCP
//! if the other end is a socket of the same machine.

use std::os::fd::RawFd;

use super::diag::{self, inet};

/// Whether the other end has not read all that was sent. One system call for a unix socket.
#[must_use]
pub fn has_unread(connection: RawFd, is_unix: bool) -> Option<bool> {
    if !is_unix {
        return unread(connection).map(|count| count > 0);
    }
    let mut size: libc::c_int = 0;
    // SAFETY: SIOCOUTQ, of the same number as TIOCOUTQ, writes one integer: for a unix socket the memory of what the
    // peer has not read, which a message is part of until its last byte is read.
    let status = unsafe { libc::ioctl(connection, libc::TIOCOUTQ, &raw mut size) };
    (status == 0).then_some(size > 0)
}

/// How many bytes the other end has not read.
#[must_use]
pub fn unread(connection: RawFd) -> Option<usize> {
    let Some((own, peer)) = inet::ends(connection) else {
        let peer = diag::of_unix(diag::inode(connection)?, diag::PEER).filter(|inode| *inode != 0)?;
        return usize::try_from(diag::of_unix(peer, diag::QUEUES)?).ok();
    };
    inet::receive_queue(&peer, &own)
}

/// Whether the other end of a TCP connection is none that this kernel knows, while it does know ours.
#[must_use]
pub fn is_elsewhere(connection: RawFd) -> bool {
    let Some((own, peer)) = inet::ends(connection) else {
        return false;
    };
    inet::receive_queue(&own, &peer).is_some() && inet::receive_queue(&peer, &own).is_none()
}

/// Where tcpi_bytes_acked, tcpi_bytes_sent and tcpi_bytes_retrans stand in struct tcp_info.
const COUNTS: [usize; 3] = [120, 200, 208];

/// Whether the other end of a TCP connection has acknowledged all that was ever sent on it: it was there to get it. A
/// socket that was closed before it came acknowledges nothing more.
#[must_use]
pub fn is_acknowledged(connection: RawFd) -> Option<bool> {
    let mut info = [0u8; 256];
    let mut size = info.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` bytes, and says how many.
    let status = unsafe {
        libc::getsockopt(
            connection,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    let info = info.get(..usize::try_from(size).ok()?).filter(|_| status == 0)?;
    let [acked, sent, again] =
        COUNTS.map(|at| info.get(at..)?.first_chunk().copied().map(u64::from_ne_bytes));
    // The first number that is acknowledged is that of the connection itself.
    Some(acked? > sent?.saturating_sub(again?))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        os::{fd::AsRawFd, unix::net::UnixStream},
    };

    use super::*;

    #[test]
    fn what_was_not_read_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut own = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let mut room = [0; 100];
        // A kernel without sock_diag says nothing, now and later.
        let says = |fd: &TcpStream, count| unread(fd.as_raw_fd()).is_none_or(|found| found == count);
        assert!(says(&own, 0));
        own.write_all(&[1; 100]).unwrap();
        assert!(says(&own, 100));
        peer.read_exact(&mut room[..92]).unwrap();
        assert!(says(&own, 8) && has_unread(own.as_raw_fd(), false) != Some(false));
        peer.read_exact(&mut room[..8]).unwrap();
        assert!(says(&own, 0) && has_unread(own.as_raw_fd(), false) != Some(true));
    }

    #[test]
    fn what_was_not_read_of_a_unix_socket_is_counted() {
        let (mut own, mut peer) = UnixStream::pair().unwrap();
        let mut room = [0; 100];
        let says = |fd: &UnixStream, count| unread(fd.as_raw_fd()).is_none_or(|found| found == count);
        let seen = |fd: &UnixStream| has_unread(fd.as_raw_fd(), true);
        assert!(says(&own, 0) && seen(&own) == Some(false));
        own.write_all(&[1; 100]).unwrap();
        assert!(says(&own, 100) && seen(&own) == Some(true));
        peer.read_exact(&mut room[..92]).unwrap();
        assert!(says(&own, 8) && seen(&own) == Some(true));
        peer.read_exact(&mut room[..8]).unwrap();
        assert!(says(&own, 0) && seen(&own) == Some(false));
        drop(peer);
        assert_eq!(seen(&own), Some(false));
    }

    #[test]
    fn who_was_gone_has_acknowledged_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut own = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let mut room = [0; 100];
        own.write_all(&[1; 100]).unwrap();
        peer.read_exact(&mut room).unwrap();
        peer.write_all(&[1]).unwrap();
        own.read_exact(&mut room[..1]).unwrap();
        assert_eq!(is_acknowledged(own.as_raw_fd()), Some(true));
        drop(peer);
        own.write_all(&[1; 100]).unwrap();
        assert_eq!(is_acknowledged(own.as_raw_fd()), Some(false));
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(is_acknowledged(one.as_raw_fd()), None);
    }
}
