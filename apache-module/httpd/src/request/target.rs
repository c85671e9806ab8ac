// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is asked for, and what serves it.

use std::{
    ffi::{CStr, c_char, c_int},
    ptr::{self, NonNull},
};

use super::{Request, redirect::LOCAL_REDIRECT};
use crate::{module::Module, sys, text};

impl<'r, M: Module> Request<'r, M> {
    /// The method.
    #[must_use]
    pub fn method(self) -> &'r [u8] {
        string!(self, method)
    }

    /// Whether the request only reads: GET or HEAD, which have one number.
    #[must_use]
    pub fn is_get(self) -> bool {
        field!(self, method_number) == sys::M_GET as c_int
    }

    /// Whether only the head of the answer is wanted.
    #[must_use]
    pub fn is_head(self) -> bool {
        field!(self, header_only) != 0
    }

    /// The protocol and its version.
    #[must_use]
    pub fn protocol(self) -> &'r [u8] {
        string!(self, protocol)
    }

    /// The id that the lines of this request have in a log, if one of them has needed it.
    #[must_use]
    pub fn log_id(self) -> Option<&'r [u8]> {
        let id = field!(self, log_id);
        // SAFETY: a C string in the request's pool.
        (!id.is_null()).then(|| unsafe { text(id) })
    }

    /// The decoded path.
    #[must_use]
    pub fn uri(self) -> &'r [u8] {
        string!(self, uri)
    }

    /// The query, without its question mark.
    #[must_use]
    pub fn query(self) -> &'r [u8] {
        string!(self, args)
    }

    /// The target as the client sent it, also after redirects.
    #[must_use]
    pub fn original_target(self) -> &'r [u8] {
        string!(self.origin(), unparsed_uri)
    }

    /// The request that this one was made from, by a redirect or as a subrequest. What a script's local redirect led to is as a
    /// client's own request.
    fn origin(self) -> Self {
        let (previous, main) = (field!(self, prev), field!(self, main));
        // SAFETY: httpd keeps both for longer than the requests that were made from them, on the same thread.
        let from = unsafe { Self::from_raw(if previous.is_null() { main } else { previous }) };
        from.filter(|from| from.note(LOCAL_REDIRECT).is_none()).map_or(self, Self::origin)
    }

    /// The request that was redirected here.
    #[must_use]
    pub fn previous(self) -> Option<Self> {
        let previous = field!(self, prev);
        // SAFETY: NULL, or a request that httpd keeps for longer than those that a redirect made from it, on the same thread.
        unsafe { Self::from_raw(previous) }
    }

    /// Whether it is a part of another request.
    #[must_use]
    pub fn is_subrequest(self) -> bool {
        !field!(self, main).is_null()
    }

    /// Whether it is what the client asked for, not a redirect or a part of another request.
    #[must_use]
    pub fn is_initial(self) -> bool {
        field!(self, main).is_null() && field!(self, prev).is_null()
    }

    /// The file that httpd has mapped the path to.
    #[must_use]
    pub fn filename(self) -> &'r [u8] {
        string!(self, filename)
    }

    /// What follows the file in the path.
    #[must_use]
    pub fn path_info(self) -> &'r [u8] {
        string!(self, path_info)
    }

    /// Whether httpd has found a regular file for it.
    #[must_use]
    pub fn is_file(self) -> bool {
        field!(self, finfo.filetype) == sys::APR_REG
    }

    /// Whether the path leads to a directory.
    #[must_use]
    pub fn is_directory(self) -> bool {
        field!(self, finfo.filetype) == sys::APR_DIR
    }

    /// The root of the documents.
    #[must_use]
    pub fn document_root(self) -> &'r [u8] {
        // SAFETY: `from_raw` promises a live request; the answer is a C string of the configuration, which lives as long.
        unsafe { text(sys::ap_document_root(self.as_ptr())) }
    }

    /// The directory that the path was mapped to: that of an Alias or DocumentRoot.
    #[must_use]
    pub fn context_root(self) -> &'r [u8] {
        // SAFETY: `from_raw` promises a live request; the answer is a C string in its pool or in the configuration's.
        unsafe { text(sys::ap_context_document_root(self.as_ptr())) }
    }

    /// The name of the handler that is to serve it.
    #[must_use]
    pub fn handler(self) -> &'r [u8] {
        string!(self, handler)
    }

    /// Whether SetHandler decides what serves the request.
    #[must_use]
    pub fn has_set_handler(self) -> bool {
        self.core_conf().is_some_and(|conf| !conf.handler.is_null() || !conf.expr_handler.is_null())
    }

    /// What SetHandler says for this request as it is now.
    #[must_use]
    pub fn core_handler(self) -> Option<&'r [u8]> {
        let conf = self.core_conf()?;
        if !conf.handler.is_null() {
            // SAFETY: a C string of the configuration, which lives longer than the request.
            return Some(unsafe { text(conf.handler) });
        }
        // httpd keeps a plain word as an expression, too.
        let mut error: *const c_char = ptr::null();
        // SAFETY: `from_raw` promises a live request, and its configuration lives longer; the answer is a C string in the request's
        // pool or the configuration's, or NULL.
        unsafe {
            let expression = NonNull::new(conf.expr_handler)?;
            let value = sys::ap_expr_str_exec(self.as_ptr(), expression.as_ptr(), &raw mut error);
            (error.is_null() && !value.is_null()).then(|| text(value))
        }
    }

    /// Whether Options let scripts run here.
    #[must_use]
    pub fn allows_scripts(self) -> bool {
        // SAFETY: `from_raw` promises a live request.
        unsafe { sys::ap_allow_options(self.as_ptr()) & sys::OPT_EXECCGI as c_int != 0 }
    }

    /// Whether mod_proxy has it already.
    #[must_use]
    pub fn is_proxied(self) -> bool {
        field!(self, proxyreq) != 0
    }

    /// Whether a module has given it another path since httpd looked for the sections that apply.
    #[must_use]
    pub fn is_rewritten(self) -> bool {
        field!(self, uri) != field!(self, parsed_uri.path)
    }

    /// Looks for the sections that apply to the path as it is now. Answers a status.
    #[must_use]
    pub fn walk_locations(self) -> c_int {
        let request = self.as_ptr();
        // SAFETY: `from_raw` promises a live request, and httpd keeps its server for longer. As before map_to_storage, the walk begins
        // with the server's own configuration.
        unsafe {
            (*request).per_dir_config = (*(*request).server).lookup_defaults;
            sys::ap_location_walk(request)
        }
    }

    /// Makes this handler serve it.
    pub fn set_handler(self, name: &'r CStr) {
        // SAFETY: `from_raw` promises a live request of this thread; the name lives as long.
        unsafe { (*self.as_ptr()).handler = name.as_ptr() }
    }

    /// Gives it a file name of several parts.
    pub fn set_filename(self, parts: &[&[u8]]) {
        let name = self.pool().join(parts);
        // SAFETY: a C string in the request's pool.
        unsafe { self.set_filename_ptr(name) }
    }

    /// Gives it a file name that stands in the program.
    pub fn set_constant_filename(self, name: &'static CStr) {
        // SAFETY: a C string of the program's. httpd reads the name and replaces it, but does not write to it.
        unsafe { self.set_filename_ptr(name.as_ptr().cast_mut()) }
    }

    /// # Safety
    /// `name` is a C string that lives as long as the request.
    unsafe fn set_filename_ptr(self, name: *mut c_char) {
        // SAFETY: `from_raw` promises a live request of this thread, and the caller a name that lives as long.
        unsafe { (*self.as_ptr()).filename = name }
    }

    /// Says what follows the file in the path.
    pub fn set_path_info(self, value: &[u8]) {
        let value = self.pool().keep(value);
        // SAFETY: `from_raw` promises a live request of this thread; the value is in its pool.
        unsafe { (*self.as_ptr()).path_info = value }
    }
}
