// SPDX-License-Identifier: MIT OR Apache-2.0
//! The calls of filters, for the package.

use gangway_abi::{
    bytes::lend,
    ffi::{GW_FLUSH, GW_PASS_ALWAYS, GW_PIECE_BYTES, GW_PIECE_NONE},
};
use pyo3::{prelude::*, types::PyBytes};

use super::transaction::{Transaction, outcome, with_bytes};

/// Bytes of a body that a filter gets at a time.
const PIECE: usize = 64 * 1024;

impl Transaction {
    /// In a filter: at most so many bytes of what has come; none where there are no more in this run, None at the end.
    pub(super) fn read_piece<'py>(
        &self,
        py: Python<'py>,
        size: usize,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let filters = self.filters()?;
        let mut buffer = vec![0u8; size.clamp(1, PIECE)];
        let (address, capacity) = (buffer.as_mut_ptr() as usize, buffer.len());
        let (mut length, mut piece) = (0usize, GW_PIECE_NONE);
        let (length_address, piece_address) = (&raw mut length as usize, &raw mut piece as usize);
        let status = self.wait(py, move |_, raw| {
            // SAFETY: the buffer and the places outlive the call, which this function waits for; the transaction is live.
            unsafe {
                (filters.read)(
                    raw,
                    address as *mut u8,
                    capacity,
                    length_address as *mut usize,
                    piece_address as *mut u32,
                )
            }
        })?;
        outcome(status, "reading")?;
        match piece {
            GW_PIECE_BYTES => Ok(Some(PyBytes::new(py, buffer.get(..length).unwrap_or_default()))),
            GW_PIECE_NONE => Ok(Some(PyBytes::new(py, b""))),
            _ => Ok(None),
        }
    }

    /// In a filter: passes bytes on.
    pub(super) fn pass_bytes(&self, py: Python<'_>, data: &Bound<'_, PyBytes>, flush: bool) -> PyResult<()> {
        let (filters, bytes) = (self.filters()?, data.as_bytes());
        let flags = if flush { GW_FLUSH } else { 0 };
        let (address, length) = (bytes.as_ptr() as usize, bytes.len());
        let status = self.wait(py, move |_, raw| {
            // SAFETY: `data` keeps the bytes alive for the call, and bytes objects never change; the transaction is live.
            unsafe { (filters.write)(raw, address as *const u8, length, flags) }
        })?;
        outcome(status, "writing")
    }

    /// In a filter: ends the body.
    pub(super) fn end_pieces(&self, py: Python<'_>) -> PyResult<()> {
        let filters = self.filters()?;
        // SAFETY: the transaction is live while a phase of it runs.
        let status = self.wait(py, move |_, raw| unsafe { (filters.close)(raw) })?;
        outcome(status, "the end")
    }

    /// In a filter: passes on what has not been read.
    pub(super) fn pass_rest(&self, py: Python<'_>, always: bool) -> PyResult<()> {
        let filters = self.filters()?;
        let flags = if always { GW_PASS_ALWAYS } else { 0 };
        // SAFETY: the transaction is live while a phase of it runs.
        let status = self.wait(py, move |_, raw| unsafe { (filters.pass)(raw, flags) })?;
        outcome(status, "passing on")
    }

    /// Adds a filter to the request; with an empty handler one of the server's.
    pub(super) fn add_one(
        &self,
        py: Python<'_>,
        phase: u32,
        [name, handler, directory]: [&Bound<'_, PyAny>; 3],
    ) -> PyResult<()> {
        let add = self.filters()?.add;
        self.let_go(py)?;
        with_bytes(name, |name| {
            with_bytes(handler, |handler| {
                with_bytes(directory, |directory| {
                    let raw = self.lent(py)?;
                    // SAFETY: the transaction is live while a phase of it runs; the bytes are borrowed for the call.
                    let status = unsafe { add(raw, phase, lend(name), lend(handler), lend(directory)) };
                    outcome(status, "this filter")
                })
            })
        })
    }
}
