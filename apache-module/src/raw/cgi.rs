// SPDX-License-Identifier: MIT OR Apache-2.0
//! What scripts need of httpd: its rules about them, redirects, interim answers, the parent's start.

use std::ffi::{CStr, c_int};

use gangway::{
    cgi::{LOCAL_REDIRECTS, Target},
    error::CGI_REDIRECT,
    log::{self, Level},
};
use gangway_httpd::redirect;

use super::{BAD_GATEWAY, OK, Request, sys, text};

/// The name of our handler for scripts.
const HANDLER: &CStr = c"gangway-cgi";
/// What ScriptAlias and the usual AddHandler set.
const SCRIPT: &[u8] = b"cgi-script";
/// A note of a request that a script's local redirect goes out from.
const REDIRECTS: &CStr = c"gangway-local-redirect";

impl<'r> Request<'r> {
    fn handler(self) -> &'r [u8] {
        // SAFETY: NULL or a C string that lives as long as the request.
        unsafe { text((*self.as_ptr()).handler) }
    }

    /// Whether a module or a directive has chosen who serves it.
    pub(crate) fn has_handler(self) -> bool {
        !self.handler().is_empty() || self.has_set_handler()
    }

    /// Whether httpd's own rules make it a script: ScriptAlias, AddHandler or SetHandler.
    pub(crate) fn has_script_handler(self) -> bool {
        self.handler() == SCRIPT || self.is_script()
    }

    /// Whether our handler for scripts is to serve it.
    pub(crate) fn is_script(self) -> bool {
        self.handler() == HANDLER.to_bytes()
    }

    pub(crate) fn set_script_handler(self) {
        // SAFETY: the name lives for the process.
        unsafe { (*self.as_ptr()).handler = HANDLER.as_ptr() }
    }

    /// Whether Options or ScriptAlias let scripts run here.
    pub(crate) fn may_execute(self) -> bool {
        // SAFETY: a live request and its table of notes.
        unsafe {
            let options = sys::ap_allow_options(self.as_ptr());
            let alias = text(sys::apr_table_get((*self.as_ptr()).notes, c"alias-forced-type".as_ptr()));
            options & sys::OPT_EXECCGI as c_int != 0 || alias.starts_with(SCRIPT)
        }
    }

    /// Whether the path leads to a directory.
    pub(crate) fn is_directory(self) -> bool {
        // SAFETY: a live request.
        unsafe { (*self.as_ptr()).finfo.filetype == sys::APR_DIR }
    }

    /// The directory that the path was mapped to: that of an Alias or DocumentRoot.
    pub(crate) fn context_root(self) -> &'r [u8] {
        // SAFETY: a live request; the answer is a C string that lives as long.
        unsafe { text(sys::ap_context_document_root(self.as_ptr())) }
    }

    /// How many local redirects of scripts led here.
    fn local_redirects(self) -> usize {
        let mut count = 0;
        let mut request = self.as_ptr();
        // SAFETY: requests that were redirected live longer than those made from them.
        unsafe {
            while !(*request).prev.is_null() {
                request = (*request).prev;
                count += usize::from(!sys::apr_table_get((*request).notes, REDIRECTS.as_ptr()).is_null());
            }
        }
        count
    }

    /// Whether the next request of this one's line was made by a local redirect of a script.
    pub(super) fn is_redirected_locally(self) -> bool {
        // SAFETY: a live request and its table.
        unsafe { !sys::apr_table_get((*self.as_ptr()).notes, REDIRECTS.as_ptr()).is_null() }
    }

    /// Answers with another document of this server: RFC 3875 §6.2.2. Where none can be given, says why and answers a status.
    pub(crate) fn redirect_locally(self, text: &[u8]) -> c_int {
        let refused = |why: &dyn std::fmt::Display| {
            let text = log::escape(text);
            self.log(
                Level::Error,
                &format!("{CGI_REDIRECT} the local redirect to \"{text}\" is refused: {why}"),
            );
            BAD_GATEWAY
        };
        let target = match Target::parse(text, true) {
            Ok(target) => target.request_uri(text),
            Err(error) => return refused(&error),
        };
        if self.local_redirects() >= LOCAL_REDIRECTS {
            return refused(&format_args!("{LOCAL_REDIRECTS} of them have led here"));
        }
        let request = self.as_ptr();
        // SAFETY: a live request, of whose answer nothing has left; the target is copied into its pool.
        unsafe {
            let status = redirect::forget_body(request);
            if status != OK {
                return status;
            }
            sys::apr_table_setn((*request).notes, REDIRECTS.as_ptr(), c"1".as_ptr());
            let target = sys::apr_pstrmemdup((*request).pool, target.as_ptr().cast(), target.len());
            redirect::follow(request, target);
        }
        OK
    }

    /// Sends an interim answer (RFC 9110 §15.2), where the protocol has them.
    pub(crate) fn send_interim<'h>(self, status: u16, fields: impl Iterator<Item = (&'h [u8], &'h [u8])>) {
        let fields = fields.filter(|(name, _)| !gangway::http::is_connection_field(name));
        fields.for_each(|(name, value)| self.add_header(name, value));
        let request = self.as_ptr();
        // SAFETY: a live request, whose answer has not begun.
        unsafe {
            (*request).status = c_int::from(status);
            (*request).status_line = std::ptr::null();
            sys::ap_send_interim_response(request, 1);
            (*request).status = sys::HTTP_OK as c_int;
        }
    }
}
