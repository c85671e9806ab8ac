// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of calls that handlers of phases get: `gw_transactions`.

use std::{ffi::c_void, ptr::NonNull, slice};

use gangway_abi::{
    bytes::borrow,
    ffi::{self as abi, GW_FLUSH, GW_NOWAIT},
    head::{is_connection_field, is_field_name, is_field_value},
};

use super::{
    beside,
    calls::{is_within_a_file, log_text},
    dynamic,
    fence::fence,
    filters, servers,
    visit::{Taker, Visit, call, misuse, readable, refuse},
};
use crate::{
    exchange::Stop,
    log,
    phases::{Change, Fact, Number, PhaseAnswer, Table, Transaction},
    sys,
};

/// The one table of this process.
pub(super) static TRANSACTIONS: abi::gw_transactions = abi::gw_transactions {
    struct_size: size_of::<abi::gw_transactions>(),
    text: Some(text),
    set_text: Some(set_text),
    number: Some(number),
    set_number: Some(set_number),
    table: Some(table),
    change_table: Some(change_table),
    read: Some(read),
    write: Some(write),
    send_file: Some(send_file),
    set_length: Some(set_length),
    meets_conditions: Some(meets_conditions),
    redirect: Some(redirect),
    log: Some(log_line),
    add_handler: Some(dynamic::add_handler),
    await_cleanup: Some(dynamic::await_cleanup),
    related: Some(beside::related),
    look_up: Some(beside::look_up),
    filter_read: Some(filters::read),
    filter_write: Some(filters::write),
    filter_close: Some(filters::close),
    filter_pass: Some(filters::pass),
    add_filter: Some(filters::add),
    next_server: Some(servers::next_server),
};

unsafe extern "C" fn text(
    transaction: *mut abi::gw_transaction,
    fact: u32,
    give: abi::gw_give_fn,
    context: *mut c_void,
) -> abi::gw_status {
    // SAFETY: gangway.h: the transaction is live.
    unsafe {
        call("text", transaction, |transaction| {
            let taker = Taker::new(transaction, give, context)?;
            let fact = Fact::from_abi(fact).ok_or(Stop::Invalid)?;
            transaction.facts().text(fact, &mut |value| taker.give(b"", value))
        })
    }
}

/// Texts that leave with a head.
fn is_of_head(fact: Fact) -> bool {
    matches!(fact, Fact::ContentType | Fact::ContentEncoding | Fact::StatusLine)
}

unsafe extern "C" fn set_text(
    transaction: *mut abi::gw_transaction,
    fact: u32,
    value: *const abi::gw_bytes,
) -> abi::gw_status {
    // SAFETY: gangway.h: the transaction is live; `value` is NULL or bytes, borrowed for the call.
    unsafe {
        call("set_text", transaction, |transaction| {
            let fact = Fact::from_abi(fact).ok_or(Stop::Invalid)?;
            let value = value.as_ref().map(|value| borrow(*value));
            let is_right = |value: &[u8]| !value.contains(&0) && (!is_of_head(fact) || is_field_value(value));
            if value.is_some_and(|value| !is_right(value)) {
                return Err(refuse(transaction, "a value with control bytes is refused"));
            }
            transaction.facts().set_text(fact, value)
        })
    }
}

unsafe extern "C" fn number(
    transaction: *mut abi::gw_transaction,
    number: u32,
    value: *mut i64,
) -> abi::gw_status {
    // SAFETY: gangway.h: the transaction is live; `value` is the caller's, checked for NULL.
    unsafe {
        call("number", transaction, |transaction| {
            let out = NonNull::new(value).ok_or_else(|| misuse(transaction, "number() without a place"))?;
            let number = Number::from_abi(number).ok_or(Stop::Invalid)?;
            out.write(transaction.facts().number(number)?);
            Ok(())
        })
    }
}

unsafe extern "C" fn set_number(
    transaction: *mut abi::gw_transaction,
    number: u32,
    value: i64,
) -> abi::gw_status {
    // SAFETY: gangway.h: the transaction is live.
    unsafe {
        call("set_number", transaction, |transaction| {
            let number = Number::from_abi(number).ok_or(Stop::Invalid)?;
            if number == Number::Status && !(100..600).contains(&value) {
                return Err(Stop::Invalid);
            }
            transaction.facts().set_number(number, value)
        })
    }
}

unsafe extern "C" fn table(
    transaction: *mut abi::gw_transaction,
    table: u32,
    name: *const abi::gw_bytes,
    give: abi::gw_give_fn,
    context: *mut c_void,
) -> abi::gw_status {
    // SAFETY: gangway.h: the transaction is live; `name` is NULL or bytes, borrowed for the call.
    unsafe {
        call("table", transaction, |transaction| {
            let taker = Taker::new(transaction, give, context)?;
            let table = Table::from_abi(table).ok_or(Stop::Invalid)?;
            let name = name.as_ref().map(|name| borrow(*name));
            transaction.facts().entries(table, name, &mut |name, value| taker.give(name, value))
        })
    }
}

unsafe extern "C" fn change_table(
    transaction: *mut abi::gw_transaction,
    table: u32,
    change: u32,
    name: abi::gw_bytes,
    value: abi::gw_bytes,
) -> abi::gw_status {
    // SAFETY: gangway.h: the transaction is live; name and value are borrowed for the call.
    unsafe {
        call("change_table", transaction, |transaction| {
            let table = Table::from_abi(table).ok_or(Stop::Invalid)?;
            let (name, value) = (borrow(name), borrow(value));
            let change = match change {
                abi::GW_CHANGE_SET => Change::Set(name, value),
                abi::GW_CHANGE_ADD => Change::Add(name, value),
                abi::GW_CHANGE_UNSET => Change::Unset(name),
                abi::GW_CHANGE_CLEAR => Change::Clear,
                _ => return Err(Stop::Invalid),
            };
            if table.is_fixed() {
                return Err(Stop::Invalid);
            }
            check(transaction, table, change)?;
            transaction.facts().change(table, change)
        })
    }
}

