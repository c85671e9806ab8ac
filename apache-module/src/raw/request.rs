// SPDX-License-Identifier: MIT OR Apache-2.0
//! What httpd knows of a request.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    marker::PhantomData,
    os::fd::RawFd,
    ptr::{self, NonNull},
    slice,
};

use gangway::log::Level;
use gangway_httpd::module::{core_conf, place_of};

use super::{
    conf::DirConf,
    index::module_index,
    server::{self, LOG},
    sys::{self, request_rec},
    text,
};

/// The name of our handler.
const HANDLER: &CStr = c"gangway-wsgi";
/// The file name of a request that we claimed: no file has it, no module finds a suffix in it.
const FILENAME: &CStr = c"gangway:";

/// A request, during the call of httpd that brought it.
#[derive(Clone, Copy)]
pub(crate) struct Request<'r> {
    raw: NonNull<request_rec>,
    life: PhantomData<&'r ()>,
}

/// What the request says about its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyLength {
    /// Known; 0 is also no body.
    Known(u64),
    /// Known at its end.
    Chunked,
    /// Not a number.
    Invalid,
}

impl BodyLength {
    /// The length, if it is known before the end.
    pub(crate) fn known(self) -> Option<u64> {
        match self {
            Self::Known(length) => Some(length),
            Self::Chunked | Self::Invalid => None,
        }
    }
}

/// Reads a member of the request.
macro_rules! field {
    ($request:expr, $($name:ident).+) => {
        // SAFETY: the request is live for 'r, and httpd changes it on this thread only.
        unsafe { (*$request.raw.as_ptr())$(.$name)+ }
    };
}

/// Reads a C string of the request; NULL is empty.
macro_rules! string {
    ($request:expr, $($name:ident).+) => {
        // SAFETY: NULL or a C string in the request's pool, which httpd replaces but does not change.
        unsafe { text((*$request.raw.as_ptr())$(.$name)+) }
    };
}

impl<'r> Request<'r> {
    /// Wraps a request.
    ///
    /// # Safety
    /// `raw` is NULL or a request that lives for `'r` and that no other thread uses.
    pub(crate) unsafe fn from_raw(raw: *mut request_rec) -> Option<Self> {
        NonNull::new(raw).map(|raw| Self { raw, life: PhantomData })
    }

    pub(super) fn as_ptr(self) -> *mut request_rec {
        self.raw.as_ptr()
    }

    pub(super) fn connection(self) -> *mut sys::conn_rec {
        field!(self, connection)
    }

    /// The request that this one was made from, by a redirect or as a subrequest. What a script's local redirect led to is as a
    /// client's own request.
    fn origin(self) -> Self {
        let (previous, main) = (field!(self, prev), field!(self, main));
        // SAFETY: both live longer than the requests made from them.
        let from = unsafe { Self::from_raw(if previous.is_null() { main } else { previous }) };
        from.filter(|from| !from.is_redirected_locally()).map_or(self, Self::origin)
    }

    /// The path and the query of the request that was redirected here.
    pub(crate) fn redirected_from(self) -> Option<(&'r [u8], &'r [u8])> {
        let previous = field!(self, prev);
        // SAFETY: NULL or a request that lives longer than those that a redirect made from it.
        let previous = unsafe { Self::from_raw(previous) }?;
        Some((previous.uri(), previous.query()))
    }

    /// The configuration that applies to it now.
    pub(crate) fn conf(self) -> Option<DirConf> {
        // SAFETY: httpd keeps one configuration per module, ours made by `create` or `merge`.
        unsafe { self.module_conf(module_index()).cast::<DirConf>().as_ref().copied() }
    }

    fn module_conf(self, index: c_int) -> *mut c_void {
        let vector = field!(self, per_dir_config);
        // SAFETY: a live request's list.
        unsafe { place_of(vector, index).read() }
    }

