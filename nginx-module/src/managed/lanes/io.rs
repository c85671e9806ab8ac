// SPDX-License-Identifier: MIT OR Apache-2.0
//! How nginx reads and writes what stands for a connection of a request's own.

use std::ptr;

use gangway::{engine::fence, protocol::fastcgi::lanes::LaneRead};
use nginx_sys::{ngx_chain_t, ngx_connection_t};

use super::trunk::user;
use crate::raw::{Functions, bytes};

const ERROR: isize = nginx_sys::NGX_ERROR as isize;
const AGAIN: isize = nginx_sys::NGX_AGAIN as isize;

pub(super) fn functions() -> Functions {
    Functions {
        recv: Some(recv),
        send: Some(send),
        recv_chain: Some(recv_chain),
        send_chain: Some(send_chain),
    }
}

/// nginx's `recv`.
unsafe extern "C" fn recv(c: *mut ngx_connection_t, buffer: *mut u8, size: usize) -> isize {
    fence("managed::lane_recv", ERROR, || {
        // SAFETY: nginx reads into memory of its own, of this size.
        unsafe { receive(c, std::slice::from_raw_parts_mut(buffer, size)) }
    })
}

/// nginx's `recv_chain`: into the room behind `last` of each buffer.
unsafe extern "C" fn recv_chain(c: *mut ngx_connection_t, mut chain: *mut ngx_chain_t, limit: i64) -> isize {
    fence("managed::lane_recv_chain", ERROR, || {
        let mut left = usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let mut total = 0;
        // SAFETY: nginx gives a chain of live buffers of its own, with room behind `last`.
        unsafe {
            while let Some(link) = chain.as_ref() {
                let room = bytes((*link.buf).last, (*link.buf).end).len().min(left);
                if room == 0 {
                    break;
                }
                let count = receive(c, std::slice::from_raw_parts_mut((*link.buf).last, room));
                if count <= 0 {
                    return if total > 0 { total } else { count };
                }
                total += count;
                left -= count.cast_unsigned();
                if count.cast_unsigned() < room {
                    break;
                }
                chain = link.next;
            }
        }
        total
    })
}

/// # Safety
/// `c` is a live connection of nginx.
unsafe fn receive(c: *mut ngx_connection_t, room: &mut [u8]) -> isize {
    let Some((trunk, lane)) = user(c) else { return ERROR };
    let mut lanes = trunk.lanes.borrow_mut();
    let found = lanes.read(lane, room);
    let (is_readable, has_output) = (lanes.is_readable(lane), !lanes.output().is_empty());
    drop(lanes);
    if has_output {
        trunk.post();
    }
    // SAFETY: a live connection has its events.
    let read = unsafe { &mut *(*c).read };
    match found {
        LaneRead::Bytes(count) => {
            read.set_ready(u32::from(is_readable));
            isize::try_from(count).unwrap_or(ERROR)
        }
        LaneRead::Nothing => {
            read.set_ready(0);
            AGAIN
        }
        LaneRead::End => {
            read.set_ready(0);
            read.set_eof(1);
            0
        }
    }
}

/// nginx's `send`.
unsafe extern "C" fn send(c: *mut ngx_connection_t, buffer: *mut u8, size: usize) -> isize {
    fence("managed::lane_send", ERROR, || {
        // SAFETY: nginx sends bytes of its own, which are so many.
        let bytes = unsafe { std::slice::from_raw_parts(buffer, size) };
        // SAFETY: a live connection, says nginx.
        if unsafe { give(c, bytes) } { isize::try_from(size).unwrap_or(ERROR) } else { ERROR }
    })
}

/// nginx's `send_chain`: all of it is taken.
unsafe extern "C" fn send_chain(
    c: *mut ngx_connection_t,
    mut chain: *mut ngx_chain_t,
    _: i64,
) -> *mut ngx_chain_t {
    const FAILED: *mut ngx_chain_t = ptr::without_provenance_mut(usize::MAX);
    fence("managed::lane_send_chain", FAILED, || {
        // SAFETY: nginx gives a chain of live buffers, which are in memory: requests with a body do not come here.
        unsafe {
            while let Some(link) = chain.as_ref() {
                let buffer = &mut *link.buf;
                if buffer.in_file() != 0 || !give(c, bytes(buffer.pos, buffer.last)) {
                    return FAILED;
                }
                buffer.pos = buffer.last;
                chain = link.next;
            }
        }
        ptr::null_mut()
    })
}

/// Answers whether they will be sent.
///
/// # Safety
/// `c` is a live connection of nginx.
unsafe fn give(c: *mut ngx_connection_t, bytes: &[u8]) -> bool {
    let Some((trunk, lane)) = user(c) else { return false };
    let mut lanes = trunk.lanes.borrow_mut();
    if lanes.is_over() {
        // SAFETY: a live connection has its events.
        unsafe { (*(*c).write).set_error(1) };
        return false;
    }
    lanes.send(lane, bytes);
    drop(lanes);
    // SAFETY: the caller promises a live connection; its counter is this thread's own.
    unsafe { (*c).sent += i64::try_from(bytes.len()).unwrap_or(0) };
    trunk.post();
    true
}
