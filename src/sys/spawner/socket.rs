// SPDX-License-Identifier: MIT OR Apache-2.0
//! Messages with descriptors over a unix socket that keeps their bounds: unix(7), SOCK_SEQPACKET.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

/// The most descriptors of one message.
pub(super) const MOST_FDS: usize = 4;

const FD_BYTES: usize = MOST_FDS * size_of::<RawFd>();
// SAFETY: CMSG_SPACE computes a size.
const CONTROL_BYTES: usize = unsafe {
    libc::CMSG_SPACE(FD_BYTES as libc::c_uint) + libc::CMSG_SPACE(size_of::<libc::ucred>() as libc::c_uint)
} as usize;

/// Room for the control part of a message, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

/// The two ends of a connection, not inherited by programs.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: two integers are writable.
    let made = unsafe {
        libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr())
    };
    if made != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us both descriptors; nobody else owns them.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

/// Sends one message. With `wait` it waits for room; without, a full socket is `WouldBlock`.
pub(super) fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[RawFd], wait: bool) -> io::Result<()> {
    let mut control = Control([0; CONTROL_BYTES]);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: a message header of zeros is valid.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if !fds.is_empty() {
        if fds.len() > MOST_FDS {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let size = size_of_val(fds);
        message.msg_control = control.0.as_mut_ptr().cast();
        // SAFETY: `control` has room for MOST_FDS descriptors, and `fds` are no more.
        unsafe {
            message.msg_controllen = libc::CMSG_SPACE(size as libc::c_uint) as _;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size as libc::c_uint) as _;
            std::ptr::copy_nonoverlapping(fds.as_ptr().cast::<u8>(), libc::CMSG_DATA(header), size);
        }
    }
    let flags = libc::MSG_NOSIGNAL | if wait { 0 } else { libc::MSG_DONTWAIT };
    loop {
        // SAFETY: the header points to live memory of the lengths it says.
        let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) };
        if sent >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
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
    let on: libc::c_int = 1;
    // SAFETY: one integer is readable.
    let told = unsafe {
        let (place, size) = ((&raw const on).cast(), size_of::<libc::c_int>() as libc::socklen_t);
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PASSCRED, place, size)
    };
    if told == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Receives one message. A message that is longer than `buffer` is `InvalidData`.
pub(super) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8], wait: bool) -> io::Result<Packet> {
    let mut control = Control([0; CONTROL_BYTES]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: a message header of zeros is valid.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_BYTES as _;
    let flags = libc::MSG_CMSG_CLOEXEC | if wait { 0 } else { libc::MSG_DONTWAIT };
    let length = loop {
        // SAFETY: the header points to live memory of the lengths it says.
        let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
        if let Ok(length) = usize::try_from(received) {
            break length;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    };
    // SAFETY: the kernel has filled the control part as the header now says.
    let (fds, sender) = unsafe { take_control(&message) };
    if message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Packet { length, fds, sender })
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

/// # Safety
/// `message` was filled by recvmsg(2) and its control part has not been read yet.
unsafe fn take_control(message: &libc::msghdr) -> (Vec<OwnedFd>, Option<Sender>) {
    let (mut found, mut sender) = (Vec::new(), None);
    // SAFETY: the macros of cmsg(3) stay within the control part; SCM_RIGHTS holds whole descriptors, which are
    // ours from now on, and SCM_CREDENTIALS one ucred.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let bytes = ((*header).cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
                let data = libc::CMSG_DATA(header).cast::<RawFd>();
                for index in 0..bytes / size_of::<RawFd>() {
                    found.push(OwnedFd::from_raw_fd(data.add(index).read_unaligned()));
                }
            }
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_CREDENTIALS {
                let found = libc::CMSG_DATA(header).cast::<libc::ucred>().read_unaligned();
                sender = Some(Sender { pid: found.pid, user: found.uid });
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    (found, sender)
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

fn credentials(socket: BorrowedFd<'_>) -> io::Result<libc::ucred> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the option writes one ucred.
    let asked = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
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
        send(here.as_fd(), b"first", &[writer.as_raw_fd()], true).unwrap();
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