    fn core_conf(self) -> Option<&'r sys::core_dir_config> {
        let vector = field!(self, per_dir_config);
        // SAFETY: a live request's list, which httpd does not change while it serves the request.
        unsafe { core_conf(vector) }
    }

    /// Whether SetHandler decides what serves the request.
    pub(crate) fn has_set_handler(self) -> bool {
        self.core_conf().is_some_and(|conf| !conf.handler.is_null() || !conf.expr_handler.is_null())
    }

    /// Whether CGIPassAuth is on.
    pub(crate) fn passes_authorization(self) -> bool {
        self.core_conf().is_some_and(|conf| conf.cgi_pass_auth() == sys::AP_CGI_PASS_AUTH_ON)
    }

    pub(super) fn may_sendfile(self) -> bool {
        self.core_conf().is_some_and(|conf| conf.enable_sendfile() == sys::ENABLE_SENDFILE_ON)
    }

    /// Whether it is for a proxy, or for no path at all.
    pub(crate) fn is_foreign(self) -> bool {
        field!(self, proxyreq) != 0 || !self.uri().starts_with(b"/")
    }

    /// Whether a module has given it another path since httpd looked for the sections that apply.
    pub(crate) fn is_rewritten(self) -> bool {
        field!(self, uri) != field!(self, parsed_uri.path)
    }

    /// Looks for the sections that apply to the path as it is now. Answers a status.
    pub(crate) fn walk_locations(self) -> c_int {
        // SAFETY: the server of a request outlives it. As before map_to_storage, the walk begins with the
        // server's own configuration.
        unsafe {
            let request = self.raw.as_ptr();
            (*request).per_dir_config = (*(*request).server).lookup_defaults;
            sys::ap_location_walk(request)
        }
    }

    /// Makes it ours, with a file name that keeps everybody from looking for files.
    pub(crate) fn claim(self) {
        self.set_handler();
        // SAFETY: httpd reads the name and replaces it, but does not write to it.
        unsafe { (*self.raw.as_ptr()).filename = FILENAME.as_ptr().cast_mut() }
    }

    /// Makes our handler serve it.
    pub(crate) fn set_handler(self) {
        // SAFETY: the name lives for the process.
        unsafe { (*self.raw.as_ptr()).handler = HANDLER.as_ptr() }
    }

    /// Whether `claim` made it ours.
    pub(crate) fn is_claimed(self) -> bool {
        ptr::eq(field!(self, filename), FILENAME.as_ptr()) && self.is_ours()
    }

    /// Whether our handler is to serve it.
    pub(crate) fn is_ours(self) -> bool {
        let handler = field!(self, handler);
        ptr::eq(handler, HANDLER.as_ptr()) || string!(self, handler) == HANDLER.to_bytes()
    }

    /// Whether it is a part of another request.
    pub(crate) fn is_subrequest(self) -> bool {
        !field!(self, main).is_null()
    }

    /// Whether only the head of the answer is wanted.
    pub(crate) fn is_head(self) -> bool {
        field!(self, header_only) != 0
    }

    pub(crate) fn method(self) -> &'r [u8] {
        string!(self, method)
    }

    /// The decoded path.
    pub(crate) fn uri(self) -> &'r [u8] {
        string!(self, uri)
    }

    /// The target as the client sent it, also after redirects.
    pub(crate) fn original_target(self) -> &'r [u8] {
        string!(self.origin(), unparsed_uri)
    }

    pub(crate) fn filename(self) -> &'r [u8] {
        string!(self, filename)
    }

    pub(crate) fn path_info(self) -> &'r [u8] {
        string!(self, path_info)
    }

    pub(crate) fn query(self) -> &'r [u8] {
        string!(self, args)
    }

    pub(crate) fn protocol(self) -> &'r [u8] {
        string!(self, protocol)
    }

    /// The user whom httpd has authenticated, and how.
    pub(crate) fn user(self) -> (&'r [u8], &'r [u8]) {
        (string!(self, user), string!(self, ap_auth_type))
    }

    pub(crate) fn server_name(self) -> &'r [u8] {
        // SAFETY: a live request; the answer is a C string that lives as long.
        unsafe { text(sys::ap_get_server_name_for_url(self.raw.as_ptr())) }
    }

    pub(crate) fn server_port(self) -> u16 {
        // SAFETY: a live request.
        unsafe { sys::ap_get_server_port(self.raw.as_ptr()) }
    }

    pub(crate) fn server_addr(self) -> &'r [u8] {
        // SAFETY: a connection lives longer than its requests, with its addresses.
        unsafe { text((*self.connection()).local_ip) }
    }

    pub(crate) fn server_software(self) -> &'static [u8] {
        // SAFETY: a C string that lives as long as the configuration, which outlives the process' requests.
        unsafe { text(sys::ap_get_server_banner()) }
    }

    pub(crate) fn document_root(self) -> &'r [u8] {
        // SAFETY: a live request; the answer is a C string that lives as long.
        unsafe { text(sys::ap_document_root(self.raw.as_ptr())) }
    }

    pub(crate) fn remote_addr(self) -> &'r [u8] {
        string!(self, useragent_ip)
    }

    /// The name of the client, when HostnameLookups is on.
    pub(crate) fn remote_host(self) -> &'r [u8] {
        // SAFETY: a live request; the answer is NULL or a C string that lives as long.
        unsafe {
            text(sys::ap_get_useragent_host(self.raw.as_ptr(), sys::REMOTE_HOST as c_int, ptr::null_mut()))
        }
    }

    /// The client's port; 0 when httpd does not know it.
    pub(crate) fn remote_port(self) -> u16 {
        let address = field!(self, useragent_addr);
        // SAFETY: NULL or an address in the pool of the request or of the connection.
        unsafe { address.as_ref() }.map_or(0, |address| address.port)
    }

    /// Whether the client speaks TLS, to this server or, by its ServerName, to one before it.
    pub(crate) fn is_https(self) -> bool {
        // SAFETY: a live request; the answer is a C string.
        let scheme = unsafe { text(sys::ap_run_http_scheme(self.raw.as_ptr())) };
        scheme == b"https" || server::is_tls(self.connection())
    }

    /// The largest body, 0 for any.
    pub(crate) fn body_limit(self) -> u64 {
        // SAFETY: a live request.
        u64::try_from(unsafe { sys::ap_get_limit_req_body(self.raw.as_ptr()) }).unwrap_or(0)
    }

    /// Whether the client sends the body only when it is asked to go on.
    pub(crate) fn expects_continue(self) -> bool {
        field!(self, expecting_100) != 0
    }

    pub(crate) fn body_length(self) -> BodyLength {
        if self.header(c"Transfer-Encoding").is_some() {
            return BodyLength::Chunked;
        }
        let Some(length) = self.header(c"Content-Length") else { return BodyLength::Known(0) };
        let digits = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(length).ok().filter(|_| digits).and_then(|text| text.parse().ok());
        number.map_or(BodyLength::Invalid, BodyLength::Known)
    }

    /// A request header.
    pub(crate) fn header(self, name: &CStr) -> Option<&'r [u8]> {
        let table = field!(self, headers_in);
        // SAFETY: the table and its strings live as long as the request.
        let value = unsafe { sys::apr_table_get(table, name.as_ptr()) };
        // SAFETY: as above.
        (!value.is_null()).then(|| unsafe { text(value) })
    }

    /// What Host has to say where it does not.
    pub(crate) fn corrected_host(self) -> Option<Vec<u8>> {
        // SAFETY: a live request on its own thread.
        unsafe { gangway_httpd::host::corrected(self.as_ptr()) }
    }

    /// The request headers in order.
    pub(crate) fn headers(self) -> impl Iterator<Item = (&'r [u8], &'r [u8])> {
        let table = field!(self, headers_in);
        // SAFETY: the table lives as long as the request and does not change while it is read.
        unsafe { entries(table) }
    }

    /// The variables that SetEnv and modules have set.
    pub(crate) fn environment(self) -> impl Iterator<Item = (&'r [u8], &'r [u8])> {
        let table = field!(self, subprocess_env);
        // SAFETY: as for the headers.
        unsafe { entries(table) }
    }

    /// The value of an expression.
    ///
    /// # Safety
    /// `expr` was parsed into a pool that lives as long as the request.
    pub(super) unsafe fn evaluate(self, expr: *mut sys::ap_expr_info_t) -> Result<&'r [u8], &'r [u8]> {
        let mut error: *const c_char = ptr::null();
        // SAFETY: the caller vouches for the expression; the answers are C strings in the request's pool.
        unsafe {
            let value = sys::ap_expr_str_exec(self.raw.as_ptr(), expr, &raw mut error);
            if error.is_null() { Ok(text(value)) } else { Err(text(error)) }
        }
    }

    /// Writes a line with the request's context.
    pub(crate) fn log(self, level: Level, line: &str) {
        // SAFETY: a live request on its own thread.
        unsafe { LOG.request(self.raw.as_ptr(), level, line) }
    }

    /// Whether httpd has given up the connection, or the stream of HTTP/2.
    pub(crate) fn is_aborted(self) -> bool {
        // SAFETY: a live connection. The thread of the connection marks its streams, so the value is read anew.
        unsafe { (&raw const (*self.connection()).aborted).read_volatile() != 0 }
    }

    /// Whether no answer can reach the client any more. Never blocks.
    pub(crate) fn is_lost(self) -> bool {
        self.is_aborted() || self.socket().is_some_and(Socket::is_reset)
    }

    /// Whether the request is a stream of a connection that it shares, as with HTTP/2.
    pub(crate) fn is_stream(self) -> bool {
        // SAFETY: a live request has a live connection.
        unsafe { !(*self.connection()).master.is_null() }
    }

    /// The client's socket, if the connection is the request's alone.
    pub(crate) fn socket(self) -> Option<Socket> {
        // SAFETY: a live connection; a connection without a master has a socket for as long as it lives.
        unsafe {
            if !(*self.connection()).master.is_null() {
                return None;
            }
            let socket = sys::ap_get_conn_socket(self.connection());
            let mut fd: RawFd = -1;
            let found = !socket.is_null() && sys::apr_os_sock_get(&raw mut fd, socket) == 0 && fd >= 0;
            found.then_some(Socket(fd))
        }
    }
}