/// Holds an entry to the rules: what is in a table of headers may leave with a head.
fn check(transaction: &dyn Transaction, table: Table, change: Change<'_>) -> Result<(), Stop> {
    let (Change::Set(name, value) | Change::Add(name, value)) = change else { return Ok(()) };
    if !table.has_headers() {
        return if name.contains(&0) || value.contains(&0) {
            Err(refuse(transaction, "an entry of a table with NUL is refused"))
        } else {
            Ok(())
        };
    }
    let shown = log::escape(name);
    if !is_field_name(name) {
        return Err(refuse(transaction, &format!("\"{shown}\" is not the name of a header")));
    }
    if !is_field_value(value) {
        return Err(refuse(transaction, &format!("the value of the header {shown} holds control bytes")));
    }
    if table != Table::HeadersIn && is_connection_field(name) {
        return Err(refuse(transaction, &format!("the header {shown} is the server's own")));
    }
    Ok(())
}

unsafe extern "C" fn read(
    transaction: *mut abi::gw_transaction,
    buffer: *mut u8,
    capacity: usize,
    length: *mut usize,
) -> abi::gw_status {
    // SAFETY: gangway.h: the transaction is live; `buffer` is `capacity` bytes of the caller's and `length` is the caller's, both
    // checked for NULL.
    unsafe {
        call("read", transaction, |transaction| {
            if buffer.is_null() || capacity == 0 || length.is_null() {
                return Err(misuse(transaction, "read() without a buffer"));
            }
            length.write(transaction.read(slice::from_raw_parts_mut(buffer, capacity))?);
            Ok(())
        })
    }
}

unsafe extern "C" fn write(
    transaction: *mut abi::gw_transaction,
    data: *const u8,
    length: usize,
    flags: u32,
) -> abi::gw_status {
    // SAFETY: gangway.h: the transaction is live and `data` is readable for the call.
    unsafe {
        call("write", transaction, |transaction| {
            let (bytes, flush) = (readable(transaction, "write()", data, length)?, flags & GW_FLUSH != 0);
            if flags & GW_NOWAIT == 0 {
                transaction.write(bytes, flush)
            } else {
                transaction.write_at_once(bytes, flush)
            }
        })
    }
}

unsafe extern "C" fn send_file(
    transaction: *mut abi::gw_transaction,
    fd: i32,
    offset: u64,
    length: u64,
    flags: u32,
) -> abi::gw_status {
    // SAFETY: gangway.h: the transaction is live.
    unsafe {
        call("send_file", transaction, |transaction| {
            if !is_within_a_file(offset, length) {
                return Err(misuse(transaction, "send_file() beyond the largest file"));
            }
            let file = sys::duplicate(fd)
                .map_err(|error| misuse(transaction, &format!("send_file(): {}", sys::explain(&error))))?;
            transaction.send_file(file, offset, length, flags & GW_FLUSH != 0)
        })
    }
}

unsafe extern "C" fn set_length(transaction: *mut abi::gw_transaction, length: u64) -> abi::gw_status {
    // SAFETY: gangway.h: the transaction is live.
    unsafe {
        call("set_length", transaction, |transaction| {
            if i64::try_from(length).is_err() {
                return Err(Stop::Invalid);
            }
            transaction.set_length(length)
        })
    }
}

unsafe extern "C" fn meets_conditions(
    transaction: *mut abi::gw_transaction,
    answer: *mut i32,
) -> abi::gw_status {
    // SAFETY: gangway.h: the transaction is live; `answer` is the caller's, checked for NULL.
    unsafe {
        call("meets_conditions", transaction, |transaction| {
            let out = NonNull::new(answer)
                .ok_or_else(|| misuse(transaction, "meets_conditions() without a place"))?;
            out.write(match transaction.meets_conditions()? {
                PhaseAnswer::Status(status) => i32::from(status),
                _ => abi::GW_ANSWER_OK,
            });
            Ok(())
        })
    }
}

unsafe extern "C" fn redirect(
    transaction: *mut abi::gw_transaction,
    target: abi::gw_bytes,
) -> abi::gw_status {
    // SAFETY: gangway.h: the transaction is live; the target is borrowed for the call.
    unsafe {
        call("redirect", transaction, |transaction| {
            let target = borrow(target);
            if !target.starts_with(b"/") || !is_field_value(target) {
                return Err(refuse(
                    transaction,
                    "a redirect goes to a path of this server, which begins with \"/\"",
                ));
            }
            transaction.redirect(target)
        })
    }
}

unsafe extern "C" fn log_line(
    transaction: *mut abi::gw_transaction,
    level: u32,
    text: *const u8,
    length: usize,
) {
    fence("log", (), || {
        // SAFETY: gangway.h: `text` is readable for the call.
        let Some((level, line)) = (unsafe { log_text(level, text, length) }) else { return };
        // SAFETY: gangway.h: the transaction is NULL or live.
        match unsafe { transaction.cast::<Visit<'_>>().as_ref() } {
            Some(visit) => visit.get().facts().log(level, &line),
            None => log::process(level, &line),
        }
    });
}
