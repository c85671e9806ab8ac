// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of calls that engines get: `gw_host`.

use std::{ffi::c_void, slice};

use gangway_abi::{
    constant::Constant,
    ffi::{self as abi, GW_INVALID, GW_OK},
};

use super::{
    calls::{call, call_or, headers_of, is_within_a_file, log_text, readable, wait},
    fence::fence,
    finish::{finish as finish_exchange, release},
    health::Health,
    sockets::SOCKETS,
    transactions::TRANSACTIONS,
};
use crate::{
    error::SERVER_FAILED,
    exchange::{self, Exchange, FileSlice, Lent, Outcome, Piece, Stop, Wait},
    log, sys,
};

/// The one table of this process.
// SAFETY: all that the table points to is constant.
pub(super) static HOST: Constant<abi::gw_host> = unsafe { Constant::new(HOST_TABLE) };

const HOST_TABLE: abi::gw_host = abi::gw_host {
    struct_size: size_of::<abi::gw_host>(),
    abi_major: abi::GW_ABI_MAJOR,
    abi_minor: abi::GW_ABI_MINOR,
    read_body: Some(read_body),
    start: Some(start),
    write: Some(write),
    write_owned: Some(write_owned),
    send_file: Some(send_file),
    flush: Some(flush),
    finish: Some(finish),
    cancelled: Some(cancelled),
    log: Some(log_line),
    transactions: &raw const TRANSACTIONS,
    sockets: &raw const SOCKETS,
    interim: Some(interim),
    trailers: Some(trailers),
    gather: Some(gather),
    condition: Some(condition),
};

fn flushes(flags: u32) -> bool {
    flags & abi::GW_FLUSH != 0
}

unsafe extern "C" fn read_body(
    request: *mut abi::gw_request,
    buffer: *mut u8,
    capacity: usize,
    flags: u32,
    length: *mut usize,
) -> abi::gw_status {
    // SAFETY: gangway.h: `request` is live; `buffer` is `capacity` bytes of the caller's and `length` is the
    // caller's, both checked for NULL.
    unsafe {
        call("read_body", request, |exchange| {
            if buffer.is_null() || capacity == 0 || length.is_null() {
                return Err(exchange.misuse("read_body() without a buffer"));
            }
            let count = exchange.read_body(slice::from_raw_parts_mut(buffer, capacity), wait(flags))?;
            length.write(count);
            Ok(())
        })
    }
}

unsafe extern "C" fn start(
    request: *mut abi::gw_request,
    status: u16,
    reason: abi::gw_bytes,
    headers: *const abi::gw_field,
    header_count: usize,
) -> abi::gw_status {
    // SAFETY: gangway.h: `request` is live; reason and headers are borrowed for the call.
    unsafe {
        call("start", request, |exchange| {
            let reason = readable(exchange, "start() with a NULL reason", reason.ptr, reason.len)?;
            exchange.start(status, reason, headers_of(exchange, "start()", headers, header_count)?)
        })
    }
}

unsafe extern "C" fn interim(
    request: *mut abi::gw_request,
    status: u16,
    headers: *const abi::gw_field,
    header_count: usize,
) -> abi::gw_status {
    // SAFETY: gangway.h: `request` is live; headers are borrowed for the call.
    unsafe {
        call("interim", request, |exchange| {
            exchange.interim(status, headers_of(exchange, "interim()", headers, header_count)?)
        })
    }
}

unsafe extern "C" fn trailers(
    request: *mut abi::gw_request,
    headers: *const abi::gw_field,
    header_count: usize,
) -> abi::gw_status {
    // SAFETY: gangway.h: `request` is live; headers are borrowed for the call.
    unsafe {
        call("trailers", request, |exchange| {
            exchange.trailers(headers_of(exchange, "trailers()", headers, header_count)?)
        })
    }
}

unsafe extern "C" fn write(
    request: *mut abi::gw_request,
    data: *const u8,
    length: usize,
    flags: u32,
) -> abi::gw_status {
    /// Copies above it go out in slices when the caller may wait, so that they stay bounded.
    const SLICE: usize = 64 * 1024;
    // SAFETY: gangway.h: `request` is live and `data` is readable for the call.
    unsafe {
        call("write", request, |exchange| {
            let data = readable(exchange, "write() with NULL data", data, length)?;
            let send = |slice: &[u8], flush| {
                let piece = exchange.copy(slice);
                exchange.write(piece, flush, wait(flags)).map_err(|(stop, _)| stop)
            };
            // All or nothing without waiting.
            if wait(flags) == Wait::No || length <= SLICE {
                return send(data, flushes(flags));
            }
            let mut slices = data.chunks(SLICE).peekable();
            while let Some(slice) = slices.next() {
                send(slice, flushes(flags) && slices.peek().is_none())?;
            }
            Ok(())
        })
    }
}

