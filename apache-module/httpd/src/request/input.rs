// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request's body: what the request says about it, and what httpd's input filters give.

use std::{
    ffi::{CStr, c_char, c_int},
    fmt,
    fs::File,
    io,
    os::fd::{FromRawFd, OwnedFd},
    ptr,
};

use gangway::error::{BODY_FAILED, Code};

use super::Request;
use crate::{
    FILTER_ERROR,
    brigade::{Brigade, ReadMode},
    module::Module,
    status::BAD_REQUEST,
    sys,
};

/// What the request says about its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// Known; 0 is also no body.
    Known(u64),
    /// Known at its end.
    Chunked,
    /// Not a number.
    Invalid,
    /// There are codings below `chunked` that nobody takes away: its bytes are not the body's.
    Coded,
}

impl BodyLength {
    /// The length, if it is known before the end.
    #[must_use]
    pub fn known(self) -> Option<u64> {
        match self {
            Self::Known(length) => Some(length),
            Self::Chunked | Self::Invalid | Self::Coded => None,
        }
    }
}

/// The request body cannot be read. Shown, it is a line of the log behind [`BodyError::code`]; httpd has logged more, where
/// there is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyError {
    /// What the handler answers.
    pub status: c_int,
}

impl BodyError {
    /// The code of its line.
    #[must_use]
    pub fn code(self) -> Code {
        BODY_FAILED
    }

    /// A filter has answered the request itself instead of giving bytes: the client has its answer.
    pub const ANSWERED: Self = Self { status: FILTER_ERROR };

    /// Whether a filter has answered the request.
    #[must_use]
    pub fn is_answered(self) -> bool {
        self == Self::ANSWERED
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the request body cannot be read: ")?;
        if self.is_answered() {
            return f.write_str("a filter has answered the request");
        }
        write!(f, "status {}", self.status)
    }
}

impl<'r, M: Module> Request<'r, M> {
    /// What the headers say.
    #[must_use]
    pub fn body_length(self) -> BodyLength {
        if let Some(codings) = self.header(c"Transfer-Encoding") {
            let is_plain = codings.eq_ignore_ascii_case(b"chunked");
            return if is_plain { BodyLength::Chunked } else { BodyLength::Coded };
        }
        let Some(length) = self.header(c"Content-Length") else { return BodyLength::Known(0) };
        let digits = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(length).ok().filter(|_| digits).and_then(|text| text.parse().ok());
        number.map_or(BodyLength::Invalid, BodyLength::Known)
    }

    /// Whether the request has a body, as httpd sees it.
    #[must_use]
    pub fn has_body(self) -> bool {
        // SAFETY: `from_raw` promises a live request.
        unsafe { sys::ap_request_has_body(self.as_ptr()) != 0 }
    }

    /// The largest body, 0 for any.
    #[must_use]
    pub fn body_limit(self) -> u64 {
        // SAFETY: `from_raw` promises a live request.
        u64::try_from(unsafe { sys::ap_get_limit_req_body(self.as_ptr()) }).unwrap_or(0)
    }

    /// Whether the client sends the body only when it is asked to go on.
    #[must_use]
    pub fn expects_continue(self) -> bool {
        field!(self, expecting_100) != 0
    }

    /// Whether input filters stand above the protocol's own: they may make a body longer or shorter.
    #[must_use]
    pub fn is_filtered(self) -> bool {
        field!(self, input_filters) != field!(self, proto_input_filters)
    }

    /// Whether all that the client gets of the response has been passed on.
    #[must_use]
    pub fn is_answered(self) -> bool {
        field!(self, eos_sent) != 0
    }

    /// Asks the input filters for the next bytes of the body. Answers whether they gave something.
    ///
    /// # Errors
    /// They never will.
    pub fn read_input(self, into: &mut Brigade<'r>, most: usize, mode: ReadMode) -> Result<bool, BodyError> {
        let (filters, most) = (field!(self, input_filters), most as sys::apr_off_t);
        // SAFETY: `from_raw` promises a live request of this thread; the brigade is its own.
        let status = unsafe {
            sys::ap_get_brigade(filters, into.as_ptr(), sys::AP_MODE_READBYTES, mode.for_apr(), most)
        };
        match status {
            sys::GANGWAY_EAGAIN => Ok(false),
            0 if !into.is_empty() => {
                self.set_body_begun();
                Ok(true)
            }
            // A connection ends so, and a body in the middle.
            sys::GANGWAY_EOF if field!(self, the_request).is_null() => {
                into.push_end();
                Ok(true)
            }
            0 if self.is_answered() => Err(BodyError::ANSWERED),
            // A filter that needs more than it has been given gives nothing, also where the read has waited.
            0 => Ok(false),
            status => Err(self.body_error(status)),
        }
    }

    /// What a status of a filter or a bucket means for the client.
    #[must_use]
    pub fn body_error(self, status: c_int) -> BodyError {
        if self.is_answered() {
            return BodyError::ANSWERED;
        }
        // SAFETY: only looks at the numbers.
        BodyError { status: unsafe { sys::ap_map_http_request_error(status, BAD_REQUEST) } }
    }

    /// Bytes of the body have come, so a client that asks for "100 Continue" need not be invited any more (RFC 9110 section 10.1.1).
    /// httpd's own filter knows so only when a read has waited, and takes an answer to a client that still waits for one after which
    /// the connection cannot go on.
    pub fn set_body_begun(self) {
        // SAFETY: `from_raw` promises a live request of this thread; the field is a bit of the request's own.
        unsafe { (*self.as_ptr()).expecting_100 = 0 }
    }

    /// Lets a client send its body that waits for "100 Continue". Reading does it only when it waits. Nothing of the response may have
    /// left.
    pub fn invite_body(self) {
        if !self.expects_continue() {
            return;
        }
        let request = self.as_ptr();
        // SAFETY: `from_raw` promises a live request of this thread. As the filter of HTTP does it.
        unsafe {
            let (status, line) = ((*request).status, (*request).status_line);
            (*request).status = sys::HTTP_CONTINUE as c_int;
            (*request).status_line = ptr::null();
            sys::ap_send_interim_response(request, 0);
            (*request).expecting_100 = 0;
            (*request).status = status;
            (*request).status_line = line;
        }
    }

    /// A file that has no name any more, where APR has its temporary ones.
    ///
    /// # Errors
    /// The system's.
    pub fn temporary_file(self) -> io::Result<File> {
        let mut folder: *const c_char = ptr::null();
        // SAFETY: the request's pool is live, and the answer is a C string in it.
        let folder = unsafe {
            if sys::apr_temp_dir_get(&raw mut folder, self.pool().as_ptr()) != 0 || folder.is_null() {
                return Err(io::ErrorKind::NotFound.into());
            }
            CStr::from_ptr(folder).to_bytes()
        };
        let mut name = [folder, b"/gangway.XXXXXX\0"].concat();
        // SAFETY: a C string that ends as mkostemp(3) wants it, and that it may write to; the number is ours alone.
        unsafe {
            let number = libc::mkostemp(name.as_mut_ptr().cast(), libc::O_CLOEXEC);
            if number < 0 {
                return Err(io::Error::last_os_error());
            }
            let file = OwnedFd::from_raw_fd(number);
            libc::unlink(name.as_ptr().cast());
            Ok(file.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_answered_is_named() {
        let line = |error: BodyError| error.to_string().split_once(": ").map(|(_, why)| why.to_owned());
        assert_eq!(line(BodyError::ANSWERED).as_deref(), Some("a filter has answered the request"));
        assert_eq!(line(BodyError { status: 408 }).as_deref(), Some("status 408"));
    }
}
