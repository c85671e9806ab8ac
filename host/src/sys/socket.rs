// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sockets that never wait by themselves.

use std::{
    io::{self, IoSlice},
    mem::{self, MaybeUninit},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
    ptr,
    time::Duration,
};

use super::{checked, counted, uninterrupted};

/// Who has connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A process of this machine.
    Local,
    /// A process at this address.
    At(IpAddr),
}

/// What is waited for on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    Input,
    Output,
}

/// The next connection of a listening socket that does not wait. `None`: there is none.
pub(crate) fn accept(listener: &impl AsFd) -> io::Result<Option<(OwnedFd, Peer)>> {
    let mut address = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let listener = listener.as_fd().as_raw_fd();
    let call = || {
        let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: `address` has room for `length` bytes.
        checked(unsafe { libc::accept4(listener, address.as_mut_ptr().cast(), &raw mut length, flags) })
    };
    let fd = match uninterrupted(call) {
        Ok(fd) => fd,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error),
    };
    // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: it was zeroed, which is a value of this struct, and accept4(2) wrote an address into it.
    let address = unsafe { address.assume_init() };
    Ok(Some((socket, peer(&address))))
}

fn peer(address: &libc::sockaddr_storage) -> Peer {
    match libc::c_int::from(address.ss_family) {
        libc::AF_INET => {
            // SAFETY: an address of this family is a sockaddr_in, which is smaller and not more aligned.
            let found = unsafe { &*ptr::from_ref(address).cast::<libc::sockaddr_in>() };
            Peer::At(Ipv4Addr::from(u32::from_be(found.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: an address of this family is a sockaddr_in6, which is smaller and not more aligned.
            let found = unsafe { &*ptr::from_ref(address).cast::<libc::sockaddr_in6>() };
            Peer::At(IpAddr::from(Ipv6Addr::from(found.sin6_addr.s6_addr)).to_canonical())
        }
        _ => Peer::Local,
    }
}

/// Whether a descriptor is a socket that connections come to.
pub(crate) fn is_listening(fd: &impl AsFd) -> bool {
    let mut value: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `value` has room for `length` bytes.
    let answer = unsafe {
        libc::getsockopt(
            fd.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ACCEPTCONN,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    answer == 0 && value != 0
}

/// Says that calls on this descriptor do not wait, or that they do. Answers how it was.
pub(crate) fn set_nonblocking(fd: &impl AsFd, nonblocking: bool) -> io::Result<bool> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: fcntl(2) with F_GETFL and F_SETFL touches no memory.
    unsafe {
        let flags = checked(libc::fcntl(fd, libc::F_GETFL))?;
        let was = flags & libc::O_NONBLOCK != 0;
        if was != nonblocking {
            checked(libc::fcntl(fd, libc::F_SETFL, flags ^ libc::O_NONBLOCK))?;
        }
        Ok(was)
    }
}

/// Takes what has arrived; 0 is the end. `None`: nothing has.
pub(crate) fn receive(socket: &impl AsFd, into: &mut [u8]) -> io::Result<Option<usize>> {
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: `into` is writable.
    let call =
        || counted(unsafe { libc::recv(fd, into.as_mut_ptr().cast(), into.len(), libc::MSG_DONTWAIT) });
    uninterrupted(call)
}

/// Sends as much of these as there is room for. `None`: for nothing. `more`: the packet may wait for what follows.
pub(crate) fn send(socket: &impl AsFd, parts: &[IoSlice<'_>], more: bool) -> io::Result<Option<usize>> {
    let fd = socket.as_fd().as_raw_fd();
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | if more { libc::MSG_MORE } else { 0 };
    if let [one] = parts {
        // SAFETY: the part is readable.
        return uninterrupted(|| counted(unsafe { libc::send(fd, one.as_ptr().cast(), one.len(), flags) }));
    }
    // SAFETY: all zero is a value of this struct: no name, no parts, no control messages.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = parts.as_ptr().cast_mut().cast();
    message.msg_iovlen = parts.len() as _;
    // SAFETY: IoSlice has the layout of iovec; the parts are readable, and sendmsg(2) writes to none of them.
    uninterrupted(|| counted(unsafe { libc::sendmsg(fd, &raw const message, flags) }))
}

/// Sends a part of a file, as far as there is room. `None`: there is none. 0: the file ends before `offset`.
pub(crate) fn send_file(
    socket: &impl AsFd,
    file: &impl AsFd,
    offset: u64,
    count: usize,
) -> io::Result<Option<usize>> {
    let (to, from) = (socket.as_fd().as_raw_fd(), file.as_fd().as_raw_fd());
    let mut offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: `offset` is readable and writable.
    uninterrupted(|| counted(unsafe { libc::sendfile(to, from, &raw mut offset, count) }))
}

/// Waits for input or for room. Answers whether there may be some, also because the peer has left.
pub(crate) fn wait(socket: &impl AsFd, waiting: Waiting, time: Duration) -> bool {
    let events = match waiting {
        Waiting::Input => libc::POLLIN | libc::POLLRDHUP,
        Waiting::Output => libc::POLLOUT | libc::POLLRDHUP,
    };
    shown(socket, events, time) != 0
}

/// Whether the peer has closed its side or the connection is broken.
pub(crate) fn has_left(socket: &impl AsFd) -> bool {
    shown(socket, libc::POLLRDHUP, Duration::ZERO) != 0
}

fn shown(socket: &impl AsFd, events: libc::c_short, time: Duration) -> libc::c_short {
    let mut entries = [libc::pollfd { fd: socket.as_fd().as_raw_fd(), events, revents: 0 }];
    gangway::sys::poll(&mut entries, Some(time));
    entries[0].revents
}

/// Ends both directions, also where a forked process has a copy of the descriptor.
pub(crate) fn shut(socket: &impl AsFd) {
    // SAFETY: shutdown(2) touches no memory. The error is that the peer has left.
    let _ = unsafe { libc::shutdown(socket.as_fd().as_raw_fd(), libc::SHUT_RDWR) };
}

/// Ends the direction to the peer.
pub(crate) fn end_output(socket: &impl AsFd) {
    // SAFETY: shutdown(2) touches no memory. The error is that the peer has left.
    let _ = unsafe { libc::shutdown(socket.as_fd().as_raw_fd(), libc::SHUT_WR) };
}

/// Says how many connections may wait to be taken.
pub(crate) fn listen(socket: &impl AsFd, backlog: i32) -> io::Result<()> {
    // SAFETY: listen(2) touches no memory.
    checked(unsafe { libc::listen(socket.as_fd().as_raw_fd(), backlog) }).map(drop)
}
