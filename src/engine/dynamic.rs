// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls of handlers for what runs later in their request.

use gangway_abi::{bytes::borrow, ffi as abi};

use super::visit::{call, refuse};
use crate::{
    exchange::Stop,
    phases::{Handler, RequestPhase},
};

pub(super) unsafe extern "C" fn add_handler(
    transaction: *mut abi::gw_transaction,
    phase: u32,
    name: abi::gw_bytes,
    directory: abi::gw_bytes,
) -> abi::gw_status {
    // SAFETY: gangway.h: the transaction is live; name and directory are borrowed for the call.
    unsafe {
        call("add_handler", transaction, |transaction| {
            let phase = RequestPhase::from_abi(phase).ok_or(Stop::Invalid)?;
            let (name, directory) = (borrow(name), borrow(directory));
            if name.is_empty() || name.contains(&0) || directory.contains(&0) {
                return Err(refuse(transaction, "a handler without a name, or with NUL in it, is refused"));
            }
            transaction.add_handler(&Handler { phase, name, suffix: None, directory })
        })
    }
}

pub(super) unsafe extern "C" fn await_cleanup(transaction: *mut abi::gw_transaction) -> abi::gw_status {
    // SAFETY: gangway.h: the transaction is live.
    unsafe { call("await_cleanup", transaction, |transaction| transaction.await_cleanup()) }
}
