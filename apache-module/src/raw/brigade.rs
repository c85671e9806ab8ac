// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request's two chains of filters: body bytes in, buckets out.

use std::{
    ffi::c_int,
    io,
    os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd},
    os::unix::fs::FileExt,
    ptr,
};

use gangway::exchange::{FileSlice, Piece};

use super::{
    BAD_REQUEST, FILTER_ERROR, INTERNAL_SERVER_ERROR, Request,
    pieces::{Bytes, bucket},
    sys::{self, apr_bucket, apr_bucket_brigade},
};

/// Bytes of a file that go through memory at a time where httpd cannot be given the file itself.
const FILE_CHUNK: usize = 64 * 1024;

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

/// One request's input and output.
pub(crate) struct Session<'r> {
    request: Request<'r>,
    output: *mut apr_bucket_brigade,
    input: *mut apr_bucket_brigade,
    body_ended: bool,
}

impl<'r> Session<'r> {
    pub(crate) fn new(request: Request<'r>) -> Self {
        Self { request, output: ptr::null_mut(), input: ptr::null_mut(), body_ended: false }
    }

    pub(crate) fn request(&self) -> Request<'r> {
        self.request
    }

    /// Whether the last byte of the body has been read.
    pub(crate) fn body_ended(&self) -> bool {
        self.body_ended
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
        while !self.body_ended {
            // SAFETY: the brigade is empty and the request's own; APR fills it or says why not.
            let status = unsafe {
                let brigade = brigade(&mut self.input, self.request);
                let most = out.len() as sys::apr_off_t;
                let filters = (*self.request.as_ptr()).input_filters;
                sys::ap_get_brigade(filters, brigade, sys::AP_MODE_READBYTES, block, most)
            };
            if status == libc::EAGAIN || (status == 0 && self.has_no_input()) {
                return Ok(BodyRead::Later);
            }
            if status != 0 {
                // SAFETY: only looks at the numbers.
                let answer = unsafe { sys::ap_map_http_request_error(status, BAD_REQUEST) };
                return Err(BodyError { status: answer });
            }
            let count = self.take(out)?;
            if count > 0 {
                return Ok(BodyRead::Bytes(count));
            }
        }
        Ok(BodyRead::End)
    }

    /// Whether the input filters gave nothing, which is how some say that there is nothing yet.
    fn has_no_input(&self) -> bool {
        // SAFETY: `read_as` has made the brigade; its ring is whole.
        unsafe { (*self.input).list.next == sentinel(self.input) && (*self.request.as_ptr()).eos_sent == 0 }
    }

    /// Moves what the input filters gave into `out`.
    fn take(&mut self, out: &mut [u8]) -> Result<usize, BodyError> {
        let brigade = self.input;
        let mut count = out.len();
        // SAFETY: the brigade was filled by `read`, with no more bytes than `out` has; its ring is whole.
        let status = unsafe {
            let sentinel = sentinel(brigade);
            let last = (*brigade).list.prev;
            if last == sentinel {
                // A filter may have answered the request itself instead of giving bytes.
                let answered = (*self.request.as_ptr()).eos_sent != 0;
                return Err(BodyError {
                    status: if answered { FILTER_ERROR } else { INTERNAL_SERVER_ERROR },
                });
            }
            self.body_ended = ptr::eq((*last).type_, &raw const sys::apr_bucket_type_eos);
            let status = sys::apr_brigade_flatten(brigade, out.as_mut_ptr().cast(), &raw mut count);
            sys::apr_brigade_cleanup(brigade.cast());
            status
        };
        if status != 0 {
            return Err(BodyError { status: INTERNAL_SERVER_ERROR });
        }
        Ok(count)
    }

    /// Adds a piece of the response body. Answers an error when a file cannot be read.
    pub(crate) fn push(&mut self, piece: Piece) -> io::Result<()> {
        match piece {
            Piece::Copied(bytes) => self.push_bytes(Bytes::Own(bytes)),
            Piece::Lent(lent) => self.push_bytes(Bytes::Lent(lent)),
            // A stream of another connection may still hold a file when the request is gone.
            Piece::File(file) if self.request.socket().is_none() => return self.push_file_bytes(file),
            Piece::File(file) => self.push_file(file),
        }
        Ok(())
    }

    fn push_bytes(&mut self, bytes: Bytes) {
        // SAFETY: the connection of a live request has a live allocator.
        unsafe {
            let bucket = bucket(bytes, (*self.request.connection()).bucket_alloc);
            self.push_bucket(bucket);
        }
    }

    fn push_file(&mut self, file: FileSlice) {
        let flags = if self.request.may_sendfile() { sys::APR_FOPEN_SENDFILE_ENABLED } else { 0 };
        let pool = self.request.main_pool();
        // SAFETY: the pool of the main request lives until its response has left. Files that are put, not
        // opened, are never closed by APR: the clean-up does it, with the pool.
        unsafe {
            let mut fd: RawFd = file.fd.into_raw_fd();
            let number = ptr::without_provenance::<std::ffi::c_void>(fd.cast_unsigned() as usize);
            sys::apr_pool_cleanup_register(pool, number, Some(close), Some(sys::apr_pool_cleanup_null));
            let mut apr_file = ptr::null_mut();
            sys::apr_os_file_put(&raw mut apr_file, &raw mut fd, flags as i32, pool);
            let brigade = brigade(&mut self.output, self.request);
            let (offset, length) = (file.offset as sys::apr_off_t, file.len as sys::apr_off_t);
            sys::apr_brigade_insert_file(brigade, apr_file, offset, length, pool);
        }
    }

    /// Reads a file and passes it on, part by part.
    fn push_file_bytes(&mut self, file: FileSlice) -> io::Result<()> {
        let source = std::fs::File::from(file.fd);
        let (mut offset, mut left) = (file.offset, file.len);
        while left > 0 {
            let mut part = vec![0; usize::try_from(left).unwrap_or(usize::MAX).min(FILE_CHUNK)];
            let count = source.read_at(&mut part, offset)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            part.truncate(count);
            (offset, left) = (offset + count as u64, left - count as u64);
            self.push_bytes(Bytes::Own(part));
            if left > 0 && !self.pass() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
        Ok(())
    }

    /// Makes httpd send all that stands before.
    pub(crate) fn push_flush(&mut self) {
        // SAFETY: the connection of a live request has a live allocator.
        unsafe {
            let bucket = sys::apr_bucket_flush_create((*self.request.connection()).bucket_alloc);
            self.push_bucket(bucket);
        }
    }

    /// Ends the response. With `flush` all of it leaves before `pass` returns.
    pub(crate) fn push_end(&mut self, flush: bool) {
        // SAFETY: as for a flush.
        unsafe {
            let bucket = sys::apr_bucket_eos_create((*self.request.connection()).bucket_alloc);
            self.push_bucket(bucket);
        }
        // The end of a subrequest must be the last bucket: httpd takes it out there.
        // A stream of HTTP/2 leaves through its connection's own thread: a flush behind the end would only wait for it,
        // and a stream that ends so before its body was read is reset.
        if flush && !self.request.is_subrequest() && !self.request.is_stream() {
            self.push_flush();
            // ap_pass_brigade() does it when the end is the last bucket.
            self.request.set_ended();
        }
    }

    /// Makes httpd cut the response where it is: as mod_proxy does when a backend breaks.
    pub(crate) fn push_broken(&mut self) {
        let request = self.request;
        // SAFETY: a live request and connection; without a message the error takes httpd's own.
        unsafe {
            let connection = request.connection();
            let (pool, list) = ((*request.as_ptr()).pool, (*connection).bucket_alloc);
            let status = sys::HTTP_BAD_GATEWAY as c_int;
            self.push_bucket(sys::ap_bucket_error_create(status, ptr::null(), pool, list));
            (*request.as_ptr()).no_cache = 1;
            (*connection).keepalive = sys::AP_CONN_CLOSE;
        }
    }

    /// Gives the buckets to the output filters. Answers whether the client is still there.
    pub(crate) fn pass(&mut self) -> bool {
        // SAFETY: a live request; the brigade's buckets are its own. Filters may leave some in it.
        unsafe {
            let brigade = brigade(&mut self.output, self.request);
            let status = sys::ap_pass_brigade((*self.request.as_ptr()).output_filters, brigade);
            sys::apr_brigade_cleanup(brigade.cast());
            status == 0 && (*self.request.connection()).aborted == 0
        }
    }

    /// For a response that ends with its connection: lets the client see that it was cut.
    pub(crate) fn reset_if_unframed(&mut self) {
        if !self.request.is_framed()
            && let Some(socket) = self.request.socket()
        {
            socket.reset_on_close();
            // SAFETY: a live connection. httpd closes an aborted one at once instead of lingering.
            unsafe { (*self.request.connection()).aborted = 1 }
        }
    }

    /// APR_BRIGADE_INSERT_TAIL.
    ///
    /// # Safety
    /// `bucket` is a new bucket in no ring.
    unsafe fn push_bucket(&mut self, bucket: *mut apr_bucket) {
        // SAFETY: the brigade is the request's own and its ring is whole; the caller vouches for the bucket.
        unsafe {
            let brigade = brigade(&mut self.output, self.request);
            let last = (*brigade).list.prev;
            (*bucket).link.next = sentinel(brigade);
            (*bucket).link.prev = last;
            (*last).link.next = bucket;
            (*brigade).list.prev = bucket;
        }
    }
}