/// The number of a client's socket, to be looked at only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Socket(RawFd);

impl Socket {
    /// Whether the kernel keeps what does not fill a packet: TCP_CORK. Answers whether it does now; other kinds of sockets
    /// have no such thing.
    pub(crate) fn cork(self, on: bool) -> bool {
        let value = c_int::from(on);
        let length = size_of::<c_int>() as libc::socklen_t;
        // SAFETY: setsockopt(2) reads one number of this size; the descriptor is open for as long as the response is sent.
        let status = unsafe {
            libc::setsockopt(self.0, libc::IPPROTO_TCP, libc::TCP_CORK, (&raw const value).cast(), length)
        };
        on && status == 0
    }

    /// The number.
    pub(crate) fn descriptor(self) -> RawFd {
        self.0
    }

    /// Whether the client has closed its side, also while bytes of it wait to be read. Never blocks. A number
    /// that is no longer this client's gives a wrong answer and does no harm.
    pub(crate) fn is_closed(self) -> bool {
        // A process that is told to end at once closes the sockets of its threads.
        self.shows(libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR | libc::POLLNVAL)
    }

    /// Whether the connection has been reset: unlike a client that only sends no more, nobody reads an answer.
    fn is_reset(self) -> bool {
        self.shows(libc::POLLHUP | libc::POLLERR)
    }

