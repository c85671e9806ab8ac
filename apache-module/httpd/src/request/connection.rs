// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who asks, and over what: the client's connection, and the server as the client sees it.

use std::{
    ffi::{CStr, c_char, c_int},
    os::fd::RawFd,
    ptr,
    sync::OnceLock,
};

use super::Request;
use crate::{module::Module, sys, text};

impl<'r, M: Module> Request<'r, M> {
    /// The user whom httpd has authenticated, and how.
    #[must_use]
    pub fn user(self) -> (&'r [u8], &'r [u8]) {
        (string!(self, user), string!(self, ap_auth_type))
    }

    /// The server's name in its own URLs.
    #[must_use]
    pub fn server_name(self) -> &'r [u8] {
        // SAFETY: `from_raw` promises a live request; the answer is a C string that lives as long.
        unsafe { text(sys::ap_get_server_name_for_url(self.as_ptr())) }
    }

    /// The server's port in its own URLs.
    #[must_use]
    pub fn server_port(self) -> u16 {
        // SAFETY: `from_raw` promises a live request.
        unsafe { sys::ap_get_server_port(self.as_ptr()) }
    }

    /// The address that the client has connected to.
    #[must_use]
    pub fn server_addr(self) -> &'r [u8] {
        // SAFETY: httpd keeps a connection for longer than its requests, with its addresses.
        unsafe { text((*self.connection()).local_ip) }
    }

    /// The port that the client has connected to; 0 when httpd does not know it.
    #[must_use]
    pub fn local_port(self) -> u16 {
        // SAFETY: httpd keeps a connection for longer than its requests, with its addresses.
        unsafe { (*self.connection()).local_addr.as_ref() }.map_or(0, |address| address.port)
    }

    /// What mod_ssl says of the connection under one of its names; empty without it.
    #[must_use]
    pub fn tls_fact(self, name: &CStr) -> &'r [u8] {
        static FUNCTION: OnceLock<Option<LookUp>> = OnceLock::new();
        let function = FUNCTION.get_or_init(|| {
            // SAFETY: asked for while requests are served, when the table of such functions is complete. A function
            // of this name has this type: mod_ssl.h.
            unsafe {
                let found = sys::apr_dynamic_fn_retrieve(c"ssl_var_lookup".as_ptr());
                std::mem::transmute::<sys::apr_opt_fn_t, Option<LookUp>>(found)
            }
        });
        let (raw, pool, name) = (self.as_ptr(), self.pool(), self.pool().keep(name.to_bytes()));
        // SAFETY: `from_raw` promises a live request with its server and connection; the answer is NULL or a C string in the pool.
        function.map_or(&[], |look_up| unsafe {
            text(look_up(pool.as_ptr(), (*raw).server, self.connection(), raw, name))
        })
    }

    /// What the server says of itself.
    #[must_use]
    pub fn server_software(self) -> &'r [u8] {
        // SAFETY: a C string in the pool of the configuration, which httpd frees when no request is served any more.
        unsafe { text(sys::ap_get_server_banner()) }
    }

    /// The client's address.
    #[must_use]
    pub fn remote_addr(self) -> &'r [u8] {
        string!(self, useragent_ip)
    }

    /// The name of the client, when HostnameLookups is on.
    #[must_use]
    pub fn remote_host(self) -> &'r [u8] {
        // SAFETY: `from_raw` promises a live request; the answer is NULL or a C string that lives as long.
        unsafe { text(sys::ap_get_useragent_host(self.as_ptr(), sys::REMOTE_HOST as c_int, ptr::null_mut())) }
    }

    /// The client's port; 0 when httpd does not know it.
    #[must_use]
    pub fn remote_port(self) -> u16 {
        let address = field!(self, useragent_addr);
        // SAFETY: httpd keeps NULL or an address here, in the pool of the request or of its connection.
        unsafe { address.as_ref() }.map_or(0, |address| address.port)
    }

    /// Whether the client speaks TLS, to this server or, by its ServerName, to one before it.
    #[must_use]
    pub fn is_https(self) -> bool {
        // SAFETY: `from_raw` promises a live request; the answer is a C string of httpd's or of a module's own.
        let scheme = unsafe { text(sys::ap_run_http_scheme(self.as_ptr())) };
        // SAFETY: httpd keeps the connection for longer than the request, and this is its thread.
        scheme == b"https" || unsafe { is_tls(self.connection()) }
    }

    /// How long the client may be silent, in microseconds: Timeout.
    #[must_use]
    pub fn server_timeout(self) -> sys::apr_interval_time_t {
        // SAFETY: `from_raw` promises a live request, and httpd keeps its server for longer.
        unsafe { (*(*self.as_ptr()).server).timeout }
    }

    /// Whether the client's protocol has interim responses.
    #[must_use]
    pub fn has_interim_responses(self) -> bool {
        // HTTP/1.1.
        field!(self, proto_num) >= 1001
    }

    /// Whether httpd has given up the connection, or the stream of HTTP/2.
    #[must_use]
    pub fn is_aborted(self) -> bool {
        // SAFETY: httpd keeps the connection for longer than the request. The thread of the connection marks its streams, so the value is
        // read anew.
        unsafe { (&raw const (*self.connection()).aborted).read_volatile() != 0 }
    }

    /// Tells httpd that nobody waits for an answer.
    pub fn set_aborted(self) {
        // SAFETY: httpd keeps the connection for longer than the request.
        unsafe { (*self.connection()).aborted = 1 }
    }

    /// Lets the connection end with this request.
    pub fn close_connection(self) {
        // SAFETY: httpd keeps the connection for longer than the request.
        unsafe { (*self.connection()).keepalive = sys::AP_CONN_CLOSE }
    }

    /// Whether no answer can reach the client any more. Never blocks.
    #[must_use]
    pub fn is_lost(self) -> bool {
        self.is_aborted() || self.socket().is_some_and(Socket::is_reset)
    }

    /// Whether the request is a stream of a connection that it shares, as with HTTP/2.
    #[must_use]
    pub fn is_stream(self) -> bool {
        // SAFETY: httpd keeps the connection for longer than the request.
        unsafe { !(*self.connection()).master.is_null() }
    }

    /// The client's socket, if the connection is the request's alone.
    #[must_use]
    pub fn socket(self) -> Option<Socket> {
        if self.is_stream() {
            return None;
        }
        // SAFETY: httpd keeps the connection for longer than the request; one without a master has a socket for as long as it lives.
        unsafe {
            let socket = sys::ap_get_conn_socket(self.connection());
            let mut fd: RawFd = -1;
            let found = !socket.is_null() && sys::apr_os_sock_get(&raw mut fd, socket) == 0 && fd >= 0;
            found.then_some(Socket(fd))
        }
    }
}

