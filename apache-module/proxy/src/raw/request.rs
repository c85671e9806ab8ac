// SPDX-License-Identifier: MIT OR Apache-2.0
//! What httpd knows of a request.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    marker::PhantomData,
    os::fd::RawFd,
    ptr::NonNull,
};

use gangway::log::Level;
use gangway_httpd::module::{core_conf, place_of};

use super::{
    conf::DirConf,
    index::module_index,
    server::LOG,
    sys::{self, request_rec},
    text,
};

/// A request, during the call of httpd that brought it.
#[derive(Clone, Copy)]
pub(crate) struct Request<'r> {
    raw: NonNull<request_rec>,
    life: PhantomData<&'r ()>,
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

    pub(super) fn pool(self) -> *mut sys::apr_pool_t {
        field!(self, pool)
    }

    pub(super) fn connection(self) -> *mut sys::conn_rec {
        field!(self, connection)
    }

    pub(super) fn bucket_list(self) -> *mut sys::apr_bucket_alloc_t {
        // SAFETY: a live request has a live connection.
        unsafe { (*self.connection()).bucket_alloc }
    }

    /// The configuration that applies to it now.
    pub(crate) fn conf(self) -> Option<&'r DirConf> {
        // SAFETY: httpd keeps one configuration per module, ours made by `create` or `merge`.
        unsafe { self.module_conf(module_index()).cast::<DirConf>().as_ref() }
    }

    fn module_conf(self, index: c_int) -> *mut c_void {
        let vector = field!(self, per_dir_config);
        // SAFETY: a live request's list.
        unsafe { place_of(vector, index).read() }
    }

    pub(super) fn core_conf(self) -> Option<&'r sys::core_dir_config> {
        let vector = field!(self, per_dir_config);
        // SAFETY: a live request's list, which httpd does not change while it serves the request.
        unsafe { core_conf(vector) }
    }

    pub(super) fn proxy_conf(self) -> *mut sys::proxy_dir_conf {
        // SAFETY: mod_proxy numbers itself when it is loaded; its configuration has this type.
        unsafe { self.module_conf((&raw const sys::proxy_module.module_index).read()).cast() }
    }

    /// A place of ours in the request that lives as long, NULL at first.
    pub(super) fn place(self) -> *mut *mut c_void {
        let vector = field!(self, request_config);
        // SAFETY: a live request's list.
        unsafe { place_of(vector, module_index()) }
    }

    /// Whether it is a part of another request.
    pub(crate) fn is_subrequest(self) -> bool {
        !field!(self, main).is_null()
    }

    /// Whether it is what the client asked for, not a redirect or a part of another request.
    pub(crate) fn is_initial(self) -> bool {
        field!(self, main).is_null() && field!(self, prev).is_null()
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

    pub(crate) fn filename(self) -> &'r [u8] {
        string!(self, filename)
    }

    pub(crate) fn path_info(self) -> &'r [u8] {
        string!(self, path_info)
    }

    pub(crate) fn handler(self) -> &'r [u8] {
        string!(self, handler)
    }

    /// Whether httpd has found a regular file for it.
    pub(crate) fn is_file(self) -> bool {
        field!(self, finfo.filetype) == sys::APR_REG
    }

    /// Whether a module has given it another path since httpd looked for the sections that apply.
    pub(crate) fn is_rewritten(self) -> bool {
        field!(self, uri) != field!(self, parsed_uri.path)
    }

    /// Whether SetHandler decides what serves the request.
    pub(crate) fn has_set_handler(self) -> bool {
        self.core_conf().is_some_and(|conf| !conf.handler.is_null() || !conf.expr_handler.is_null())
    }

    /// Whether mod_proxy has it already.
    pub(crate) fn is_proxied(self) -> bool {
        field!(self, proxyreq) != 0
    }

    pub(super) fn proxy_kind(self) -> c_int {
        field!(self, proxyreq)
    }

    /// A request header.
    pub(crate) fn header(self, name: &CStr) -> Option<&'r [u8]> {
        self.table(field!(self, headers_in), name)
    }

    /// What Host has to say where it does not.
    pub(crate) fn corrected_host(self) -> Option<Vec<u8>> {
        // SAFETY: a live request on its own thread.
        unsafe { gangway_httpd::host::corrected(self.as_ptr()) }
    }

    /// A variable that SetEnv or a module has set.
    pub(crate) fn variable(self, name: &CStr) -> Option<&'r [u8]> {
        self.table(field!(self, subprocess_env), name)
    }

    /// What modules tell each other about the request.
    pub(crate) fn note(self, name: &CStr) -> Option<&'r [u8]> {
        self.table(field!(self, notes), name)
    }

    pub(super) fn table(self, table: *mut sys::apr_table_t, name: &CStr) -> Option<&'r [u8]> {
        // SAFETY: the table and its strings live as long as the request.
        let value = unsafe { sys::apr_table_get(table, name.as_ptr()) };
        // SAFETY: as above.
        (!value.is_null()).then(|| unsafe { text(value) })
    }

    /// The variables as they are now, in order.
    pub(crate) fn variables(self) -> impl Iterator<Item = (&'r [u8], &'r [u8])> {
        let table = field!(self, subprocess_env);
        // SAFETY: the table lives as long as the request and does not change while it is read; keys and values are
        // C strings, or NULL for what was taken out.
        unsafe {
            let array = sys::apr_table_elts(table);
            let (first, count) = ((*array).elts.cast::<sys::apr_table_entry_t>(), (*array).nelts);
            let count = usize::try_from(count).unwrap_or(0);
            let entries: &'r [_] = if count == 0 { &[] } else { std::slice::from_raw_parts(first, count) };
            entries
                .iter()
                .filter(|entry| !entry.key.is_null())
                .map(|entry| (text(entry.key), text(entry.val)))
        }
    }

    /// Sets a variable.
    pub(crate) fn set_variable(self, name: &'static CStr, value: &[u8]) {
        let (table, value) = (field!(self, subprocess_env), self.keep(value));
        // SAFETY: a live table; the name lives for the process, the value as long as the request.
        unsafe { sys::apr_table_setn(table, name.as_ptr(), value) }
    }

    pub(crate) fn set_path_info(self, value: &[u8]) {
        // SAFETY: a live request.
        unsafe { (*self.as_ptr()).path_info = self.keep(value) }
    }

    /// Tells mod_proxy the unix socket of the backend.
    pub(crate) fn set_socket_path(self, path: &[u8]) {
        let notes = field!(self, notes);
        // SAFETY: a live table; the path is in the request's pool.
        unsafe { sys::apr_table_setn(notes, c"uds_path".as_ptr(), self.keep(path)) }
    }

    /// Makes mod_proxy serve it, at this URL.
    pub(crate) fn set_proxied(self, origin: &[u8], path: &[u8]) {
        let filename = self.join(&[b"proxy:", origin, path]);
        // SAFETY: a live request; the handler's name lives for the process.
        unsafe {
            (*self.as_ptr()).filename = filename;
            (*self.as_ptr()).proxyreq = sys::PROXYREQ_REVERSE as c_int;
            (*self.as_ptr()).handler = c"proxy-server".as_ptr();
        }
    }

    /// Makes mod_proxy serve it, with the path of its file behind this URL: `SetHandler "proxy:URL"`.
    pub(crate) fn set_handler(self, url: &[u8]) {
        // SAFETY: a live request.
        unsafe { (*self.as_ptr()).handler = self.keep(&[b"proxy:", url].concat()) }
    }

    /// A C string in the request's pool, up to the first NUL.
    pub(super) fn keep(self, bytes: &[u8]) -> *mut c_char {
        // SAFETY: a live pool and readable bytes; APR aborts without memory.
        unsafe { sys::apr_pstrmemdup(self.pool(), bytes.as_ptr().cast(), bytes.len()) }
    }

    /// A C string of several parts in the request's pool.
    pub(super) fn join(self, parts: &[&[u8]]) -> *mut c_char {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        // SAFETY: a live pool, which gives as many bytes as the parts and the NUL behind them have, or aborts; nobody else has them yet.
        unsafe {
            let text = sys::apr_palloc(self.pool(), length + 1).cast::<u8>();
            let mut at = text;
            for part in parts {
                at.copy_from_nonoverlapping(part.as_ptr(), part.len());
                at = at.add(part.len());
            }
            at.write(0);
            text.cast()
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

    /// Tells httpd that nobody waits for an answer.
    pub(crate) fn set_aborted(self) {
        // SAFETY: a live connection.
        unsafe { (*self.connection()).aborted = 1 }
    }

    /// Whether the request is a stream of a connection that it shares, as with HTTP/2.
    pub(crate) fn is_stream(self) -> bool {
        // SAFETY: a live request has a live connection.
        unsafe { !(*self.connection()).master.is_null() }
    }

    /// The client's socket, if the connection is the request's alone; only to be looked at.
    pub(crate) fn client(self) -> Option<RawFd> {
        if self.is_stream() {
            return None;
        }
        // SAFETY: a live connection; one without a master has a socket for as long as it lives.
        unsafe {
            let socket = sys::ap_get_conn_socket(self.connection());
            let mut fd: RawFd = -1;
            let found = !socket.is_null() && sys::apr_os_sock_get(&raw mut fd, socket) == 0 && fd >= 0;
            found.then_some(fd)
        }
    }

    /// Whether the request has a body, as httpd sees it.
    pub(crate) fn has_body(self) -> bool {
        // SAFETY: a live request.
        unsafe { sys::ap_request_has_body(self.as_ptr()) != 0 }
    }
}