    fn shows(self, events: libc::c_short) -> bool {
        let mut poll = libc::pollfd { fd: self.0, events: libc::POLLRDHUP, revents: 0 };
        // SAFETY: one pollfd is readable and writable.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
        ready > 0 && poll.revents & events != 0
    }

    /// Makes the end of the connection a reset, which no client takes for the end of a response.
    pub(super) fn reset_on_close(self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        // SAFETY: one option structure is readable. Without effect the connection closes in the usual way.
        let _ = unsafe {
            let size = size_of::<libc::linger>() as libc::socklen_t;
            libc::setsockopt(self.0, libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size)
        };
    }
}

/// The entries of a table.
///
/// # Safety
/// `table` lives for `'a` and does not change while the entries are read.
unsafe fn entries<'a>(table: *const sys::apr_table_t) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    // SAFETY: the caller vouches for the table; APR: an array of entries of this type.
    let entries = unsafe {
        let array = &*sys::apr_table_elts(table);
        let count = usize::try_from(array.nelts).unwrap_or(0);
        if count == 0 {
            &[][..]
        } else {
            slice::from_raw_parts(array.elts.cast::<sys::apr_table_entry_t>(), count)
        }
    };
    // SAFETY: names and values are C strings that live as long as the table.
    entries
        .iter()
        .filter(|entry| !entry.key.is_null())
        .map(|entry| unsafe { (text(entry.key), text(entry.val)) })
}
