// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request's body, on its way from httpd's input filters to the backend.

use std::{
    ffi::{c_char, c_int},
    ptr,
};

use gangway::{http::Decimal, protocol::Protocol};
use gangway_httpd::filters::body_has_come;

use super::{
    BAD_REQUEST, FILTER_ERROR, INTERNAL_SERVER_ERROR, Request,
    backend::Backend,
    sys::{self, apr_bucket, apr_bucket_brigade},
};

/// Bytes of a body that are read before a connection is taken, and that are kept in memory when the whole body
/// must be there first: what mod_proxy_fcgi does.
const IN_MEMORY: sys::apr_off_t = 16 * 1024;
/// Bytes of a body that are in memory at a time while it is passed on: what a record of FastCGI can hold.
const AT_A_TIME: usize = 65_535;

/// What `fill` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// There are bytes to send.
    Some,
    /// The client has not sent more yet.
    Nothing,
    /// The body cannot be read: the status to answer.
    Failed(c_int),
}

/// The body of one request.
pub(crate) struct Body<'r> {
    request: Request<'r>,
    /// What was read in advance, shared by the attempts of a balancer.
    saved: *mut apr_bucket_brigade,
    fresh: *mut apr_bucket_brigade,
    ended: bool,
    /// Bytes have been taken: another backend cannot have them any more.
    taken: bool,
}

impl<'r> Body<'r> {
    /// Reads what is there already, or all of it where the backend must know the length first.
    ///
    /// # Errors
    /// The status to answer.
    pub(crate) fn prepare(
        request: Request<'r>,
        backend: &Backend<'_>,
        needs_length: bool,
    ) -> Result<Self, c_int> {
        let mut body =
            Self { request, saved: ptr::null_mut(), fresh: ptr::null_mut(), ended: true, taken: false };
        let mut known = ptr::null_mut();
        // SAFETY: a live pool; what is found under our key is a brigade of the same pool.
        unsafe {
            sys::apr_pool_userdata_get(&raw mut known, KEY.as_ptr(), request.pool());
            if !known.is_null() {
                body.saved = known.cast();
                body.ended = false;
                return Ok(body);
            }
            if !request.has_body() {
                return Ok(body);
            }
            body.ended = false;
            body.saved = sys::apr_brigade_create(request.pool(), request.bucket_list());
            sys::apr_pool_userdata_setn(body.saved.cast(), KEY.as_ptr(), None, request.pool());
        }
        body.read_ahead(backend, needs_length)?;
        Ok(body)
    }

    /// How the length of the body becomes known, as mod_proxy_fcgi does it; or it must be known first.
    fn read_ahead(&self, backend: &Backend<'_>, needs_length: bool) -> Result<(), c_int> {
        let (request, saved) = (self.request, self.saved);
        let chunked = request.header(c"Transfer-Encoding").is_some();
        // SAFETY: a live request; without Transfer-Encoding Content-Length is the length.
        unsafe {
            if chunked {
                sys::apr_table_unset((*request.as_ptr()).headers_in, c"Content-Length".as_ptr());
            }
            let is_plain = || (*request.as_ptr()).input_filters == (*request.as_ptr()).proto_input_filters;
            let begins_plain = is_plain();
            // Filters are rarely asked for what is there, and some end the process then (mod_request).
            let mode = if begins_plain { sys::APR_NONBLOCK_READ } else { sys::APR_BLOCK_READ };
            let (connection, mut count) = (backend.as_ptr(), 0);
            let status = sys::ap_proxy_prefetch_input(
                request.as_ptr(),
                connection,
                saved,
                mode,
                &raw mut count,
                IN_MEMORY,
            );
            if status != 0 {
                return Err(status);
            }
            if count > 0 {
                body_has_come(request.as_ptr());
            }
            if self.is_whole() {
                self.set_length(count);
                return Ok(());
            }
            // A filter that had nothing to do has taken itself out; one that is done has taken the length away, too.
            let has_length = !chunked && request.header(c"Content-Length").is_some() && is_plain();
            // A client's length is a promise to the backend: behind a filter only the whole body keeps it.
            let may_stream = begins_plain && !needs_length && request.variable(c"proxy-sendcl").is_none();
            if has_length || may_stream {
                return Ok(());
            }
            let more = sys::apr_brigade_create(request.pool(), request.bucket_list());
            let mut rest = 0;
            let room = IN_MEMORY.saturating_sub(count).max(0);
            let status = sys::ap_proxy_spool_input(request.as_ptr(), connection, more, &raw mut rest, room);
            if status != 0 {
                return Err(status);
            }
            concatenate(saved, more);
            self.set_length(count.saturating_add(rest));
        }
        Ok(())
    }

