// SPDX-License-Identifier: MIT OR Apache-2.0
//! Questions about TCP sockets of this machine: struct inet_diag_req_v2 and struct inet_diag_msg.

use std::{mem::MaybeUninit, os::fd::RawFd};

use super::{Scope, ask, half, header};

/// TCP_LISTEN.
const LISTEN: u8 = 10;

/// struct inet_diag_sockid.
#[repr(C)]
#[derive(Clone, Copy)]
struct SocketId {
    source_port: u16,
    target_port: u16,
    source: [u8; 16],
    target: [u8; 16],
    interface: u32,
    cookie: [u32; 2],
}

/// struct nlmsghdr and struct inet_diag_req_v2.
#[repr(C)]
struct InetQuestion {
    header: libc::nlmsghdr,
    family: u8,
    protocol: u8,
    extensions: u8,
    padding: u8,
    states: u32,
    id: SocketId,
}

/// Where the members of struct inet_diag_msg stand behind the header: family, state, timer, retransmissions, id, expires, and
/// idiag_rqueue.
const STATE: usize = size_of::<libc::nlmsghdr>() + 1;
const SOURCE_PORT: usize = size_of::<libc::nlmsghdr>() + 4;
const RECEIVE_QUEUE: usize = SOURCE_PORT + size_of::<SocketId>() + 4;

/// The end of a TCP connection.
#[derive(Debug)]
pub(in crate::sys) struct Endpoint {
    family: u8,
    /// In network order.
    port: u16,
    /// Four bytes of it for IPv4.
    ip: [u8; 16],
}

impl Endpoint {
    /// Whether both have one address: then they are sockets of one machine.
    pub(in crate::sys) fn has_address_of(&self, other: &Self) -> bool {
        (self.family, self.ip) == (other.family, other.ip)
    }

    /// The connections that wait to be accepted by the listeners of this end's port. `None`: the kernel does not say, or there is no
    /// listener.
    pub(in crate::sys) fn backlog(&self) -> Option<u32> {
        // A listener of IPv6 takes connections of both.
        let counts = [libc::AF_INET, libc::AF_INET6].map(|family| {
            let id = SocketId {
                source_port: self.port,
                target_port: 0,
                source: [0; 16],
                target: [0; 16],
                interface: 0,
                cookie: [0; 2],
            };
            // A dump that does not fit would go on in further messages: one look is enough for one port.
            let mut room = [0u8; 8192];
            let answers = ask(&question(family as u8, 1 << LISTEN, id, Scope::All), &mut room)?;
            sum_of_queues(answers, self.port)
        });
        counts.into_iter().flatten().reduce(u32::saturating_add)
    }
}

fn question(family: u8, states: u32, id: SocketId, scope: Scope) -> InetQuestion {
    InetQuestion {
        header: header(size_of::<InetQuestion>(), scope),
        family,
        protocol: libc::IPPROTO_TCP as u8,
        extensions: 0,
        padding: 0,
        states,
        id,
    }
}

/// The bytes that wait to be read at one end of a connection to another one.
pub(in crate::sys) fn receive_queue(of: &Endpoint, to: &Endpoint) -> Option<usize> {
    let id = SocketId {
        source_port: of.port,
        target_port: to.port,
        source: of.ip,
        target: to.ip,
        interface: 0,
        // INET_DIAG_NOCOOKIE.
        cookie: [u32::MAX; 2],
    };
    let mut room = [0u8; 512];
    let answer = ask(&question(of.family, u32::MAX, id, Scope::One), &mut room)?;
    usize::try_from(word(answer.get(RECEIVE_QUEUE..)?)?).ok()
}

fn word(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().copied().map(u32::from_ne_bytes)
}

/// Adds up the queues of the listeners of a port in the answers to one dump.
fn sum_of_queues(mut answers: &[u8], port: u16) -> Option<u32> {
    let mut total: Option<u32> = None;
    while let Some(queue) = answers.get(RECEIVE_QUEUE..).and_then(word) {
        let length = usize::try_from(word(answers)?).ok()?;
        if half(answers.get(4..)?)? == super::SOCK_DIAG_BY_FAMILY
            && half(answers.get(SOURCE_PORT..)?)? == port
            && answers.get(STATE) == Some(&LISTEN)
        {
            total = Some(total.unwrap_or(0).saturating_add(queue));
        }
        // NLMSG_ALIGN.
        let next = length.max(size_of::<libc::nlmsghdr>()).checked_next_multiple_of(4)?;
        answers = answers.get(next..).unwrap_or_default();
    }
    total
}

type Ask = unsafe extern "C" fn(RawFd, *mut libc::sockaddr, *mut libc::socklen_t) -> libc::c_int;

/// Our end and the other one of a TCP connection; `None` for another socket.
pub(in crate::sys) fn ends(connection: RawFd) -> Option<(Endpoint, Endpoint)> {
    Some((end(connection, libc::getsockname)?, end(connection, libc::getpeername)?))
}

fn end(connection: RawFd, ask: Ask) -> Option<Endpoint> {
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
                let mut ip = [0; 16];
                ip[..4].copy_from_slice(&found.sin_addr.s_addr.to_ne_bytes());
                Some(Endpoint { family: libc::AF_INET as u8, port: found.sin_port, ip })
            }
            libc::AF_INET6 => {
                let found = place.as_ptr().cast::<libc::sockaddr_in6>().read();
                Some(Endpoint {
                    family: libc::AF_INET6 as u8,
                    port: found.sin6_port,
                    ip: found.sin6_addr.s6_addr,
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_counts_nothing() {
        for length in [0, 20, 100, 8192] {
            assert_eq!(sum_of_queues(&vec![0; length], 80), None);
            assert_eq!(sum_of_queues(&vec![0xff; length], 80), None);
        }
    }
}
