// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request's body, on its way from httpd's input filters to the backend.

use std::{
    ffi::c_int,
    ptr::{self, NonNull},
};

use gangway::{http::Decimal, protocol::Protocol};
use gangway_httpd::{
    brigade::{Brigade, ReadMode},
    request::{BodyError, BodyLength},
    status::NOT_IMPLEMENTED,
    transfer::{AT_A_TIME, Filled, Record},
};

use super::{Request, backend::WorkerConnection, sys};

/// Bytes of a body that are read before a connection is taken, and that are kept in memory when the whole body
/// must be there first: what mod_proxy_fcgi does.
const IN_MEMORY: sys::apr_off_t = 16 * 1024;
/// The body of one request.
pub(crate) struct RequestBody<'r> {
    request: Request<'r>,
    /// What was read in advance, shared by the attempts of a balancer. None: there is no body.
    saved: Option<Brigade<'r>>,
    /// What the filters have just given; made at its first use.
    fresh: Option<Brigade<'r>>,
    ended: bool,
    /// Bytes have been taken: another backend cannot have them any more.
    taken: bool,
}

impl<'r> RequestBody<'r> {
    /// Reads what is there already, or all of it where the backend must know the length first.
    ///
    /// # Errors
    /// The status to answer.
    pub(crate) fn prepare(
        request: Request<'r>,
        connection: &WorkerConnection<'_>,
        needs_length: bool,
    ) -> Result<Self, c_int> {
        let body = Self { request, saved: saved(request), fresh: None, ended: false, taken: false };
        if body.saved.is_some() {
            return Ok(body);
        }
        if !request.has_body() {
            return Ok(Self { ended: true, ..body });
        }
        if request.body_length() == BodyLength::Coded {
            // RFC 9112 §6.1.
            return Err(NOT_IMPLEMENTED);
        }
        let mut brigade = request.brigade();
        // SAFETY: the brigade lives in the pool in which it is noted; APR keeps the key, which lives for the process.
        unsafe {
            let (brigade, pool) = (brigade.as_ptr().cast(), request.pool().as_ptr());
            sys::apr_pool_userdata_setn(brigade, KEY.as_ptr(), None, pool);
        }
        read_ahead(request, &mut brigade, connection, needs_length)?;
        Ok(Self { saved: Some(brigade), ..body })
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
        if self.saved.is_none() {
            return Filled::Nothing;
        }
        let mut record = Record::begin(out, protocol);
        let filled = self.fill_record(&mut record, wait);
        record.end();
        if let Err(error) = filled {
            return Filled::Failed(error);
        }
        if self.ended {
            out.extend_from_slice(protocol.body_end());
        }
        if out.len() == before && !self.ended { Filled::Nothing } else { Filled::Some }
    }

    /// Fills a record with what has been read, and with what can be.
    fn fill_record(&mut self, record: &mut Record<'_>, wait: bool) -> Result<(), BodyError> {
        let request = self.request;
        loop {
            self.drain(record).map_err(|status| request.body_error(status))?;
            if self.ended || record.room() == 0 {
                return Ok(());
            }
            let fresh = self.fresh.get_or_insert_with(|| request.brigade());
            let mode = if wait && record.is_empty() { ReadMode::Blocking } else { ReadMode::NonBlocking };
            if !request.read_input(fresh, AT_A_TIME, mode)? {
                return Ok(());
            }
            if let Some(saved) = &mut self.saved {
                saved.append(fresh);
            }
        }
    }

    /// Moves bytes of what has been read to a record, as long as it has room. An error is a status of APR's.
    fn drain(&mut self, record: &mut Record<'_>) -> Result<(), c_int> {
        let Some(saved) = &mut self.saved else { return Ok(()) };
        while !self.ended && record.room() > 0 {
            let Some(mut bucket) = saved.first() else { break };
            if bucket.is_end() {
                self.ended = true;
            } else {
                self.taken |= record.append(&mut bucket)?;
            }
            bucket.delete();
        }
        Ok(())
    }

    /// For a request without a body: what follows the body that is not there.
    pub(crate) fn end_of_none(&self, out: &mut Vec<u8>, protocol: &dyn Protocol) {
        if self.saved.is_none() {
            out.extend_from_slice(protocol.body_end());
        }
    }
}

const KEY: &std::ffi::CStr = c"gangway-proxy-input";

/// What an earlier attempt has read in advance.
fn saved(request: Request<'_>) -> Option<Brigade<'_>> {
    let mut known = ptr::null_mut();
    // SAFETY: the pool of a `Request` is live. What is found under our key is the brigade that `prepare` has noted there, in the same pool; the
    // attempt that had it is over.
    unsafe {
        sys::apr_pool_userdata_get(&raw mut known, KEY.as_ptr(), request.pool().as_ptr());
        NonNull::new(known.cast()).map(|raw| Brigade::from_raw(raw))
    }
}

/// How the length of the body becomes known, as mod_proxy_fcgi does it; or it must be known first.
fn read_ahead<'r>(
    request: Request<'r>,
    saved: &mut Brigade<'r>,
    connection: &WorkerConnection<'_>,
    needs_length: bool,
) -> Result<(), c_int> {
    let chunked = request.header(c"Transfer-Encoding").is_some();
    if chunked {
        request.unset_header(c"Content-Length");
    }
    let begins_plain = !request.is_filtered();
    // Filters are rarely asked for what is there, and some end the process then (mod_request).
    let mode = if begins_plain { sys::APR_NONBLOCK_READ } else { sys::APR_BLOCK_READ };
    let (raw, mut count) = (connection.as_ptr(), 0);
    // SAFETY: a `Request` is live on this thread, mod_proxy's connection is ours, and the brigade is the request's own.
    let status = unsafe {
        sys::ap_proxy_prefetch_input(request.as_ptr(), raw, saved.as_ptr(), mode, &raw mut count, IN_MEMORY)
    };
    if status != 0 {
        return Err(status);
    }
    if count > 0 {
        request.set_body_begun();
    }
    if saved.is_whole() {
        set_length(request, count);
        return Ok(());
    }
    // A filter that had nothing to do has taken itself out; one that is done has taken the length away, too. Without Transfer-Encoding
    // Content-Length is the length.
    let has_length = !chunked && request.header(c"Content-Length").is_some() && !request.is_filtered();
    // A client's length is a promise to the backend: behind a filter only the whole body keeps it.
    let may_stream = begins_plain && !needs_length && request.variable(c"proxy-sendcl").is_none();
    if has_length || may_stream {
        return Ok(());
    }
    let (mut more, mut rest) = (request.brigade(), 0);
    let room = IN_MEMORY.saturating_sub(count).max(0);
    // SAFETY: a `Request` is live on this thread, mod_proxy's connection is ours, and the brigade is the request's own.
    let status =
        unsafe { sys::ap_proxy_spool_input(request.as_ptr(), raw, more.as_ptr(), &raw mut rest, room) };
    if status != 0 {
        return Err(status);
    }
    saved.append(&mut more);
    set_length(request, count.saturating_add(rest));
    Ok(())
}

/// Tells the variables how long the body is.
fn set_length(request: Request<'_>, count: sys::apr_off_t) {
    let mut digits = Decimal::default();
    request.set_header(c"Content-Length", digits.write(u64::try_from(count).unwrap_or(0)));
    request.unset_header(c"Transfer-Encoding");
}
