// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls of handlers about what is beside their request: other requests, the server.

use std::{
    ffi::c_void,
    ptr::{self, NonNull},
};

use gangway_abi::{bytes::borrow, ffi as abi};

use super::visit::{Taker, Visit, Visited, call, misuse, visit};
use crate::{
    exchange::Stop,
    phases::{LookUp, Relation},
};

pub(super) unsafe extern "C" fn related(
    transaction: *mut abi::gw_transaction,
    which: u32,
    other: *mut *mut abi::gw_transaction,
) -> abi::gw_status {
    // SAFETY: gangway.h: the transaction is live; `other` is the caller's, checked for NULL.
    unsafe {
        visit("related", transaction, |visit| {
            let out = NonNull::new(other)
                .ok_or_else(|| misuse(visit.get(), "related() without a place for the answer"))?;
            let which = Relation::from_abi(which).ok_or(Stop::Invalid)?;
            let found =
                visit.get().facts().related(which)?.map(|other| Box::new(Visit::new(Visited::Own(other))));
            out.write(found.as_ref().map_or(ptr::null_mut(), |found| found.lend()));
            visit.beside.borrow_mut().extend(found);
            Ok(())
        })
    }
}

pub(super) unsafe extern "C" fn look_up(
    transaction: *mut abi::gw_transaction,
    what: u32,
    name: abi::gw_bytes,
    give: abi::gw_give_fn,
    context: *mut c_void,
) -> abi::gw_status {
    // SAFETY: gangway.h: the transaction is live; the name is borrowed for the call.
    unsafe {
        call("look_up", transaction, |transaction| {
            let taker = Taker::new(transaction, give, context)?;
            let what = LookUp::from_abi(what).ok_or(Stop::Invalid)?;
            transaction.facts().look_up(what, borrow(name), &mut |value| taker.give(b"", value))
        })
    }
}
