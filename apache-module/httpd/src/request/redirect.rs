// SPDX-License-Identifier: MIT OR Apache-2.0
//! Redirects inside of the server that an application asks for: RFC 3875 §6.2.2.

use std::ffi::{CStr, c_int};

use super::Request;
use crate::{OK, module::Module, sys};

/// A note of a request that a script's local redirect goes out from.
pub(super) const LOCAL_REDIRECT: &CStr = c"gangway-local-redirect";

/// What says something about a body.
const DESCRIBE_BODY: [&CStr; 7] = [
    c"Content-Length",
    c"Transfer-Encoding",
    c"Content-Type",
    c"Content-Encoding",
    c"Content-Language",
    c"Content-Location",
    c"Trailer",
];

impl<'r, M: Module> Request<'r, M> {
    /// How many local redirects of scripts led here.
    #[must_use]
    pub fn local_redirects(self) -> usize {
        let earlier = std::iter::successors(self.previous(), |request| request.previous());
        earlier.filter(|request| request.note(LOCAL_REDIRECT).is_some()).count()
    }

    /// A local redirect of a script: as [`Self::redirect_internally`], and the request keeps a note of it.
    ///
    /// # Errors
    /// A status: the body could not be got out of the way.
    pub fn redirect_locally_to(self, target: &'r CStr) -> Result<(), c_int> {
        self.forget_body()?;
        self.set_note(LOCAL_REDIRECT, b"1");
        self.follow(target);
        Ok(())
    }

    /// Lets httpd answer with what a GET for `target` gets (a HEAD stays one): it reads that as a request line, and asks its access rules
    /// again. Nothing of the response may have left.
    ///
    /// # Errors
    /// A status: the body could not be got out of the way.
    pub fn redirect_internally(self, target: &'r CStr) -> Result<(), c_int> {
        self.forget_body()?;
        self.follow(target);
        Ok(())
    }

    fn follow(self, target: &'r CStr) {
        self.reset_status();
        // SAFETY: `from_raw` promises a live request of this thread; the target lives as long.
        unsafe { sys::ap_internal_redirect_handler(target.as_ptr(), self.as_ptr()) }
    }

    /// Makes the request one without a body, and a GET unless it is a HEAD.
    ///
    /// httpd learns from the headers where a body ends when it is read first: those of one that nobody has read must not go before
    /// it has gone itself, or it would be read as the next request.
    fn forget_body(self) -> Result<(), c_int> {
        let request = self.as_ptr();
        // SAFETY: `from_raw` promises a live request of this thread, which has its table of headers; the names live for the process.
        unsafe {
            if (*request).main.is_null() && sys::ap_request_has_body(request) != 0 {
                if (*request).expecting_100 == 0 {
                    let status = sys::ap_discard_request_body(request);
                    if status != OK {
                        return Err(status);
                    }
                } else {
                    // The client may never send it. Whatever comes is not read.
                    (*request).expecting_100 = 0;
                    (*(*request).connection).keepalive = sys::AP_CONN_CLOSE;
                }
            }
            for name in DESCRIBE_BODY {
                sys::apr_table_unset((*request).headers_in, name.as_ptr());
            }
            if (*request).header_only == 0 {
                (*request).method = c"GET".as_ptr();
                (*request).method_number = sys::M_GET as c_int;
            }
        }
        Ok(())
    }
}
