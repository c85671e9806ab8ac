// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls of filters.

use std::slice;

use gangway_abi::{
    bytes::borrow,
    ffi::{self as abi, GW_FLUSH},
};

use super::visit::{call, misuse, readable, refuse};
use crate::{
    exchange::Stop,
    phases::{FilterRead, Handler, RequestPhase},
};

pub(super) unsafe extern "C" fn read(
    transaction: *mut abi::gw_transaction,
    buffer: *mut u8,
    capacity: usize,
    length: *mut usize,
    piece: *mut u32,
) -> abi::gw_status {
    // SAFETY: gangway.h: the transaction is live; `buffer` is `capacity` bytes of the caller's, `length` and `piece` are the caller's, all
    // checked for NULL.
    unsafe {
        call("filter_read", transaction, |transaction| {
            if buffer.is_null() || capacity == 0 || length.is_null() || piece.is_null() {
                return Err(misuse(transaction, "filter_read() without a buffer"));
            }
            piece.write(match transaction.filter_read(slice::from_raw_parts_mut(buffer, capacity))? {
                FilterRead::Bytes(count) => {
                    length.write(count);
                    abi::GW_PIECE_BYTES
                }
                FilterRead::Nothing => abi::GW_PIECE_NONE,
                FilterRead::End => abi::GW_PIECE_END,
            });
            Ok(())
        })
    }
}

pub(super) unsafe extern "C" fn write(
    transaction: *mut abi::gw_transaction,
    data: *const u8,
    length: usize,
    flags: u32,
) -> abi::gw_status {
    // SAFETY: gangway.h: the transaction is live and `data` is readable for the call.
    unsafe {
        call("filter_write", transaction, |transaction| {
            let data = readable(transaction, "filter_write()", data, length)?;
            transaction.filter_write(data, flags & GW_FLUSH != 0)
        })
    }
}

pub(super) unsafe extern "C" fn close(transaction: *mut abi::gw_transaction) -> abi::gw_status {
    // SAFETY: gangway.h: the transaction is live.
    unsafe { call("filter_close", transaction, |transaction| transaction.filter_close()) }
}

pub(super) unsafe extern "C" fn pass(transaction: *mut abi::gw_transaction, flags: u32) -> abi::gw_status {
    // SAFETY: gangway.h: the transaction is live.
    unsafe {
        call("filter_pass", transaction, |transaction| {
            transaction.filter_pass(flags & abi::GW_PASS_ALWAYS != 0)
        })
    }
}

pub(super) unsafe extern "C" fn add(
    transaction: *mut abi::gw_transaction,
    phase: u32,
    name: abi::gw_bytes,
    handler: abi::gw_bytes,
    directory: abi::gw_bytes,
) -> abi::gw_status {
    // SAFETY: gangway.h: the transaction is live; the bytes are borrowed for the call.
    unsafe {
        call("add_filter", transaction, |transaction| {
            let phase =
                RequestPhase::from_abi(phase).filter(|phase| phase.is_filter()).ok_or(Stop::Invalid)?;
            let (filter, name, directory) = (borrow(name), borrow(handler), borrow(directory));
            if filter.is_empty() || [filter, name, directory].iter().any(|part| part.contains(&0)) {
                return Err(refuse(transaction, "a filter without a name, or with NUL in it, is refused"));
            }
            let handler = Handler { phase, name, suffix: None, directory };
            transaction.add_filter(phase, filter, (!name.is_empty()).then_some(&handler))
        })
    }
}
