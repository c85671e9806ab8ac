// SPDX-License-Identifier: MIT OR Apache-2.0
//! The host's table as an engine sees it. What engines do with it is tested with real ones, in tests/engines.

mod linked;

use std::{ptr, sync::Arc};

use gangway_abi::{
    bytes::EMPTY,
    ffi::{self as abi, GW_AGAIN, GW_OK},
};

use super::host::HOST;
use crate::exchange::{Body, BodyPart, Channel, Exchange, Mailbox, ROOM, RequestHead};

fn exchange(body: &[u8]) -> Arc<Exchange> {
    let body = Body::new([BodyPart::Memory(body.to_vec())]);
    Exchange::new(RequestHead::default(), Channel::new(1, Arc::new(Mailbox::default()), body, ROOM))
}

fn request(exchange: &Arc<Exchange>) -> *mut abi::gw_request {
    Arc::as_ptr(exchange).cast_mut().cast()
}

#[test]
fn the_table_says_what_it_is_and_has_every_function() {
    assert_eq!(HOST.get().struct_size, size_of::<abi::gw_host>());
    assert_eq!((HOST.get().abi_major, HOST.get().abi_minor), (abi::GW_ABI_MAJOR, abi::GW_ABI_MINOR));
    let abi::gw_host {
        read_body,
        start,
        write,
        write_owned,
        send_file,
        flush,
        finish,
        cancelled,
        log,
        interim,
        trailers,
        gather,
        ..
    } = HOST.get();
    let all =
        [read_body.is_some(), start.is_some(), write.is_some(), write_owned.is_some(), send_file.is_some()];
    assert!(all.iter().all(|there| *there));
    assert!(interim.is_some() && trailers.is_some() && gather.is_some());
    assert!(flush.is_some() && finish.is_some() && cancelled.is_some() && log.is_some());
}

#[test]
fn every_call_survives_a_missing_request() {
    let (none, mut byte, mut length) = (ptr::null_mut(), 0u8, 77usize);
    // SAFETY: gangway.h: NULL is no request and is answered; the other pointers are ours.
    let answers = unsafe {
        [
            HOST.get().read_body.unwrap()(none, &raw mut byte, 1, 0, &raw mut length),
            HOST.get().start.unwrap()(none, 200, EMPTY, ptr::null(), 0),
            HOST.get().write.unwrap()(none, ptr::null(), 0, 0),
            HOST.get().write_owned.unwrap()(none, ptr::null(), 0, None, ptr::null_mut(), 0),
            HOST.get().send_file.unwrap()(none, 0, 0, 0, 0),
            HOST.get().flush.unwrap()(none, 0),
            HOST.get().finish.unwrap()(none, GW_OK),
            HOST.get().interim.unwrap()(none, 103, ptr::null(), 0),
            HOST.get().trailers.unwrap()(none, ptr::null(), 0),
        ]
    };
    assert_eq!(answers, [abi::GW_MISUSE; 9]);
    // SAFETY: null is a request that the host refuses.
    assert_eq!(unsafe { HOST.get().cancelled.unwrap()(none) }, 1);
    assert_eq!(length, 77, "written on GW_OK alone");
}

#[test]
fn a_length_is_written_on_success_alone() {
    let exchange = exchange(b"abc");
    let (mut buffer, mut length) = ([0u8; 2], 77usize);
    let mut read = |flags| {
        // SAFETY: the exchange lives, and the buffer and the length are ours.
        let status = unsafe {
            HOST.get().read_body.unwrap()(request(&exchange), buffer.as_mut_ptr(), 2, flags, &raw mut length)
        };
        (status, length)
    };
    assert_eq!(read(0), (GW_OK, 2));
    assert_eq!(read(abi::GW_NOWAIT), (GW_OK, 1));
    assert_eq!((read(0), read(0)), ((GW_OK, 0), (GW_OK, 0)), "the end stays");
    exchange.cancel(crate::exchange::Cause::ClientGone);
    assert_eq!(read(0), (abi::GW_CANCELLED, 0), "what was there before");
    // SAFETY: the exchange lives until the end of this test.
    assert_eq!(unsafe { HOST.get().cancelled.unwrap()(request(&exchange)) }, 1);
}

#[test]
fn a_write_without_waiting_is_all_or_nothing() {
    let exchange = exchange(b"");
    let block = vec![0u8; ROOM + 1];
    // SAFETY: the exchange and the block live for these calls.
    unsafe {
        assert_eq!(HOST.get().start.unwrap()(request(&exchange), 200, EMPTY, ptr::null(), 0), GW_OK);
        let write =
            |length, flags| HOST.get().write.unwrap()(request(&exchange), block.as_ptr(), length, flags);
        assert_eq!(write(block.len(), abi::GW_NOWAIT), GW_OK, "there is room, so all of it goes");
        assert_eq!(write(block.len(), abi::GW_NOWAIT), GW_AGAIN);
        assert_eq!(write(1, abi::GW_NOWAIT | abi::GW_FLUSH), GW_AGAIN);
        assert_eq!(write(1, abi::GW_NOWAIT), GW_OK, "it may wait for the next flush");
    }
}