    /// Whether the end has been read in advance.
    fn is_whole(&self) -> bool {
        // SAFETY: the brigade is live and its ring is whole.
        unsafe {
            let last = (*self.saved).list.prev;
            last != sentinel(self.saved) && is_end(last)
        }
    }

    /// Tells the variables how long the body is.
    fn set_length(&self, count: sys::apr_off_t) {
        let mut digits = Decimal::default();
        let length = self.request.keep(digits.write(u64::try_from(count).unwrap_or(0)));
        // SAFETY: a live table; the value is in the request's pool.
        unsafe {
            let headers = (*self.request.as_ptr()).headers_in;
            sys::apr_table_setn(headers, c"Content-Length".as_ptr(), length);
            sys::apr_table_unset(headers, c"Transfer-Encoding".as_ptr());
        }
    }

    /// Whether the last byte has been taken.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Whether bytes have been taken that cannot be read again.
    pub(crate) fn is_taken(&self) -> bool {
        self.taken
    }

    /// Appends the next part of the body with its framing, and what follows the body at its end. httpd's filters give a few
    /// thousand bytes at a time: what is there of more goes into the same record, for each costs the backend a read.
    pub(crate) fn fill(&mut self, out: &mut Vec<u8>, protocol: &dyn Protocol, wait: bool) -> Filled {
        let before = out.len();
        if self.saved.is_null() {
            return Filled::Nothing;
        }
        let mut record = Record::begin(out, protocol);
        // SAFETY: both brigades are the request's own.
        let status = unsafe {
            loop {
                let status = self.drain(&mut record);
                if status != 0 || self.ended || record.room() == 0 {
                    break status;
                }
                match self.read(wait && record.is_empty()) {
                    0 => concatenate(self.saved, self.fresh),
                    sys::GANGWAY_EAGAIN => break 0,
                    status => break status,
                }
            }
        };
        record.end();
        if status != 0 {
            return Filled::Failed(self.failure(status));
        }
        if self.ended {
            out.extend_from_slice(protocol.body_end());
        }
        if out.len() == before && !self.ended { Filled::Nothing } else { Filled::Some }
    }

    fn failure(&self, status: c_int) -> c_int {
        // SAFETY: a live request; the function only looks at numbers.
        unsafe {
            if (*self.request.as_ptr()).eos_sent != 0 {
                return FILTER_ERROR;
            }
            sys::ap_map_http_request_error(status, BAD_REQUEST)
        }
    }

    /// Reads from the input filters into `fresh`. Answers a status of APR's.
    unsafe fn read(&mut self, wait: bool) -> c_int {
        // SAFETY: the brigade is empty and the request's own.
        unsafe {
            if self.fresh.is_null() {
                self.fresh = sys::apr_brigade_create(self.request.pool(), self.request.bucket_list());
            }
            let filters = (*self.request.as_ptr()).input_filters;
            let block = if wait { sys::APR_BLOCK_READ } else { sys::APR_NONBLOCK_READ };
            let status = sys::ap_get_brigade(
                filters,
                self.fresh,
                sys::AP_MODE_READBYTES,
                block,
                AT_A_TIME as sys::apr_off_t,
            );
            let is_empty = (*self.fresh).list.next == sentinel(self.fresh);
            let is_answered = (*self.request.as_ptr()).eos_sent != 0;
            match status {
                // A read that would wait may say so, or give nothing. A filter that needs more than it has been given so
                // far gives nothing, too, although the read has waited.
                0 if is_empty && !is_answered => sys::GANGWAY_EAGAIN,
                0 if is_empty => INTERNAL_SERVER_ERROR,
                0 => {
                    body_has_come(self.request.as_ptr());
                    0
                }
                other => other,
            }
        }
    }

    /// Moves bytes of what has been read to a record, as long as it has room. Answers a status of APR's.
    ///
    /// # Safety
    /// The brigade of a live request.
    unsafe fn drain(&mut self, record: &mut Record<'_>) -> c_int {
        // SAFETY: the request's own brigade, whose ring is whole; each bucket is looked at and then destroyed.
        unsafe {
            while !self.ended && record.room() > 0 {
                let bucket = (*self.saved).list.next;
                if bucket == sentinel(self.saved) {
                    break;
                }
                if is_end(bucket) {
                    self.ended = true;
                } else if (*(*bucket).type_).is_metadata == sys::APR_BUCKET_DATA {
                    let status = append(bucket, record);
                    if status != 0 {
                        return status;
                    }
                    self.taken = true;
                }
                destroy(bucket);
            }
        }
        0
    }

