// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request's body, as httpd's input filters give it: in pieces of any size, with buckets between them that hold nothing.

use std::{
    ffi::{CStr, c_char, c_int},
    fs::File,
    io,
    os::fd::{FromRawFd, OwnedFd},
    ptr,
};

use gangway::exchange::Body;
use gangway_httpd::filters::body_has_come;

use super::{
    BAD_REQUEST, FILTER_ERROR, INTERNAL_SERVER_ERROR, Request,
    session::{Session, brigade, sentinel},
    sys::{self, apr_bucket},
};

/// The request body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BodyError {
    /// What the client should be told.
    pub(crate) status: c_int,
}

/// What reading a body gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyRead {
    /// So many bytes.
    Bytes(usize),
    /// Nothing yet.
    Later,
    /// There is no more.
    End,
}

impl Session<'_> {
    /// Whether the input filters have given the last byte of the body, and all of them have been taken.
    pub(crate) fn body_ended(&self) -> bool {
        self.input.ended && self.input.ahead.is_empty()
    }

    /// Gives back what was read in advance. With `all` nothing follows it.
    pub(crate) fn unread(&mut self, body: Body, all: bool) {
        self.input.ahead = body;
        self.input.ended |= all;
    }

    /// Reads body bytes, waiting for the client; 0 is the end.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> Result<usize, BodyError> {
        loop {
            match self.read_as(out, sys::APR_BLOCK_READ)? {
                BodyRead::Bytes(count) => return Ok(count),
                BodyRead::End => return Ok(0),
                BodyRead::Later => {}
            }
        }
    }

    /// Reads body bytes that are there.
    pub(crate) fn read_now(&mut self, out: &mut [u8]) -> Result<BodyRead, BodyError> {
        self.read_as(out, sys::APR_NONBLOCK_READ)
    }

    fn read_as(&mut self, out: &mut [u8], block: sys::apr_read_type_e) -> Result<BodyRead, BodyError> {
        if out.is_empty() {
            return Ok(BodyRead::Bytes(0));
        }
        let failed = |_| BodyError { status: INTERNAL_SERVER_ERROR };
        let count = self.input.ahead.read(out).map_err(failed)?;
        if count > 0 {
            return Ok(BodyRead::Bytes(count));
        }
        loop {
            match self.take(out, block)? {
                BodyRead::Bytes(0) if self.input.ended => return Ok(BodyRead::End),
                BodyRead::Bytes(0) => {}
                found => return Ok(found),
            }
            if !self.ask(out.len(), block)? {
                return Ok(BodyRead::Later);
            }
        }
    }

    /// Asks the filters for more. Answers whether they gave something.
    fn ask(&mut self, most: usize, block: sys::apr_read_type_e) -> Result<bool, BodyError> {
        let request = self.request();
        // SAFETY: the brigade is empty and the request's own; APR fills it or says why not.
        let (status, is_empty, is_answered) = unsafe {
            let given = brigade(&mut self.input.given, request);
            let filters = (*request.as_ptr()).input_filters;
            let most = most as sys::apr_off_t;
            let status = sys::ap_get_brigade(filters, given, sys::AP_MODE_READBYTES, block, most);
            (status, (*given).list.next == sentinel(given), (*request.as_ptr()).eos_sent != 0)
        };
        match status {
            libc::EAGAIN => Ok(false),
            // A filter may have answered the request itself instead of giving bytes.
            0 if is_empty && is_answered => Err(BodyError { status: FILTER_ERROR }),
            // So some say that there is nothing yet.
            0 if is_empty => Ok(false),
            0 => {
                // SAFETY: a live request.
                unsafe { body_has_come(request.as_ptr()) }
                Ok(true)
            }
            // SAFETY: only looks at the numbers.
            _ => Err(BodyError { status: unsafe { sys::ap_map_http_request_error(status, BAD_REQUEST) } }),
        }
    }

    /// Takes as much of what the filters gave as there is room for. No bytes: all has been taken.
    fn take(&mut self, out: &mut [u8], block: sys::apr_read_type_e) -> Result<BodyRead, BodyError> {
        let (given, mut count) = (self.input.given, 0);
        if given.is_null() {
            return Ok(BodyRead::Bytes(0));
        }
        while let Some(room) = out.get_mut(count..).filter(|room| !room.is_empty()) {
            // SAFETY: the brigade is the request's own and its ring is whole; each bucket is looked at while it is in it.
            let bytes = unsafe {
                let bucket = (*given).list.next;
                if bucket == sentinel(given) {
                    break;
                }
                if ptr::eq((*bucket).type_, &raw const sys::apr_bucket_type_eos) {
                    self.input.ended = true;
                    sys::apr_brigade_cleanup(given.cast());
                    break;
                }
                match content(bucket, block) {
                    Ok(bytes) => bytes,
                    // What has been read already is given first.
                    Err(_) if count > 0 => break,
                    Err(libc::EAGAIN) => return Ok(BodyRead::Later),
                    Err(_) => return Err(BodyError { status: INTERNAL_SERVER_ERROR }),
                }
            };
            let rest = bytes.get(self.input.taken..).unwrap_or_default();
            let part = rest.len().min(room.len());
            if let (Some(to), Some(from)) = (room.get_mut(..part), rest.get(..part)) {
                to.copy_from_slice(from);
            }
            count += part;
            if part < rest.len() {
                self.input.taken += part;
            } else {
                self.input.taken = 0;
                // SAFETY: as above; nothing refers to its bytes any more.
                unsafe { destroy((*given).list.next) }
            }
        }
        Ok(BodyRead::Bytes(count))
    }
}

