// SPDX-License-Identifier: MIT OR Apache-2.0
//! Messages with descriptors over a unix socket that keeps their bounds: unix(7), SOCK_SEQPACKET.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    cmsg_space,
    io::retry_on_intr,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg,
        socketpair, sockopt::set_socket_passcred,
    },
};

/// The most descriptors of one message.
pub(super) const MOST_FDS: usize = 4;

/// Room for the control part of a message: its descriptors, and who sent it.
const CONTROL_BYTES: usize = cmsg_space!(ScmRights(MOST_FDS), ScmCredentials(1));

/// The two ends of a connection, not inherited by programs.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends one message. With `wait` it waits for room; without, a full socket is `WouldBlock`.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    wait: bool,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); CONTROL_BYTES];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let is_too_much = fds.len() > MOST_FDS;
    if is_too_much || !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = SendFlags::NOSIGNAL | if wait { SendFlags::empty() } else { SendFlags::DONTWAIT };
    retry_on_intr(|| sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags))?;
    Ok(())
}

/// What a message brought.
pub(super) struct Packet {
    /// Bytes in the buffer; 0 is the end of the connection.
    pub(super) length: usize,
    /// Its descriptors, in order.
    pub(super) fds: Vec<OwnedFd>,
    /// Who sent it, if the socket wants to know: [`tell_senders`].
    pub(super) sender: Option<Sender>,
}

/// The process that has sent a message, and its user, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sender {
    pub(super) pid: libc::pid_t,
    pub(super) user: u32,
}

/// Has the kernel say who sends each message that arrives here.
pub(super) fn tell_senders(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(set_socket_passcred(socket, true)?)
}

/// Receives one message. A message that is longer than `buffer` is `InvalidData`.
pub(super) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8], wait: bool) -> io::Result<Packet> {
    let mut space = [MaybeUninit::uninit(); CONTROL_BYTES];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
    let received = retry_on_intr(|| recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags))?;
    let (mut fds, mut sender) = (Vec::new(), None);
    for message in control.drain() {
        match message {
            RecvAncillaryMessage::ScmRights(found) => fds.extend(found),
            RecvAncillaryMessage::ScmCredentials(found) => {
                sender = Some(Sender { pid: found.pid.as_raw_nonzero().get(), user: found.uid.as_raw() });
            }
            _ => {}
        }
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Packet { length: received.bytes, fds, sender })
}

/// Receives the messages without descriptors that are there, as many as there is room for, and answers how many and the
/// length of each: recvmmsg(2). It never waits. An empty one is the end of the connection; longer ones are cut.
pub(super) fn receive_many<const SIZE: usize, const COUNT: usize>(
    socket: BorrowedFd<'_>,
    messages: &mut [[u8; SIZE]; COUNT],
) -> io::Result<(usize, [usize; COUNT])> {
    let mut lengths = [0; COUNT];
    let mut parts = messages
        .each_mut()
        .map(|message| libc::iovec { iov_base: message.as_mut_ptr().cast(), iov_len: message.len() });
    // SAFETY: message headers of zeros are valid.
    let mut headers: [libc::mmsghdr; COUNT] = unsafe { MaybeUninit::zeroed().assume_init() };
    for (header, part) in headers.iter_mut().zip(&mut parts) {
        header.msg_hdr.msg_iov = std::ptr::from_mut(part);
        header.msg_hdr.msg_iovlen = 1;
    }
    let received = loop {
        // SAFETY: each header points to live memory of the length it says.
        let received = unsafe {
            let (first, count) = (headers.as_mut_ptr(), COUNT as libc::c_uint);
            libc::recvmmsg(socket.as_raw_fd(), first, count, libc::MSG_DONTWAIT as _, std::ptr::null_mut())
        };
        if let Ok(received) = usize::try_from(received) {
            break received;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    };
    for (length, header) in lengths.iter_mut().zip(&headers).take(received) {
        *length = header.msg_len as usize;
    }
    Ok((received, lengths))
}

/// The process and the user that made the pair to which this end belongs.
pub fn maker(socket: BorrowedFd<'_>) -> io::Result<(u32, u32)> {
    let credentials = credentials(socket)?;
    Ok((credentials.pid.unsigned_abs(), credentials.uid))
}

/// Who made the other end of a connection: user, group and groups. The kernel says it, so it can be trusted.
pub(super) fn peer(socket: BorrowedFd<'_>) -> io::Result<(u32, u32, Vec<u32>)> {
    let credentials = credentials(socket)?;
    let mut groups = vec![0u32; 65_536];
    let mut length = size_of_val(groups.as_slice()) as libc::socklen_t;
    // SAFETY: the option writes at most `length` bytes of numbers.
    let asked = unsafe {
        let (fd, place) = (socket.as_raw_fd(), groups.as_mut_ptr().cast());
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERGROUPS, place, &raw mut length)
    };
    if asked != 0 {
        return Err(io::Error::last_os_error());
    }
    groups.truncate(length as usize / size_of::<u32>());
    Ok((credentials.uid, credentials.gid, groups))
}

