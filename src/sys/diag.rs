// SPDX-License-Identifier: MIT OR Apache-2.0
//! Questions to the kernel about sockets: sock_diag(7), with the structures of linux/unix_diag.h here and those of
//! linux/inet_diag.h in [`inet`].

pub(super) mod inet;

use std::{
    mem::MaybeUninit,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

const SOCK_DIAG_BY_FAMILY: u16 = 20;

/// What an attribute of a unix socket is asked for with, and its type in the answer.
#[derive(Clone, Copy)]
pub(super) struct Attribute {
    show: u32,
    kind: u16,
}

/// UDIAG_SHOW_PEER: the inode of the other end.
pub(super) const PEER: Attribute = Attribute { show: 4, kind: 2 };
/// UDIAG_SHOW_RQLEN: the bytes that wait to be read, and those that the other end has not read.
pub(super) const QUEUES: Attribute = Attribute { show: 16, kind: 4 };

/// struct nlmsghdr and struct unix_diag_req.
#[repr(C)]
struct SocketQuestion {
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

/// How many sockets a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// The one that it names.
    One,
    /// All that fit.
    All,
}

/// The header of a question of this size.
fn header(size: usize, scope: Scope) -> libc::nlmsghdr {
    let dump = if scope == Scope::All { libc::NLM_F_DUMP } else { 0 };
    libc::nlmsghdr {
        nlmsg_len: size as u32,
        nlmsg_type: SOCK_DIAG_BY_FAMILY,
        nlmsg_flags: (libc::NLM_F_REQUEST | dump) as u16,
        nlmsg_seq: 1,
        nlmsg_pid: 0,
    }
}

/// The inode of a socket.
pub(super) fn inode(socket: RawFd) -> Option<u32> {
    let mut status = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: fstat(2) writes one stat, and all-zero is one as well.
    let (answer, status) = unsafe { (libc::fstat(socket, status.as_mut_ptr()), status.assume_init()) };
    if answer == 0 { u32::try_from(status.st_ino).ok() } else { None }
}

/// The first number of an attribute of the unix socket with this inode. `None`: this kernel does not tell.
pub(super) fn of_unix(inode: u32, attribute: Attribute) -> Option<u32> {
    let question = SocketQuestion {
        header: header(size_of::<SocketQuestion>(), Scope::One),
        family: libc::AF_UNIX as u8,
        protocol: 0,
        padding: 0,
        states: u32::MAX,
        inode,
        show: attribute.show,
        // INET_DIAG_NOCOOKIE.
        cookie: [u32::MAX; 2],
    };
    let mut room = [0u8; 512];
    number(ask(&question, &mut room)?, attribute.kind)
}

/// Asks, and gives as much of the answer as there is room for. `Q` is a message without padding.
fn ask<'a, Q>(question: &Q, room: &'a mut [u8]) -> Option<&'a [u8]> {
    // SAFETY: socket(2) touches no memory and the descriptor is ours alone; the question is readable; the room is
    // writable, and the kernel answers at once.
    let count = unsafe {
        let netlink =
            libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_INET_DIAG);
        if netlink < 0 {
            return None;
        }
        let netlink = OwnedFd::from_raw_fd(netlink);
        let sent = libc::send(netlink.as_raw_fd(), (&raw const *question).cast(), size_of::<Q>(), 0);
        if usize::try_from(sent).ok() != Some(size_of::<Q>()) {
            return None;
        }
        libc::recv(netlink.as_raw_fd(), room.as_mut_ptr().cast(), room.len(), libc::MSG_DONTWAIT)
    };
    let answer = room.get(..usize::try_from(count).ok()?)?;
    // nlmsg_type; an error has another one.
    (half(answer.get(4..)?)? == SOCK_DIAG_BY_FAMILY).then_some(answer)
}

fn half(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().copied().map(u16::from_ne_bytes)
}

/// Reads an attribute of an answer about a unix socket.
fn number(answer: &[u8], kind: u16) -> Option<u32> {
    let mut attributes = answer.get(size_of::<libc::nlmsghdr>() + MESSAGE..)?;
    loop {
        // struct rtattr.
        let length = usize::from(half(attributes)?);
        if half(attributes.get(2..)?)? == kind {
            return attributes.get(4..8)?.first_chunk().copied().map(u32::from_ne_bytes);
        }
        attributes = attributes.get(length.max(4).next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_says_nothing() {
        for length in 0..40 {
            assert_eq!(number(&vec![0; length], PEER.kind), None);
            assert_eq!(number(&vec![0xff; length], PEER.kind), None);
        }
        assert_eq!(inode(-1), None);
    }
}
