// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether anybody waits to be accepted by a backend on this machine: what ss(8) shows as Recv-Q of its socket.

use std::{
    mem::MaybeUninit,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

/// sock_diag(7): NETLINK_SOCK_DIAG's request for sockets of the internet families.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const TCP_LISTEN: u32 = 10;

/// struct inet_diag_sockid.
#[repr(C)]
#[derive(Clone, Copy)]
struct SocketId {
    source_port: u16,
    target_port: u16,
    source: [u32; 4],
    target: [u32; 4],
    interface: u32,
    cookie: [u32; 2],
}

/// struct nlmsghdr and struct inet_diag_req_v2.
#[repr(C)]
struct Question {
    header: libc::nlmsghdr,
    family: u8,
    protocol: u8,
    extensions: u8,
    padding: u8,
    states: u32,
    id: SocketId,
}

/// struct nlmsghdr and struct inet_diag_msg.
#[repr(C)]
#[derive(Clone, Copy)]
struct Answer {
    header: libc::nlmsghdr,
    family: u8,
    state: u8,
    timer: u8,
    retransmissions: u8,
    id: SocketId,
    expires: u32,
    waiting: u32,
    limit: u32,
    user: u32,
    inode: u32,
}

/// Whether connections wait to be accepted by the socket that this connection goes to. `None`: nobody here can tell.
pub(super) fn has_waiting(connection: RawFd) -> Option<bool> {
    let own = address(connection, libc::getsockname)?;
    let peer = address(connection, libc::getpeername)?;
    // A socket of this machine is reached from its own address.
    if own.0 != peer.0 {
        return None;
    }
    // A listener of IPv6 takes connections of both.
    let families = [libc::AF_INET, libc::AF_INET6].map(|family| waiting(family as u8, peer.1));
    match families {
        [None, None] => None,
        counts => Some(counts.into_iter().flatten().any(|count| count > 0)),
    }
}

type Ask = unsafe extern "C" fn(RawFd, *mut libc::sockaddr, *mut libc::socklen_t) -> libc::c_int;

/// One address of a connection: its IP as IPv6 has it, and its port in network order.
fn address(connection: RawFd, ask: Ask) -> Option<([u8; 16], u16)> {
    let mut place = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut size = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: the place has room for any address; it was zeroed, so all of it may be read. Both address types fit
    // into it and begin with the family.
    unsafe {
        if ask(connection, place.as_mut_ptr().cast(), &raw mut size) != 0 {
            return None;
        }
        match libc::c_int::from(place.assume_init_ref().ss_family) {
            libc::AF_INET => {
                let found = place.as_ptr().cast::<libc::sockaddr_in>().read();
                let ip = std::net::Ipv4Addr::from(u32::from_be(found.sin_addr.s_addr));
                Some((ip.to_ipv6_mapped().octets(), found.sin_port))
            }
            libc::AF_INET6 => {
                let found = place.as_ptr().cast::<libc::sockaddr_in6>().read();
                Some((found.sin6_addr.s6_addr, found.sin6_port))
            }
            _ => None,
        }
    }
}

/// How many connections wait at the listeners of a port. `None`: the kernel does not say, or there is no listener.
fn waiting(family: u8, port: u16) -> Option<u32> {
    // SAFETY: socket(2) touches no memory; the descriptor is ours alone.
    let netlink = unsafe {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        let fd = libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_INET_DIAG);
        if fd < 0 {
            return None;
        }
        OwnedFd::from_raw_fd(fd)
    };
    let none = SocketId {
        source_port: port,
        target_port: 0,
        source: [0; 4],
        target: [0; 4],
        interface: 0,
        cookie: [0; 2],
    };
    let question = Question {
        header: libc::nlmsghdr {
            nlmsg_len: size_of::<Question>() as u32,
            nlmsg_type: SOCK_DIAG_BY_FAMILY,
            nlmsg_flags: (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16,
            nlmsg_seq: 1,
            nlmsg_pid: 0,
        },
        family,
        protocol: libc::IPPROTO_TCP as u8,
        extensions: 0,
        padding: 0,
        states: 1 << TCP_LISTEN,
        id: none,
    };
    // SAFETY: the question is readable, and has no padding.
    let sent =
        unsafe { libc::send(netlink.as_raw_fd(), (&raw const question).cast(), size_of::<Question>(), 0) };
    if usize::try_from(sent).ok() != Some(size_of::<Question>()) {
        return None;
    }
    let mut buffer = [0u8; 8192];
    // A dump that does not fit would go on in further messages: one look is enough for one port.
    // SAFETY: the buffer is writable; the kernel answers at once.
    let count = unsafe {
        libc::recv(netlink.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT)
    };
    let count = usize::try_from(count).ok()?;
    count_waiting(buffer.get(..count)?, port)
}

/// Adds up what the answers of one dump say.
fn count_waiting(mut answers: &[u8], port: u16) -> Option<u32> {
    let mut total: Option<u32> = None;
    while answers.len() >= size_of::<Answer>() {
        // SAFETY: there are so many bytes; any bytes are an answer, and it need not be aligned.
        let answer = unsafe { ptr::read_unaligned(answers.as_ptr().cast::<Answer>()) };
        let length = usize::try_from(answer.header.nlmsg_len).ok()?;
        if answer.header.nlmsg_type == SOCK_DIAG_BY_FAMILY
            && answer.id.source_port == port
            && u32::from(answer.state) == TCP_LISTEN
        {
            total = Some(total.unwrap_or(0).saturating_add(answer.waiting));
        }
        // NLMSG_ALIGN.
        let next = length.max(size_of::<libc::nlmsghdr>()).next_multiple_of(4);
        answers = answers.get(next..).unwrap_or_default();
    }
    total
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

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

    #[test]
    fn nonsense_counts_nothing() {
        assert_eq!(count_waiting(&[0; 8192], 80), None);
        assert_eq!(count_waiting(&[0xff; 100], 80), None);
        assert_eq!(count_waiting(&[], 80), None);
    }
}
