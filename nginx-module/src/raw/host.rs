// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whom a request is for, and who sends it: names, addresses and ports.

use std::ptr;

use nginx_sys::ngx_connection_local_sockaddr;

use super::{Request, bytes, field::field};

impl Request {
    /// The name of the server as the client and the configuration give it: never empty if there is one.
    pub(crate) fn server_name(&self) -> &[u8] {
        let configured = self.bytes(self.core_server().server_name);
        let host = self.bytes(field!(self, headers_in.server));
        // `_`, wildcards and regular expressions are no names.
        let is_name = configured.iter().any(u8::is_ascii_alphanumeric)
            && !configured.iter().any(|b| b"*~^".contains(b));
        if is_name || host.is_empty() { configured } else { host }
    }

    /// The host and port of the request's target, if it has them: in HTTP/1 the absolute form of the request line, in
    /// HTTP/2 and HTTP/3 `:authority`. It wins over the Host header (RFC 9112 §3.2.2), as in nginx's own choice of the server.
    pub(crate) fn target_host(&self) -> Option<&[u8]> {
        let main = self.main();
        let (start, end) = (field!(main, host_start), field!(main, host_end));
        if start.is_null() {
            return None;
        }
        let line = self.bytes(field!(main, request_line));
        let at = start.addr().checked_sub(line.as_ptr().addr()).filter(|at| *at < line.len());
        let host = match at {
            // nginx 1.28 does not keep where the port ends.
            Some(at) => line.get(at..)?.split(|byte| b"/?# ".contains(byte)).next()?,
            None if end.is_null() => return None,
            // SAFETY: nginx has set both ends of a value that lives as long as the request.
            None => unsafe { bytes(start, end) },
        };
        (!host.is_empty()).then_some(host)
    }

    /// What an application is told in HTTP_HOST, unless the administrator says otherwise.
    pub(crate) fn told_host(&self) -> Option<&[u8]> {
        // SAFETY: NULL or a header in the request's list.
        let header = unsafe { field!(self, headers_in.host).as_ref() };
        self.target_host().or_else(|| header.map(|header| self.bytes(header.value)))
    }

    /// The port of the client. `$remote_port` may be older than the address: realip changes both in a location.
    pub(crate) fn remote_port(self) -> u16 {
        // SAFETY: the address of a live connection.
        unsafe { port(field!(self.connection(), sockaddr).cast()) }
    }

    /// The port of the listening socket.
    pub(crate) fn server_port(self) -> u16 {
        // SAFETY: the connection is live; a local address is an initialised sockaddr of its family.
        unsafe {
            let connection = self.connection().raw();
            if ngx_connection_local_sockaddr(connection, ptr::null_mut(), 0) != 0 {
                return 0;
            }
            port((*connection).local_sockaddr.cast())
        }
    }
}

/// # Safety
/// `address` is NULL or an initialised sockaddr of its family.
unsafe fn port(address: *const libc::sockaddr) -> u16 {
    // SAFETY: an initialised sockaddr of a family has the fields that are read for that family.
    unsafe {
        match address.as_ref().map_or(libc::AF_UNSPEC, |address| i32::from(address.sa_family)) {
            libc::AF_INET => u16::from_be((*address.cast::<libc::sockaddr_in>()).sin_port),
            libc::AF_INET6 => u16::from_be((*address.cast::<libc::sockaddr_in6>()).sin6_port),
            _ => 0,
        }
    }
}