impl Request<'_> {
    /// Tells httpd that the end of the response has been passed on.
    fn set_ended(self) {
        let mut request = self.as_ptr();
        // SAFETY: earlier requests live longer than those that a redirect made from them.
        unsafe {
            while !request.is_null() {
                (*request).eos_sent = 1;
                request = (*request).prev;
            }
        }
    }

    /// The pool that lives until the response of the main request has left.
    fn main_pool(self) -> *mut sys::apr_pool_t {
        let mut request = self.as_ptr();
        // SAFETY: main requests live longer than their subrequests.
        unsafe {
            while !(*request).main.is_null() {
                request = (*request).main;
            }
            (*request).pool
        }
    }
}

/// The brigade in `place`, made at its first use.
///
/// # Safety
/// `place` belongs to a session of `request`.
unsafe fn brigade(place: &mut *mut apr_bucket_brigade, request: Request<'_>) -> *mut apr_bucket_brigade {
    if place.is_null() {
        // SAFETY: a live request and connection; APR aborts without memory.
        *place = unsafe {
            sys::apr_brigade_create((*request.as_ptr()).pool, (*request.connection()).bucket_alloc)
        };
    }
    *place
}

/// APR_BRIGADE_SENTINEL: the ring's head, seen as a bucket whose first member is the link.
///
/// # Safety
/// `brigade` is live.
unsafe fn sentinel(brigade: *mut apr_bucket_brigade) -> *mut apr_bucket {
    const _: () = assert!(std::mem::offset_of!(apr_bucket, link) == 0);
    // SAFETY: only an address inside of the brigade.
    unsafe { (&raw mut (*brigade).list).cast() }
}

/// The clean-up of `push_file`.
unsafe extern "C" fn close(number: *mut std::ffi::c_void) -> sys::apr_status_t {
    let Ok(fd) = RawFd::try_from(number.addr()) else { return 0 };
    // SAFETY: the number is of the descriptor that push_file gave up.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    0
}
