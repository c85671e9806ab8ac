// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether anybody has accepted a connection over a unix socket: sock_diag(7).

use std::{
    mem::MaybeUninit,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// UDIAG_SHOW_PEER, and the attribute that it asks for.
const SHOW_PEER: u32 = 4;
const UNIX_DIAG_PEER: u16 = 2;

/// struct nlmsghdr and struct unix_diag_req.
#[repr(C)]
struct Question {
    header: libc::nlmsghdr,
    family: u8,
    protocol: u8,
    padding: u16,
    states: u32,
    inode: u32,
    show: u32,
    cookie: [u32; 2],
}

/// The length of struct unix_diag_msg: family, type, state, padding, inode, cookie.
const MESSAGE: usize = 16;

/// Whether the other end of a connected unix socket has been accepted. A socket that waits in the queue of its listener
/// is nobody's file yet, so the kernel has no inode for it. `None`: this kernel does not tell.
#[must_use]
pub fn is_accepted(connection: RawFd) -> Option<bool> {
    let mut status = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: fstat(2) writes one stat, and all-zero is one as well.
    let (answer, status) = unsafe { (libc::fstat(connection, status.as_mut_ptr()), status.assume_init()) };
    if answer != 0 {
        return None;
    }
    let question = Question {
        header: libc::nlmsghdr {
            nlmsg_len: size_of::<Question>() as u32,
            nlmsg_type: SOCK_DIAG_BY_FAMILY,
            nlmsg_flags: libc::NLM_F_REQUEST as u16,
            nlmsg_seq: 1,
            nlmsg_pid: 0,
        },
        family: libc::AF_UNIX as u8,
        protocol: 0,
        padding: 0,
        states: u32::MAX,
        inode: u32::try_from(status.st_ino).ok()?,
        show: SHOW_PEER,
        // INET_DIAG_NOCOOKIE.
        cookie: [u32::MAX; 2],
    };
    let mut answers = [0u8; 512];
    // SAFETY: socket(2) touches no memory and the descriptor is ours alone; the question is readable and has no padding;
    // the answers are writable, and the kernel gives them at once.
    let count = unsafe {
        let netlink =
            libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_INET_DIAG);
        if netlink < 0 {
            return None;
        }
        let netlink = OwnedFd::from_raw_fd(netlink);
        let size = size_of::<Question>();
        let sent = libc::send(netlink.as_raw_fd(), (&raw const question).cast(), size, 0);
        if usize::try_from(sent).ok() != Some(size) {
            return None;
        }
        libc::recv(netlink.as_raw_fd(), answers.as_mut_ptr().cast(), answers.len(), libc::MSG_DONTWAIT)
    };
    peer_has_inode(answers.get(..usize::try_from(count).ok()?)?)
}

/// Reads the attribute of the one answer.
fn peer_has_inode(answer: &[u8]) -> Option<bool> {
    let half = |bytes: &[u8]| bytes.first_chunk().copied().map(u16::from_ne_bytes);
    let header = size_of::<libc::nlmsghdr>();
    // nlmsg_type; an error has another one.
    if half(answer.get(4..)?)? != SOCK_DIAG_BY_FAMILY {
        return None;
    }
    let mut attributes = answer.get(header + MESSAGE..)?;
    loop {
        // struct rtattr.
        let length = usize::from(half(attributes)?);
        if half(attributes.get(2..)?)? == UNIX_DIAG_PEER {
            let inode = attributes.get(4..8)?.first_chunk().copied().map(u32::from_ne_bytes)?;
            return Some(inode != 0);
        }
        attributes = attributes.get(length.max(4).next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use std::os::{
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
        for length in 0..40 {
            assert_eq!(peer_has_inode(&vec![0; length]), None);
            assert_eq!(peer_has_inode(&vec![0xff; length]), None);
        }
    }
}
