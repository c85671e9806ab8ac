// SPDX-License-Identifier: MIT OR Apache-2.0
//! What leaves through a request's output filters, as buckets.

use std::{
    ffi::c_int,
    io,
    os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd},
    os::unix::fs::FileExt,
    ptr,
};

use gangway::exchange::{FileSlice, Piece};

use super::{
    Request,
    pieces::{Bytes, bucket},
    session::{Session, brigade, sentinel},
    sys::{self, apr_bucket},
};

/// Bytes of a file that go through memory at a time where httpd cannot be given the file itself.
const FILE_CHUNK: usize = 64 * 1024;

impl Session<'_> {
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

/// The clean-up of `push_file`.
unsafe extern "C" fn close(number: *mut std::ffi::c_void) -> sys::apr_status_t {
    let Ok(fd) = RawFd::try_from(number.addr()) else { return 0 };
    // SAFETY: the number is of the descriptor that push_file gave up.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    0
}