type LookUp = unsafe extern "C" fn(
    *mut sys::apr_pool_t,
    *mut sys::server_rec,
    *mut sys::conn_rec,
    *mut sys::request_rec,
    *mut c_char,
) -> *mut c_char;
type IsHttps = unsafe extern "C" fn(*mut sys::conn_rec) -> c_int;

/// mod_ssl's answer, if it is loaded.
///
/// # Safety
/// The connection is live, and this is the thread of one of its requests.
unsafe fn is_tls(connection: *mut sys::conn_rec) -> bool {
    static FUNCTION: OnceLock<Option<IsHttps>> = OnceLock::new();
    let function = FUNCTION.get_or_init(|| {
        // SAFETY: asked for while requests are served, when the table of such functions is complete. A function
        // of this name has this type: mod_ssl.h.
        unsafe {
            let found = sys::apr_dynamic_fn_retrieve(c"ssl_is_https".as_ptr());
            std::mem::transmute::<sys::apr_opt_fn_t, Option<IsHttps>>(found)
        }
    });
    // SAFETY: mod_ssl wants a live connection, which the contract of this function asks for.
    function.is_some_and(|is_https| unsafe { is_https(connection) } != 0)
}

/// The number of a client's socket, to be looked at only.
#[derive(Clone, Copy, Debug)]
pub struct Socket(RawFd);

impl Socket {
    /// The number.
    #[must_use]
    pub fn descriptor(self) -> RawFd {
        self.0
    }

    /// Whether the kernel keeps what does not fill a packet: TCP_CORK. Answers whether it does now; other kinds of sockets
    /// have no such thing.
    pub fn cork(self, on: bool) -> bool {
        self.set_option(libc::IPPROTO_TCP, libc::TCP_CORK, &c_int::from(on)) && on
    }

    /// Whether the client has acknowledged all that was sent: there is room for more.
    #[must_use]
    pub fn is_drained(self) -> bool {
        let mut left: c_int = 0;
        // SAFETY: SIOCOUTQ, which is TIOCOUTQ, writes one int.
        unsafe { libc::ioctl(self.0, libc::TIOCOUTQ, &raw mut left) == 0 && left == 0 }
    }

    /// How much the kernel takes before the client has acknowledged any of it: more than a half of this many bytes. 0 where it is not known.
    #[must_use]
    pub fn send_buffer(self) -> usize {
        let mut size: c_int = 0;
        let mut length = size_of::<c_int>() as libc::socklen_t;
        // SAFETY: SO_SNDBUF writes one int, for which there is room.
        let status = unsafe {
            libc::getsockopt(
                self.0,
                libc::SOL_SOCKET,
                libc::SO_SNDBUF,
                (&raw mut size).cast(),
                &raw mut length,
            )
        };
        if status == 0 { usize::try_from(size).unwrap_or_default() } else { 0 }
    }

    /// Whether the client has closed its side, also while bytes of it wait to be read. Never blocks. A number
    /// that is no longer this client's gives a wrong answer and does no harm.
    #[must_use]
    pub fn is_closed(self) -> bool {
        // A process that is told to end at once closes the sockets of its threads.
        self.shows(libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR | libc::POLLNVAL)
    }

    /// Whether the connection has been reset: unlike a client that only sends no more, nobody reads an answer.
    fn is_reset(self) -> bool {
        self.shows(libc::POLLHUP | libc::POLLERR)
    }

    fn shows(self, events: libc::c_short) -> bool {
        let mut poll = libc::pollfd { fd: self.0, events: libc::POLLRDHUP, revents: 0 };
        // SAFETY: poll(2) reads and writes the one entry that it is given, which is ours.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
        ready > 0 && poll.revents & events != 0
    }

    /// Makes the end of the connection a reset, which no client takes for the end of a response. Answers whether it will be one.
    pub(super) fn reset_on_close(self) -> bool {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        self.set_option(libc::SOL_SOCKET, libc::SO_LINGER, &linger)
    }

    fn set_option<T: Copy>(self, level: c_int, name: c_int, value: &T) -> bool {
        let length = size_of::<T>() as libc::socklen_t;
        // SAFETY: setsockopt(2) reads as many bytes as `value` has.
        unsafe { libc::setsockopt(self.0, level, name, (&raw const *value).cast(), length) == 0 }
    }
}