    /// For a request without a body: what follows the body that is not there.
    pub(crate) fn end_of_none(&self, out: &mut Vec<u8>, protocol: &dyn Protocol) {
        if self.saved.is_null() {
            out.extend_from_slice(protocol.body_end());
        }
    }
}

const KEY: &std::ffi::CStr = c"gangway-proxy-input";

/// A part of a body that grows behind its header.
struct Record<'a> {
    out: &'a mut Vec<u8>,
    protocol: &'a dyn Protocol,
    /// Where its header stands.
    start: usize,
    /// Where its content begins.
    content: usize,
    /// How much it can hold.
    most: usize,
}

impl<'a> Record<'a> {
    fn begin(out: &'a mut Vec<u8>, protocol: &'a dyn Protocol) -> Self {
        let start = out.len();
        // All headers of a protocol are equally long.
        out.extend_from_slice(protocol.body_part(1).header());
        let content = out.len();
        let most = protocol.body_part(AT_A_TIME as u64).content;
        let most = usize::try_from(most).unwrap_or(AT_A_TIME).min(AT_A_TIME);
        Self { out, protocol, start, content, most }
    }

    fn len(&self) -> usize {
        self.out.len() - self.content
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn room(&self) -> usize {
        self.most.saturating_sub(self.len())
    }

    /// Writes the headers. Content that did not fit, of a bucket that cannot be split, is in records of its own.
    fn end(self) {
        let first = self.protocol.body_part(self.len() as u64);
        if let Some(header) = self.out.get_mut(self.start..self.content).filter(|_| first.content > 0) {
            header.copy_from_slice(first.header());
        } else {
            self.out.truncate(self.start);
            return;
        }
        let split = usize::try_from(first.content).unwrap_or(usize::MAX).saturating_add(self.content);
        let mut rest = self.out.split_off(split.min(self.out.len()));
        while !rest.is_empty() {
            let part = self.protocol.body_part(rest.len() as u64);
            let count = usize::try_from(part.content).unwrap_or(rest.len()).clamp(1, rest.len());
            self.out.extend_from_slice(part.header());
            self.out.extend(rest.drain(..count));
        }
    }
}

/// Copies what a bucket holds.
///
/// # Safety
/// A live bucket in a ring.
unsafe fn append(bucket: *mut apr_bucket, record: &mut Record<'_>) -> c_int {
    let (mut start, mut length): (*const c_char, usize) = (ptr::null(), 0);
    // SAFETY: a file's bucket becomes one of memory and one of the rest, which stays in the ring. One that has more than there
    // is room for is split first.
    unsafe {
        if (*bucket).length > record.room() && (*bucket).length != usize::MAX {
            // Not every type can be split: then it is taken whole.
            let _ = (*(*bucket).type_).split.map(|split| split(bucket, record.room()));
        }
        let Some(read) = (*(*bucket).type_).read else { return 0 };
        let status = read(bucket, &raw mut start, &raw mut length, sys::APR_BLOCK_READ);
        if status == 0 && length > 0 {
            record.out.extend_from_slice(std::slice::from_raw_parts(start.cast(), length));
        }
        status
    }
}

unsafe fn is_end(bucket: *mut apr_bucket) -> bool {
    // SAFETY: a live bucket.
    unsafe { ptr::eq((*bucket).type_, &raw const sys::apr_bucket_type_eos) }
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

/// APR_BRIGADE_CONCAT: what is in `from` comes behind what is in `to`.
///
/// # Safety
/// Both are live and their rings are whole.
unsafe fn concatenate(to: *mut apr_bucket_brigade, from: *mut apr_bucket_brigade) {
    // SAFETY: the caller vouches for both.
    unsafe {
        let (first, last) = ((*from).list.next, (*from).list.prev);
        if first == sentinel(from) {
            return;
        }
        let tail = (*to).list.prev;
        (*tail).link.next = first;
        (*first).link.prev = tail;
        (*last).link.next = sentinel(to);
        (*to).list.prev = last;
        (*from).list.next = sentinel(from);
        (*from).list.prev = sentinel(from);
    }
}

/// APR_BRIGADE_SENTINEL: the ring's head, seen as a bucket whose first member is the link.
///
/// # Safety
/// `brigade` is live.
pub(super) unsafe fn sentinel(brigade: *mut apr_bucket_brigade) -> *mut apr_bucket {
    const _: () = assert!(std::mem::offset_of!(apr_bucket, link) == 0);
    // SAFETY: only an address inside of the brigade.
    unsafe { (&raw mut (*brigade).list).cast() }
}
