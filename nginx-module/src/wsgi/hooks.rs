// SPDX-License-Identifier: MIT OR Apache-2.0
//! What those who have sent handlers of phases on their way want to know.

use nginx_sys::ngx_int_t;

use crate::raw::Request;

/// Functions for it.
#[derive(Clone, Copy)]
pub(crate) struct ErrandHooks {
    /// They run before the phase of the content: nobody has read the body.
    pub(crate) is_early: bool,
    /// They give the response themselves, whose head is about to leave.
    pub(crate) answers: fn(Request),
    /// They have ended without a response. The request may be gone after it.
    pub(crate) passed: fn(Request),
}

impl ErrandHooks {
    /// They give the response.
    ///
    /// # Errors
    /// The status of the request whose body cannot be thrown away.
    pub(super) fn begin(self, request: Request) -> Result<(), ngx_int_t> {
        (self.answers)(request);
        match if self.is_early && request.is_main() { request.discard_body() } else { 0 } {
            0 => Ok(()),
            status => Err(status),
        }
    }
}
