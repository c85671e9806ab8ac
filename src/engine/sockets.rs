// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of calls for WebSockets: `gw_sockets`.

use std::ffi::c_void;

use gangway_abi::{
    bytes::{borrow, checked, lend},
    ffi as abi,
};

use super::calls::{call, headers_of, wait};
use crate::{
    exchange::{Exchange, Stop},
    protocol::websocket::{Content, SocketEvent},
};

/// The one table of this process.
pub(super) static SOCKETS: abi::gw_sockets = abi::gw_sockets {
    struct_size: size_of::<abi::gw_sockets>(),
    accept: Some(accept),
    receive: Some(receive),
    send: Some(send),
    close: Some(close),
};

unsafe extern "C" fn accept(
    request: *mut abi::gw_request,
    subprotocol: abi::gw_bytes,
    headers: *const abi::gw_field,
    header_count: usize,
) -> abi::gw_status {
    // SAFETY: gangway.h: `request` is live; the subprotocol and the headers are borrowed for the call.
    unsafe {
        call("accept", request, |exchange| {
            let subprotocol = text(exchange, "accept() with a NULL subprotocol", &subprotocol)?;
            let headers = headers_of(exchange, "accept()", headers, header_count)?;
            exchange
                .accept(subprotocol, headers.iter().map(|field| (borrow(field.name), borrow(field.value))))
        })
    }
}

unsafe extern "C" fn receive(
    request: *mut abi::gw_request,
    flags: u32,
    give: abi::gw_message_fn,
    context: *mut c_void,
) -> abi::gw_status {
    // SAFETY: gangway.h: `request` is live.
    unsafe {
        call("receive", request, |exchange| {
            let Some(give) = give else {
                return Err(exchange.misuse("receive() without a function that gets the message"));
            };
            let event = exchange.receive(wait(flags))?;
            let (kind, code, payload) = match &event {
                SocketEvent::Message(message) => {
                    let kind = match message.content {
                        Content::Text => abi::GW_MESSAGE_TEXT,
                        Content::Binary => abi::GW_MESSAGE_BINARY,
                    };
                    (kind, 0, message.payload.as_slice())
                }
                SocketEvent::Closed { code, reason } => (abi::GW_MESSAGE_CLOSED, *code, reason.as_bytes()),
            };
            // The engine's own, for this call alone.
            give(context, kind, code, lend(payload));
            Ok(())
        })
    }
}

unsafe extern "C" fn send(
    request: *mut abi::gw_request,
    kind: u32,
    data: *const u8,
    length: usize,
    flags: u32,
) -> abi::gw_status {
    // SAFETY: gangway.h: `request` is live and `data` is readable for the call.
    unsafe {
        call("send", request, |exchange| {
            let Some(data) = checked(data, length) else {
                return Err(exchange.misuse("send() with NULL data of some length"));
            };
            let content = match kind {
                abi::GW_MESSAGE_TEXT => Content::Text,
                abi::GW_MESSAGE_BINARY => Content::Binary,
                _ => return Err(exchange.misuse("send() of something that is neither text nor binary")),
            };
            exchange.send(content, data, wait(flags))
        })
    }
}

unsafe extern "C" fn close(
    request: *mut abi::gw_request,
    code: u16,
    reason: abi::gw_bytes,
) -> abi::gw_status {
    // SAFETY: gangway.h: `request` is live; the reason is borrowed for the call.
    unsafe {
        call("close", request, |exchange| {
            let reason = text(exchange, "close() with a NULL reason", &reason)?;
            exchange.close(code, &String::from_utf8_lossy(reason))
        })
    }
}

/// # Safety
/// `bytes` is borrowed for as long as the answer is used, or breaks the contract by a NULL with a length.
unsafe fn text<'a>(exchange: &Exchange, wrong: &str, bytes: &'a abi::gw_bytes) -> Result<&'a [u8], Stop> {
    // SAFETY: the caller's promise; NULL with a length is looked for.
    unsafe { checked(bytes.ptr, bytes.len) }
        .ok_or_else(|| exchange.misuse(&format!("{wrong} of some length")))
}
