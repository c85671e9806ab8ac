// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of calls for WebSockets: `gw_sockets`.

use std::{ffi::c_void, sync::Arc};

use gangway_abi::{bytes::lend, ffi as abi};

use super::{
    calls::{call, headers_of, readable, wait},
    fence::fence,
    health::Health,
    lent::forget_head,
};
use crate::protocol::websocket::{Content, SocketEvent};

/// The one table of this process.
pub(super) static SOCKETS: abi::gw_sockets = abi::gw_sockets {
    struct_size: size_of::<abi::gw_sockets>(),
    accept: Some(accept),
    receive: Some(receive),
    send: Some(send),
    close: Some(close),
    descriptor: Some(descriptor),
    read: Some(read),
};

unsafe extern "C" fn accept(
    request: *mut abi::gw_request,
    subprotocol: abi::gw_bytes,
    headers: *const abi::gw_field,
    header_count: usize,
) -> abi::gw_status {
    // SAFETY: gangway.h: `request` is live; the subprotocol and the headers are borrowed for the call, which is one of the request thread.
    unsafe {
        call("accept", request, |exchange| {
            let (wrong, text) = ("accept() with a NULL subprotocol", subprotocol);
            let subprotocol = readable(exchange, wrong, text.ptr, text.len)?;
            exchange.accept(subprotocol, headers_of(exchange, "accept()", headers, header_count)?)?;
            forget_head(exchange);
            Ok(())
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
            let data = readable(exchange, "send() with NULL data", data, length)?;
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
            let reason = readable(exchange, "close() with a NULL reason", reason.ptr, reason.len)?;
            exchange.close(code, &String::from_utf8_lossy(reason))
        })
    }
}

unsafe extern "C" fn descriptor(place: *mut abi::gw_place) -> i32 {
    fence("descriptor", -1, || {
        // SAFETY: gangway.h: the place is NULL or that of a specification, which lives as long as its application.
        let health = unsafe { place.cast::<Health>().as_ref() };
        health.and_then(Health::watch_busy_sockets).map_or(-1, |sockets| sockets.descriptor())
    })
}

unsafe extern "C" fn read(place: *mut abi::gw_place) {
    fence("read", (), || {
        // SAFETY: gangway.h: the place is NULL or that of a specification, which lives as long as its application.
        let health = unsafe { place.cast::<Health>().as_ref() };
        if let Some(sockets) = health.and_then(Health::busy_sockets).map(Arc::clone) {
            sockets.read();
        }
    });
}