unsafe extern "C" fn write_owned(
    request: *mut abi::gw_request,
    data: *const u8,
    length: usize,
    release: Option<unsafe extern "C" fn(*mut c_void)>,
    context: *mut c_void,
    flags: u32,
) -> abi::gw_status {
    // After a panic the piece may stand in a queue: GW_INVALID says that the borrow is the host's.
    // SAFETY: gangway.h: `request` is live; `data` stays unchanged until release(context).
    unsafe {
        call_or(GW_INVALID, "write_owned", request, |exchange| {
            if data.is_null() && length > 0 {
                return Err(exchange.misuse("write_owned() with NULL data of some length"));
            }
            let lent = Lent::new(data, length, release, context);
            exchange.write(Piece::Lent(lent), flushes(flags), wait(flags)).map_err(|(stop, piece)| {
                // Refused: the borrow stays the caller's.
                if let Some(Piece::Lent(lent)) = piece {
                    lent.forget();
                }
                stop
            })
        })
    }
}

unsafe extern "C" fn send_file(
    request: *mut abi::gw_request,
    fd: i32,
    offset: u64,
    length: u64,
    flags: u32,
) -> abi::gw_status {
    // SAFETY: gangway.h: `request` is live.
    unsafe {
        call("send_file", request, |exchange| {
            if !is_within_a_file(offset, length) {
                return Err(exchange.misuse("send_file() beyond the largest file"));
            }
            let fd = sys::duplicate(fd).map_err(|error| cannot_duplicate(exchange, fd, &error))?;
            let piece = Piece::File(FileSlice { fd, offset, len: length });
            exchange.write(piece, flushes(flags), wait(flags)).map_err(|(stop, _)| stop)
        })
    }
}

/// A wrong number is the engine's fault, a limit that was reached is not.
fn cannot_duplicate(exchange: &Exchange, fd: i32, error: &std::io::Error) -> Stop {
    if !sys::is_shortage(error) {
        return exchange.misuse(&format!("send_file() of descriptor {fd}: {error}"));
    }
    exchange.report(SERVER_FAILED, format_args!("cannot send a file: {}", sys::explain(error)));
    Stop::Misuse
}

unsafe extern "C" fn flush(request: *mut abi::gw_request, flags: u32) -> abi::gw_status {
    // SAFETY: gangway.h: `request` is live.
    unsafe { call("flush", request, |exchange| exchange.flush(wait(flags))) }
}

unsafe extern "C" fn finish(request: *mut abi::gw_request, outcome: abi::gw_status) -> abi::gw_status {
    let outcome = if outcome == GW_OK { Outcome::Complete } else { Outcome::Failed };
    let mut ends = false;
    // SAFETY: gangway.h: the engine passes a live request; an asynchronous one is so until release().
    let answer = unsafe {
        call("finish", request, |exchange| {
            let (result, was_held) = finish_exchange(exchange, outcome);
            ends = was_held;
            result
        })
    };
    if ends {
        // Perhaps the last one: the server's side of the exchange goes with it.
        // SAFETY: the pointer is the one that handle() lent, and `exchange` is not used any more.
        fence("finish", (), || unsafe { release(request) });
    }
    answer
}

unsafe extern "C" fn cancelled(request: *mut abi::gw_request) -> i32 {
    fence("cancelled", 1, || {
        // SAFETY: gangway.h: `request` is live.
        match unsafe { request.cast::<Exchange>().as_ref() } {
            Some(exchange) => i32::from(exchange.is_abandoned()),
            None => 1,
        }
    })
}

unsafe extern "C" fn gather(on: u32) {
    fence("gather", (), || exchange::gather::gather(on != 0));
}

unsafe extern "C" fn condition(place: *mut abi::gw_place, reason: abi::gw_bytes) {
    fence("condition", (), || {
        // SAFETY: gangway.h: the place is that of a specification, so that its application, which holds it, lives; the bytes are readable.
        unsafe {
            let (Some(health), true) =
                (place.cast::<Health>().as_ref(), !reason.ptr.is_null() || reason.len == 0)
            else {
                return;
            };
            let reason =
                if reason.len == 0 { &[][..] } else { slice::from_raw_parts(reason.ptr, reason.len) };
            health.say(&log::escape(reason));
        }
    });
}

unsafe extern "C" fn log_line(request: *mut abi::gw_request, level: u32, text: *const u8, length: usize) {
    fence("log", (), || {
        // SAFETY: gangway.h: `text` is readable for the call.
        let Some((level, line)) = (unsafe { log_text(level, text, length) }) else { return };
        // SAFETY: gangway.h: `request` is NULL or live.
        match unsafe { request.cast::<Exchange>().as_ref() } {
            Some(exchange) => exchange.log(level, &line),
            None => log::process(level, &line),
        }
    });
}
