// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls of the server that may wait for the client: without the interpreter's lock.

use std::sync::atomic::Ordering;

use gangway_abi::ffi::{
    GW_CANCELLED, GW_MISUSE, GW_NUMBER_ABORTED, GW_NUMBER_BYTES_SENT, GW_NUMBER_CHUNKED, GW_NUMBER_CLENGTH,
    GW_NUMBER_EOS_SENT, GW_NUMBER_SENT_BODYCT, GW_OK,
};
use pyo3::prelude::*;

use super::transaction::{Transaction, outcome};
use crate::body::{Received, Source};

/// Whether the server lets leave what waits before it tells this number.
fn tells_of_response(number: u32) -> bool {
    matches!(
        number,
        GW_NUMBER_ABORTED
            | GW_NUMBER_BYTES_SENT
            | GW_NUMBER_CHUNKED
            | GW_NUMBER_CLENGTH
            | GW_NUMBER_EOS_SENT
            | GW_NUMBER_SENT_BODYCT
    )
}

impl Transaction {
    /// [`Self::let_go`] where this number tells of it.
    pub(super) fn let_go_for(&self, py: Python<'_>, number: u32) -> PyResult<()> {
        if tells_of_response(number) { self.let_go(py) } else { Ok(()) }
    }

    /// Before a call for which the server lets leave what waits there: it may wait for a client that does not read, and all handlers of the
    /// process would wait with it.
    pub(super) fn let_go(&self, py: Python<'_>) -> PyResult<()> {
        let own = self.beside.as_ref().map_or(self, |(of, _)| of.get());
        if own.may_wait.load(Ordering::Relaxed) && own.stay.is_here(py) {
            own.may_wait.store(false, Ordering::Relaxed);
            let mut sent = 0i64;
            let place = &raw mut sent as usize;
            // Whoever asked for the call hears what is wrong.
            own.wait(py, move |calls, raw| {
                // SAFETY: the transaction is live, and the place outlives the call, for which this function waits.
                unsafe { (calls.number)(raw, GW_NUMBER_BYTES_SENT, place as *mut i64) }
            })?;
        }
        Ok(())
    }
}

impl Source for Transaction {
    fn receive(&self, py: Python<'_>, out: &mut [u8]) -> PyResult<Received> {
        let (address, capacity) = (out.as_mut_ptr() as usize, out.len());
        let mut length = 0usize;
        let length_address = &raw mut length as usize;
        let status = self.wait(py, move |calls, raw| {
            // SAFETY: `out` and `length` are borrowed mutably for this whole function, which waits for the call; the
            // transaction is live.
            unsafe { (calls.read)(raw, address as *mut u8, capacity, length_address as *mut usize) }
        })?;
        match status {
            GW_OK => Ok(Received::Bytes(length)),
            GW_CANCELLED => Ok(Received::Left),
            GW_MISUSE => outcome(status, "reading").map(|()| Received::Broken),
            _ => Ok(Received::Broken),
        }
    }
}
