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
    pieces::{Bytes, bucket},
    session::Session,
    sys,
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

    pub(super) fn push_bytes(&mut self, bytes: Bytes) {
        let output = self.output();
        // SAFETY: the allocator of a brigade lives as long as the brigade; the bucket is new.
        unsafe { output.push(bucket(bytes, output.bucket_list())) }
    }

    fn push_file(&mut self, file: FileSlice) {
        let may_sendfile =
            self.request.core_conf().is_some_and(|conf| conf.enable_sendfile() == sys::ENABLE_SENDFILE_ON);
        let flags = if may_sendfile { sys::APR_FOPEN_SENDFILE_ENABLED } else { 0 };
        let pool = self.request.main_pool().as_ptr();
        // SAFETY: the pool of the main request lives until its response has left. Files that are put, not
        // opened, are never closed by APR: the clean-up does it, with the pool.
        unsafe {
            let mut fd: RawFd = file.fd.into_raw_fd();
            let number = ptr::without_provenance::<std::ffi::c_void>(fd.cast_unsigned() as usize);
            sys::apr_pool_cleanup_register(pool, number, Some(close), Some(sys::apr_pool_cleanup_null));
            let mut apr_file = ptr::null_mut();
            sys::apr_os_file_put(&raw mut apr_file, &raw mut fd, flags as i32, pool);
            let (offset, length) = (file.offset as sys::apr_off_t, file.len as sys::apr_off_t);
            sys::apr_brigade_insert_file(self.output().as_ptr(), apr_file, offset, length, pool);
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

    /// Forgets what has not been passed on.
    pub(crate) fn withdraw(&mut self) {
        if let Some(output) = &mut self.output {
            output.clear();
        }
    }

    /// Makes httpd send all that stands before.
    pub(crate) fn push_flush(&mut self) {
        self.output().push_flush();
    }

    /// Ends the response. With `flush` all of it leaves before `pass` returns.
    pub(crate) fn push_end(&mut self, flush: bool) {
        self.output().push_end();
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
        let (pool, status) = (request.pool().as_ptr(), sys::HTTP_BAD_GATEWAY as c_int);
        let output = self.output();
        // SAFETY: a `Request` is live on this thread, and its brigade's allocator lives as long; the bucket is new. Without a message the
        // error takes httpd's own.
        unsafe {
            output.push(sys::ap_bucket_error_create(status, ptr::null(), pool, output.bucket_list()));
            (*request.as_ptr()).no_cache = 1;
        }
        request.close_connection();
    }

    /// Gives the buckets to the output filters. Answers whether the client is still there.
    pub(crate) fn pass(&mut self) -> bool {
        let request = self.request;
        request.pass(self.output()) == 0 && !request.is_aborted()
    }
}

/// The clean-up of `push_file`.
unsafe extern "C" fn close(number: *mut std::ffi::c_void) -> sys::apr_status_t {
    let Ok(fd) = RawFd::try_from(number.addr()) else { return 0 };
    // SAFETY: APR calls this once with the number of the descriptor that push_file gave up.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    0
}