/// The bytes of a bucket; one of metadata has none. An error is a status of APR's.
///
/// # Safety
/// A live bucket in a ring, which lives for `'b`.
unsafe fn content<'b>(bucket: *mut apr_bucket, block: sys::apr_read_type_e) -> Result<&'b [u8], c_int> {
    let (mut start, mut length): (*const c_char, usize) = (ptr::null(), 0);
    // SAFETY: the caller vouches for the bucket. A file's or a pipe's becomes one of memory, and one of the rest behind it.
    unsafe {
        let kind = (*bucket).type_;
        let Some(read) = (*kind).read.filter(|_| (*kind).is_metadata == sys::APR_BUCKET_DATA) else {
            return Ok(&[]);
        };
        match read(bucket, &raw mut start, &raw mut length, block) {
            0 if length == 0 => Ok(&[]),
            0 => Ok(std::slice::from_raw_parts(start.cast(), length)),
            status => Err(status),
        }
    }
}

/// apr_bucket_delete.
///
/// # Safety
/// A live bucket in a ring.
unsafe fn destroy(bucket: *mut apr_bucket) {
    // SAFETY: APR_BUCKET_REMOVE and apr_bucket_destroy.
    unsafe {
        (*(*bucket).link.prev).link.next = (*bucket).link.next;
        (*(*bucket).link.next).link.prev = (*bucket).link.prev;
        if let Some(destroy) = (*(*bucket).type_).destroy {
            destroy((*bucket).data);
        }
        if let Some(free) = (*bucket).free {
            free(bucket.cast());
        }
    }
}

impl Request<'_> {
    /// Whether input filters stand above the protocol's own: they may make a body longer or shorter.
    pub(crate) fn is_filtered(self) -> bool {
        // SAFETY: a live request.
        unsafe { (*self.as_ptr()).input_filters != (*self.as_ptr()).proto_input_filters }
    }

    /// Lets a client send its body that waits for "100 Continue". Reading does it only when it waits.
    pub(crate) fn invite_body(self) {
        let request = self.as_ptr();
        // SAFETY: a live request, whose answer has not begun. As the filter of HTTP does it.
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
    pub(crate) fn temporary_file(self) -> io::Result<File> {
        let mut folder: *const c_char = ptr::null();
        // SAFETY: a live pool. The answer is a C string in it.
        let folder = unsafe {
            if sys::apr_temp_dir_get(&raw mut folder, (*self.as_ptr()).pool) != 0 || folder.is_null() {
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
