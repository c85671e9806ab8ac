// SPDX-License-Identifier: MIT OR Apache-2.0
//! What all calls of handlers share: the transaction behind a pointer of theirs, and what is said of wrong ones.

use std::{cell::RefCell, ffi::c_void, ptr};

use gangway_abi::{
    bytes::{checked, lend},
    ffi::{self as abi, GW_ERROR},
};

use super::{answers::status, fence::fence};
use crate::{
    error::{BAD_HEADER, ENGINE_MISUSE},
    exchange::Stop,
    log::{self, Level},
    phases::Transaction,
};

/// What a gw_transaction points to, for as long as run_phase() lasts.
pub(super) struct Visit<'t> {
    pub(super) transaction: Visited<'t>,
    /// Those that were found beside it. Their addresses are lent.
    #[expect(clippy::vec_box, reason = "a growing list moves what is in it")]
    pub(super) beside: RefCell<Vec<Box<Visit<'static>>>>,
}

/// The request of a visit.
pub(super) enum Visited<'t> {
    Lent(&'t dyn Transaction),
    Own(Box<dyn Transaction>),
}

impl<'t> Visit<'t> {
    pub(super) fn new(transaction: Visited<'t>) -> Self {
        Self { transaction, beside: RefCell::default() }
    }

    pub(super) fn get(&self) -> &dyn Transaction {
        match &self.transaction {
            Visited::Lent(transaction) => *transaction,
            Visited::Own(transaction) => transaction.as_ref(),
        }
    }

    /// As an engine names it. It stays where it is for as long as that is used.
    pub(super) fn lend(&self) -> *mut abi::gw_transaction {
        ptr::from_ref(self).cast_mut().cast()
    }
}

/// Every call about a transaction passes here: fence, NULL check, answer.
///
/// # Safety
/// `transaction` is NULL or one that run_phase() has lent and that has not ended.
pub(super) unsafe fn call(
    entry: &'static str,
    transaction: *mut abi::gw_transaction,
    body: impl FnOnce(&dyn Transaction) -> Result<(), Stop>,
) -> abi::gw_status {
    // SAFETY: the caller promises NULL or a transaction that has not ended.
    unsafe { visit(entry, transaction, |visit| body(visit.get())) }
}

/// As [`call`], with what is kept for the engine's stay.
///
/// # Safety
/// As for [`call`].
pub(super) unsafe fn visit(
    entry: &'static str,
    transaction: *mut abi::gw_transaction,
    body: impl FnOnce(&Visit<'_>) -> Result<(), Stop>,
) -> abi::gw_status {
    fence(entry, GW_ERROR, || {
        // SAFETY: a gw_transaction is the address of a Visit that run_phase() keeps alive; the caller promises that it still lasts.
        if let Some(visit) = unsafe { transaction.cast::<Visit<'_>>().as_ref() } {
            return status(body(visit));
        }
        let text = format_args!("an engine called {entry}() without a transaction");
        log::coded(Level::Error, ENGINE_MISUSE, text);
        abi::GW_MISUSE
    })
}

pub(super) fn misuse(transaction: &dyn Transaction, text: &str) -> Stop {
    transaction.facts().log(Level::Error, &format!("{ENGINE_MISUSE} the engine broke its contract: {text}"));
    Stop::Misuse
}

pub(super) fn refuse(transaction: &dyn Transaction, text: &str) -> Stop {
    transaction.facts().log(Level::Error, &format!("{BAD_HEADER} {text}"));
    Stop::Invalid
}

/// Bytes as an engine gives them to a call.
///
/// # Safety
/// `data` is NULL or readable for as long as the answer is used.
pub(super) unsafe fn readable<'a>(
    transaction: &dyn Transaction,
    entry: &str,
    data: *const u8,
    length: usize,
) -> Result<&'a [u8], Stop> {
    // SAFETY: the caller promises bytes that are readable for as long; NULL is looked for.
    unsafe { checked(data, length) }
        .ok_or_else(|| misuse(transaction, &format!("{entry} with NULL data of some length")))
}

/// Where values go that an engine has asked for.
pub(super) struct Taker {
    give: unsafe extern "C" fn(*mut c_void, abi::gw_bytes, abi::gw_bytes),
    context: *mut c_void,
}

impl Taker {
    pub(super) fn new(
        transaction: &dyn Transaction,
        give: abi::gw_give_fn,
        context: *mut c_void,
    ) -> Result<Self, Stop> {
        let give = give.ok_or_else(|| misuse(transaction, "a question without a function for the answer"))?;
        Ok(Self { give, context })
    }

    pub(super) fn give(&self, name: &[u8], value: &[u8]) {
        // SAFETY: gangway.h: the engine's function, with the context that came with it; the bytes are borrowed for the call.
        unsafe { (self.give)(self.context, lend(name), lend(value)) }
    }
}