/// The process is 0 where it is in a namespace that this one does not see, for which rustix has no value.
fn credentials(socket: BorrowedFd<'_>) -> io::Result<libc::ucred> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the option writes one ucred.
    let asked = unsafe {
        let (fd, place) = (socket.as_raw_fd(), (&raw mut credentials).cast());
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, place, &raw mut length)
    };
    if asked != 0 { Err(io::Error::last_os_error()) } else { Ok(credentials) }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{Read, Write},
        os::fd::AsFd,
    };

    use super::*;

    #[test]
    fn bytes_and_descriptors_arrive_together_and_messages_keep_their_bounds() {
        let (here, there) = pair().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        send(here.as_fd(), b"first", &[writer.as_fd()], true).unwrap();
        send(here.as_fd(), b"second", &[], true).unwrap();
        drop(writer);
        let mut buffer = [0; 64];
        let first = receive(there.as_fd(), &mut buffer, true).unwrap();
        assert_eq!((&buffer[..first.length], first.fds.len()), (&b"first"[..], 1));
        for fd in first.fds {
            File::from(fd).write_all(b"through").unwrap();
        }
        let mut text = String::new();
        { reader }.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        let second = receive(there.as_fd(), &mut buffer, true).unwrap();
        assert_eq!((&buffer[..second.length], second.fds.len()), (&b"second"[..], 0));
        let error = receive(there.as_fd(), &mut buffer, false).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(here);
        assert_eq!(receive(there.as_fd(), &mut buffer, true).unwrap().length, 0);
    }

    #[test]
    fn many_messages_arrive_together_and_the_end_is_an_empty_one() {
        let (here, there) = pair().unwrap();
        let mut buffers = [[0; 4]; 3];
        let error = receive_many(there.as_fd(), &mut buffers).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        for message in [&b"one"[..], b"two", b"three", b"4"] {
            send(here.as_fd(), message, &[], true).unwrap();
        }
        assert_eq!(receive_many(there.as_fd(), &mut buffers).unwrap(), (3, [3, 3, 4]));
        assert_eq!(buffers, [*b"one\0", *b"two\0", *b"thre"]);
        assert_eq!(receive_many(there.as_fd(), &mut buffers).unwrap(), (1, [1, 0, 0]));
        send(here.as_fd(), b"last", &[], true).unwrap();
        drop(here);
        assert_eq!(receive_many(there.as_fd(), &mut buffers).unwrap(), (3, [4, 0, 0]));
        assert_eq!(receive_many(there.as_fd(), &mut buffers).unwrap(), (3, [0, 0, 0]));
    }

    #[test]
    fn a_message_that_does_not_fit_is_refused() {
        let (here, there) = pair().unwrap();
        send(here.as_fd(), &[1; 100], &[], true).unwrap();
        let error = receive(there.as_fd(), &mut [0; 64], true).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn the_peer_is_who_made_the_pair() {
        let (here, _there) = pair().unwrap();
        let (user, group, _) = peer(here.as_fd()).unwrap();
        // SAFETY: both have no conditions.
        assert_eq!((user, group), unsafe { (libc::geteuid(), libc::getegid()) });
    }
}
