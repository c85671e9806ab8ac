// SPDX-License-Identifier: MIT OR Apache-2.0
//! One run of a filter: what comes, and what goes on.

use std::{ffi::c_int, ptr::NonNull};

use gangway::{exchange::Stop, phases::FilterRead};
use gangway_httpd::brigade::{Brigade, ReadMode};

use super::{
    Request,
    pieces::{Bytes, bucket},
    sys,
};

/// Bytes that an output filter has written and that have not gone on yet.
const STAGED: usize = 64 * 1024;

/// One run of a filter.
pub(crate) struct Flow<'r> {
    /// The filter behind it: further out for a response, nearer to the client for a request's body.
    pub(super) next: *mut sys::ap_filter_t,
    /// How the body of a request is asked for; `None` for a response, which is given.
    pub(super) wanted: Option<BodyWanted>,
    given: Brigade<'r>,
    /// Bytes of its first bucket that have been taken.
    taken: usize,
    /// What goes on.
    out: Brigade<'r>,
    staged: usize,
    /// It is a part of a page, whose filter takes it whole.
    is_part: bool,
    /// The filter has ended the body.
    is_closed: bool,
    /// What comes later passes as it is.
    passes_always: bool,
    /// What the filters around it answered.
    status: c_int,
}

/// How the body of a request is asked for.
#[derive(Clone, Copy)]
pub(super) struct BodyWanted {
    pub(super) block: sys::apr_read_type_e,
    pub(super) most: sys::apr_off_t,
    /// It has been asked for in this run.
    pub(super) is_asked: bool,
}

/// What a run has left.
pub(super) struct FlowEnd<'r> {
    pub(super) out: Brigade<'r>,
    pub(super) is_closed: bool,
    pub(super) passes_always: bool,
    pub(super) status: c_int,
}

impl<'r> Flow<'r> {
    /// # Safety
    /// `next` is the filter behind a live one of the request.
    pub(super) unsafe fn new(
        request: Request<'r>,
        next: *mut sys::ap_filter_t,
        given: Brigade<'r>,
        wanted: Option<BodyWanted>,
    ) -> Self {
        Self {
            next,
            wanted,
            given,
            taken: 0,
            out: request.brigade(),
            staged: 0,
            is_part: false,
            is_closed: false,
            passes_always: false,
            status: 0,
        }
    }

    /// A part of a page: `given` is what makes it.
    pub(super) fn of_part(request: Request<'r>, given: Brigade<'r>) -> Self {
        Self {
            next: std::ptr::null_mut(),
            wanted: None,
            given,
            taken: 0,
            out: request.brigade(),
            staged: 0,
            is_part: true,
            is_closed: false,
            passes_always: false,
            status: 0,
        }
    }

    /// Asks for the body of a request, once in a run.
    fn ask(&mut self) -> Result<(), Stop> {
        let Some(wanted) = self.wanted.as_mut().filter(|wanted| !wanted.is_asked) else { return Ok(()) };
        wanted.is_asked = true;
        // SAFETY: `new` promises the filter, which this thread's request has; the brigade is this run's own.
        self.status = unsafe {
            sys::ap_get_brigade(
                self.next,
                self.given.as_ptr(),
                sys::AP_MODE_READBYTES,
                wanted.block,
                wanted.most,
            )
        };
        if self.status == 0 { Ok(()) } else { Err(Stop::Failed) }
    }

    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<FilterRead, Stop> {
        self.ask()?;
        loop {
            let Some(mut first) = self.given.first() else { return Ok(FilterRead::Nothing) };
            if first.is_end() {
                return Ok(FilterRead::End);
            }
            if !first.is_data() {
                // What was written stands before it.
                self.given.move_first(&mut self.out);
                continue;
            }
            let bytes = first.read(ReadMode::Blocking).map_err(|_| Stop::Failed)?;
            let rest = bytes.get(self.taken..).unwrap_or_default();
            let count = rest.len().min(out.len());
            if let (Some(to), Some(from)) = (out.get_mut(..count), rest.get(..count)) {
                to.copy_from_slice(from);
            }
            if count < rest.len() {
                self.taken += count;
            } else {
                self.taken = 0;
                first.delete();
            }
            if count > 0 {
                return Ok(FilterRead::Bytes(count));
            }
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8], flush: bool) -> Result<(), Stop> {
        if self.is_closed {
            return Err(Stop::Invalid);
        }
        if !bytes.is_empty() {
            // SAFETY: the allocator of a brigade lives as long as the brigade; the bucket is new.
            unsafe { self.out.push(bucket(Bytes::Own(bytes.to_vec()), self.out.bucket_list())) }
            self.staged += bytes.len();
        }
        if self.wanted.is_some() || self.is_part {
            return Ok(());
        }
        if flush {
            self.out.push_flush();
        }
        if flush || self.staged >= STAGED { self.send() } else { Ok(()) }
    }

    /// Gives what goes on to the filter behind.
    fn send(&mut self) -> Result<(), Stop> {
        self.staged = 0;
        // SAFETY: `new` promises the filter, which this thread's request has; the brigade is this run's own.
        self.status = unsafe { sys::ap_pass_brigade(self.next, self.out.as_ptr()) };
        self.out.clear();
        if self.status == 0 { Ok(()) } else { Err(Stop::Cancelled) }
    }

    pub(super) fn close(&mut self) -> Result<(), Stop> {
        if self.is_closed || self.is_part {
            return Err(Stop::Invalid);
        }
        self.is_closed = true;
        self.out.push_end();
        Ok(())
    }

    pub(super) fn pass(&mut self, always: bool) -> Result<(), Stop> {
        if self.is_closed {
            // An end that has passed with the rest leaves nothing to pass.
            return if self.given.first().is_none() { Ok(()) } else { Err(Stop::Invalid) };
        }
        self.passes_always |= always;
        self.ask()?;
        if self.taken > 0 {
            let taken = std::mem::take(&mut self.taken);
            if let Some(mut first) = self.given.first() {
                first.split(taken);
            }
            if let Some(first) = self.given.first() {
                first.delete();
            }
        }
        self.is_closed |= self.given.is_whole();
        self.out.append(&mut self.given);
        Ok(())
    }

    /// What a part of a page is.
    pub(super) fn end_of_part(mut self) -> Brigade<'r> {
        self.given.clear();
        self.out
    }

    /// What has not been read is gone, but for metadata and the end.
    pub(super) fn end(mut self) -> FlowEnd<'r> {
        while let Some(first) = self.given.first() {
            if first.is_end() {
                if !self.is_closed {
                    self.is_closed = true;
                    self.out.push_end();
                }
                break;
            }
            if first.is_data() {
                first.delete();
            } else {
                self.given.move_first(&mut self.out);
            }
        }
        self.given.clear();
        FlowEnd {
            out: self.out,
            is_closed: self.is_closed,
            passes_always: self.passes_always,
            status: self.status,
        }
    }
}

/// A brigade of httpd's, for the call that gave it.
///
/// # Safety
/// It is NULL, or lives for `'r` and nobody else uses it meanwhile.
pub(super) unsafe fn given<'r>(raw: *mut sys::apr_bucket_brigade) -> Option<Brigade<'r>> {
    // SAFETY: the caller promises a brigade that lives for 'r and that nobody else uses; it is not NULL.
    NonNull::new(raw).map(|raw| unsafe { Brigade::from_raw(raw) })
}
