// SPDX-License-Identifier: MIT OR Apache-2.0
//! How nginx reads and writes what stands for a connection of a request's own.

use std::{io::IoSliceMut, ptr};

use gangway::{
    engine::fence,
    protocol::fastcgi::lanes::{LaneId, LaneRead},
};
use nginx_sys::{ngx_chain_t, ngx_connection_t};

use super::trunk::{Trunk, WORTH_PASSING, user};
use crate::raw::{AGAIN, CHAIN_ERROR, ERROR, Functions, bytes, rooms};

/// Buffers of a read.
const ROOMS_MOST: usize = 64;
/// What is read behind the part of a response that its request takes itself: its end, and the beginning of another one.
const BEHIND: usize = 1024;

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
        // SAFETY: nginx reads into memory of its own, of this size, from a live connection.
        unsafe { receive(c, &mut [IoSliceMut::new(std::slice::from_raw_parts_mut(buffer, size))]) }
    })
}

/// nginx's `recv_chain`: into the room behind `last` of each buffer.
unsafe extern "C" fn recv_chain(c: *mut ngx_connection_t, chain: *mut ngx_chain_t, limit: i64) -> isize {
    fence("managed::lane_recv_chain", ERROR, || {
        // SAFETY: nginx reads into a chain of live buffers of its own, from a live connection.
        unsafe {
            let mut rooms: Vec<_> = rooms(chain, limit).take(ROOMS_MOST).collect();
            receive(c, &mut rooms)
        }
    })
}

/// Reads what has come for a request; when all of that is read and its response goes on, the connection itself.
///
/// # Safety
/// `c` is a live connection of nginx.
unsafe fn receive(c: *mut ngx_connection_t, mut rooms: &mut [IoSliceMut<'_>]) -> isize {
    let Some((trunk, lane)) = user(c) else { return ERROR };
    let mut total = 0;
    let mut found = read_kept(&trunk, lane, &mut rooms, &mut total);
    if found == LaneRead::Nothing && pass(&trunk, lane, &mut rooms, &mut total) {
        found = read_kept(&trunk, lane, &mut rooms, &mut total);
    }
    let lanes = trunk.lanes.borrow();
    let is_readable = lanes.is_readable(lane) || trunk.is_ready() && lanes.may_pass(lane) > 0;
    let (available, has_output) = (lanes.available(lane), lanes.has_output());
    drop(lanes);
    if has_output {
        trunk.post();
    }
    // SAFETY: a live connection has its events.
    let read = unsafe { &mut *(*c).read };
    read.available = i32::try_from(available).unwrap_or(i32::MAX);
    if total > 0 {
        read.set_ready(u32::from(is_readable));
        return isize::try_from(total).unwrap_or(ERROR);
    }
    read.set_ready(0);
    if found == LaneRead::End {
        read.set_eof(1);
        return 0;
    }
    AGAIN
}

/// Copies what is kept of a lane into rooms, which become smaller by it. Answers what the last look has found: with room left over there is no more.
fn read_kept(trunk: &Trunk, lane: LaneId, rooms: &mut &mut [IoSliceMut<'_>], total: &mut usize) -> LaneRead {
    let mut lanes = trunk.lanes.borrow_mut();
    let mut found = LaneRead::Bytes(0);
    while let Some(room) = rooms.first_mut() {
        found = lanes.read(lane, room);
        let LaneRead::Bytes(count) = found else { break };
        *total += count;
        IoSliceMut::advance_slices(rooms, count);
    }
    found
}

/// Reads from the connection itself what comes next of a response, and a little of what is behind it. Answers whether that may be of the same one.
fn pass(trunk: &Trunk, lane: LaneId, rooms: &mut &mut [IoSliceMut<'_>], total: &mut usize) -> bool {
    let ahead = trunk.lanes.borrow().may_pass(lane);
    let room = rooms.iter().fold(0, |sum, room| sum + room.len());
    let is_worth = *total == 0 || room >= ahead.min(WORTH_PASSING);
    if ahead == 0 || !is_worth || !trunk.is_ready() {
        return false;
    }
    let mut behind = [0; BEHIND];
    let mut left = ahead;
    let mut parts = Vec::with_capacity(rooms.len() + 1);
    for room in rooms.iter_mut() {
        let count = room.len().min(left);
        if let Some(part) = room.get_mut(..count).filter(|part| !part.is_empty()) {
            parts.push(IoSliceMut::new(part));
        }
        left -= count;
    }
    let wanted = ahead - left;
    if left == 0 {
        parts.push(IoSliceMut::new(&mut behind));
    }
    let all = parts.iter().fold(0, |sum, part| sum + part.len());
    let received = trunk.receive_into(&mut parts);
    drop(parts);
    let count = received.unwrap_or(0);
    if count < all {
        trunk.is_read();
    }
    if count == 0 {
        // What that means finds who reads for all.
        trunk.post();
        return false;
    }
    let own = count.min(wanted);
    trunk.passed(lane, own, behind.get(..count - own).unwrap_or_default());
    *total += own;
    IoSliceMut::advance_slices(rooms, own);
    own == ahead
}

/// nginx's `send`.
unsafe extern "C" fn send(c: *mut ngx_connection_t, buffer: *mut u8, size: usize) -> isize {
    fence("managed::lane_send", ERROR, || {
        // SAFETY: nginx sends bytes of its own, which are so many.
        let bytes = unsafe { std::slice::from_raw_parts(buffer, size) };
        // SAFETY: a live connection, says nginx.
        if unsafe { give(c, &[bytes]) } { isize::try_from(size).unwrap_or(ERROR) } else { ERROR }
    })
}

/// nginx's `send_chain`: all of it is taken.
unsafe extern "C" fn send_chain(
    c: *mut ngx_connection_t,
    mut chain: *mut ngx_chain_t,
    _: i64,
) -> *mut ngx_chain_t {
    fence("managed::lane_send_chain", CHAIN_ERROR, || {
        let mut parts = Vec::new();
        // SAFETY: nginx gives a chain of live buffers, which nobody changes meanwhile, and a live connection.
        unsafe {
            while let Some(link) = chain.as_ref() {
                let buffer = &mut *link.buf;
                if buffer.in_file() != 0 {
                    // A request with a body in a file does not come here.
                    return CHAIN_ERROR;
                }
                parts.push(bytes(buffer.pos, buffer.last));
                buffer.pos = buffer.last;
                chain = link.next;
            }
            if give(c, &parts) { ptr::null_mut() } else { CHAIN_ERROR }
        }
    })
}

/// Answers whether they will be sent.
///
/// # Safety
/// `c` is a live connection of nginx.
unsafe fn give(c: *mut ngx_connection_t, parts: &[&[u8]]) -> bool {
    let Some((trunk, lane)) = user(c) else { return false };
    let mut lanes = trunk.lanes.borrow_mut();
    if lanes.is_over() {
        // SAFETY: a live connection has its events.
        unsafe { (*(*c).write).set_error(1) };
        return false;
    }
    lanes.send_parts(lane, parts.iter().copied());
    drop(lanes);
    let count = parts.iter().fold(0, |sum, part| sum + part.len());
    // SAFETY: the caller promises a live connection; its counter is this thread's own.
    unsafe { (*c).sent += i64::try_from(count).unwrap_or(0) };
    trunk.send_some();
    trunk.post();
    true
}
