// SPDX-License-Identifier: MIT OR Apache-2.0
//! A connection whose filters give its bytes to the client's socket, and take them from it, as they are: then they can be left out, which
//! read 8,000 bytes at a time and copy what they write.

use std::{ffi::CStr, mem, os::fd::RawFd, sync::OnceLock};

use gangway::{
    exchange::{ConnectionLost, TransportRead},
    sys::{receive_now, send_now},
};

use super::{Request, sys};

/// mod_logio, which counts for the log, and httpd's own. What mod_reqtimeout has before what leaves looks for the end of a response, which
/// begins the time of the next request.
const INPUT: [&[u8]; 2] = [b"log_input_output", b"core_in"];
const OUTPUT: [&[u8]; 2] = [b"reqtimeout", b"core"];

type Count = unsafe extern "C" fn(*mut sys::conn_rec, sys::apr_off_t);

/// The socket of such a connection.
pub(super) struct PlainSocket {
    connection: *mut sys::conn_rec,
    descriptor: RawFd,
    /// The filters have given all that they had kept.
    is_bare: bool,
    /// The last read has taken all that was there.
    is_drained: bool,
}

impl PlainSocket {
    /// That of the connection of a request, if it is one.
    pub(super) fn of(request: Request<'_>) -> Option<Self> {
        let connection = request.connection();
        // SAFETY: httpd keeps the connection for longer than the request, and this is its thread.
        let is_plain = unsafe {
            has_only(&INPUT, (*connection).input_filters) && has_only(&OUTPUT, (*connection).output_filters)
        };
        let descriptor = request.socket()?.descriptor();
        is_plain.then_some(Self { connection, descriptor, is_bare: false, is_drained: false })
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.descriptor
    }

    /// The filters have nothing at the moment: from now on they are left out.
    pub(super) fn leave_filters_out(&mut self) {
        self.is_bare = true;
    }

    pub(super) fn is_bare(&self) -> bool {
        self.is_bare
    }

    /// Reads what has come. `None`: the filters are to be asked.
    pub(super) fn receive(&mut self, into: &mut [u8]) -> Option<TransportRead> {
        if !self.is_bare {
            return None;
        }
        if mem::take(&mut self.is_drained) {
            // What has come since is shown anew.
            return Some(TransportRead::Later);
        }
        Some(match receive_now(self.descriptor, into) {
            Ok(None) => TransportRead::Later,
            Ok(Some(0)) | Err(_) => TransportRead::End,
            Ok(Some(count)) => {
                self.is_drained = count < into.len();
                self.count_read(count);
                TransportRead::Bytes(count)
            }
        })
    }

    /// Has the kernel take what it takes now.
    pub(super) fn transmit(&self, bytes: &[u8]) -> Result<usize, ConnectionLost> {
        let count = send_now(self.descriptor, bytes).map_err(|_| ConnectionLost)?;
        self.count_written(count);
        Ok(count)
    }

    pub(super) fn count_written(&self, count: usize) {
        self.count(c"ap_logio_add_bytes_out", &OUT, count);
    }

    pub(super) fn count_read(&self, count: usize) {
        self.count(c"ap_logio_add_bytes_in", &IN, count);
    }

    /// Has mod_logio count, if it is there.
    fn count(&self, name: &CStr, function: &OnceLock<Option<Count>>, bytes: usize) {
        let function = function.get_or_init(|| {
            // SAFETY: asked for while requests are served, when the table of such functions is complete. Functions of these names have this
            // type: mod_logio.c.
            unsafe {
                let found = sys::apr_dynamic_fn_retrieve(name.as_ptr());
                mem::transmute::<sys::apr_opt_fn_t, Option<Count>>(found)
            }
        });
        if let (Some(count), Ok(bytes)) = (function, sys::apr_off_t::try_from(bytes))
            && bytes > 0
        {
            // SAFETY: the connection lives as long as who has this, and is served by this thread.
            unsafe { count(self.connection, bytes) }
        }
    }
}

static IN: OnceLock<Option<Count>> = OnceLock::new();
static OUT: OnceLock<Option<Count>> = OnceLock::new();

/// # Safety
/// The list of filters is that of a live connection, on its thread.
unsafe fn has_only(names: &[&[u8]], mut filter: *mut sys::ap_filter_t) -> bool {
    // SAFETY: the caller promises a list whose filters live as long as the connection, and their names for the process.
    while let Some(known) = unsafe { filter.as_ref() } {
        // SAFETY: the record of a filter lives as long as the filter, and its name is a string that httpd keeps for the process.
        let name = unsafe { CStr::from_ptr((*known.frec).name) }.to_bytes();
        if !names.iter().any(|plain| name.eq_ignore_ascii_case(plain)) {
            return false;
        }
        filter = known.next;
    }
    true
}
