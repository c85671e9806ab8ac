// SPDX-License-Identifier: MIT OR Apache-2.0
//! The functions of the host's table.

use std::{ffi::c_void, ptr, slice, sync::atomic::Ordering, thread};

use gangway_abi::{
    bytes::{borrow, fields},
    ffi::*,
};

use super::{
    breach, lock, note_line,
    request::{Borrow, Request},
};

/// # Safety
/// `request` is a live `Request`.
unsafe fn request<'a>(request: *mut gw_request) -> &'a Request {
    // SAFETY: the engine hands back what handle_raw() or handle() gave it, and that is a live `Request`.
    unsafe { &*request.cast::<Request>() }
}

unsafe extern "C" fn read_body(
    raw: *mut gw_request,
    buffer: *mut u8,
    capacity: usize,
    flags: u32,
    length: *mut usize,
) -> gw_status {
    if capacity == 0 {
        breach("read_body with no capacity");
    }
    // SAFETY: the engine passes a live request, a buffer of that capacity and a place for the length.
    let (request, buffer) = unsafe { (request(raw), slice::from_raw_parts_mut(buffer, capacity)) };
    let mut state = match request.call(flags) {
        Ok(state) => state,
        Err(status) => return status,
    };
    let count = match state.pieces.first() {
        None if request.wish.body_breaks => return GW_ERROR,
        None => 0,
        Some(piece) => {
            let rest = &piece[state.at..];
            let count = rest.len().min(capacity);
            buffer[..count].copy_from_slice(&rest[..count]);
            let done = count == rest.len();
            state.at = if done { 0 } else { state.at + count };
            if done {
                state.pieces.remove(0);
            }
            count
        }
    };
    // SAFETY: the engine passes a place for the length.
    unsafe { *length = count };
    GW_OK
}

unsafe extern "C" fn start(
    raw: *mut gw_request,
    status: u16,
    reason: gw_bytes,
    headers: *const gw_field,
    count: usize,
) -> gw_status {
    // SAFETY: the engine passes a live request and borrowed bytes.
    let (request, reason, headers) = unsafe { (request(raw), borrow(reason), fields(headers, count)) };
    let mut state = lock(&request.state);
    if state.thread != Some(thread::current().id()) || state.ended {
        breach("start() at the wrong time or on the wrong thread");
    }
    if state.answer.status.is_some() {
        breach("start() twice");
        return GW_MISUSE;
    }
    // SAFETY: the bytes of a field live for the call of start().
    if headers.iter().any(|field| unsafe { borrow(field.name) } == b"X-Host-Refuses") {
        return GW_INVALID;
    }
    state.answer.status = Some(status);
    state.answer.reason = String::from_utf8_lossy(reason).into_owned();
    for field in headers {
        // SAFETY: the bytes of a field live for the call of start().
        let (name, value) = unsafe { (borrow(field.name), borrow(field.value)) };
        let text = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
        if name.eq_ignore_ascii_case(b"content-length") {
            state.limit = text(value).parse().ok();
        }
        state.answer.headers.push((text(name), text(value)));
    }
    state.answer.events.push("head".to_owned());
    if request.cancelled.load(Ordering::SeqCst) { GW_CANCELLED } else { GW_OK }
}

unsafe extern "C" fn write(raw: *mut gw_request, data: *const u8, length: usize, flags: u32) -> gw_status {
    // SAFETY: the engine passes a live request and borrowed bytes.
    let (request, data) = unsafe { (request(raw), slice::from_raw_parts(data, length)) };
    match request.call(flags) {
        Ok(mut state) => request.put(&mut state, data, "write", flags),
        Err(status) => status,
    }
}

unsafe extern "C" fn write_owned(
    raw: *mut gw_request,
    data: *const u8,
    length: usize,
    release: gw_release_fn,
    context: *mut c_void,
    flags: u32,
) -> gw_status {
    // SAFETY: the engine passes a live request and bytes that stay until they are released.
    let (request, data) = unsafe { (request(raw), slice::from_raw_parts(data, length)) };
    match request.call(flags) {
        Ok(mut state) => {
            state.borrows.push(Borrow { release, context: context.expose_provenance() });
            request.put(&mut state, data, "owned", flags)
        }
        Err(status) => status,
    }
}

unsafe extern "C" fn send_file(
    raw: *mut gw_request,
    fd: i32,
    offset: u64,
    length: u64,
    flags: u32,
) -> gw_status {
    use std::os::fd::FromRawFd;
    use std::os::unix::fs::FileExt;
    // SAFETY: the engine passes a live request.
    let request = unsafe { request(raw) };
    let mut state = match request.call(flags) {
        Ok(state) => state,
        Err(status) => return status,
    };
    // SAFETY: the descriptor is open for the call; ManuallyDrop leaves it open.
    let file = std::mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(fd) });
    let mut data = vec![0; usize::try_from(length).unwrap_or(0)];
    if let Err(error) = file.read_exact_at(&mut data, offset) {
        breach(format!("send_file of {length} bytes from {offset}: {error}"));
    }
    request.put(&mut state, &data, "file", flags)
}

unsafe extern "C" fn flush(_raw: *mut gw_request, _flags: u32) -> gw_status {
    GW_OK
}

unsafe extern "C" fn finish(raw: *mut gw_request, outcome: gw_status) -> gw_status {
    // SAFETY: the engine passes a live request.
    let request = unsafe { request(raw) };
    let mut state = lock(&request.state);
    if state.thread != Some(thread::current().id()) || state.ended {
        breach("finish() at the wrong time or on the wrong thread");
    }
    if state.answer.finished.replace(outcome).is_some() {
        breach("finish() twice");
    }
    if outcome == GW_OK && state.answer.status.is_none() {
        breach("finish(GW_OK) without a head");
    }
    state.answer.events.push(format!("finish {outcome}"));
    GW_OK
}

unsafe extern "C" fn cancelled(raw: *mut gw_request) -> i32 {
    // SAFETY: the engine passes a live request.
    i32::from(unsafe { request(raw) }.cancelled.load(Ordering::SeqCst))
}

unsafe extern "C" fn log(raw: *mut gw_request, level: u32, text: *const u8, length: usize) {
    // SAFETY: the engine passes null or a live request, and borrowed bytes.
    let text = unsafe { slice::from_raw_parts(text, length) };
    let line = String::from_utf8_lossy(text).into_owned();
    if std::env::var_os("GANGWAY_TEST_LOG").is_some() {
        eprintln!("    log {level} {}: {line}", if raw.is_null() { "-" } else { "r" });
    }
    if line.contains('\n') {
        breach(format!("a log line with a line end: {line:?}"));
    }
    if raw.is_null() {
        note_line(level, line);
    } else {
        // SAFETY: what is not null is a live request.
        lock(&unsafe { request(raw) }.state).answer.log.push((level, line));
    }
}

/// The host's table.
pub(crate) static HOST: Table = Table(gw_host {
    struct_size: size_of::<gw_host>(),
    abi_major: GW_ABI_MAJOR,
    abi_minor: GW_ABI_MINOR,
    read_body: Some(read_body),
    start: Some(start),
    write: Some(write),
    write_owned: Some(write_owned),
    send_file: Some(send_file),
    flush: Some(flush),
    finish: Some(finish),
    cancelled: Some(cancelled),
    log: Some(log),
    transactions: ptr::null(),
    sockets: ptr::null(),
    interim: None,
    trailers: None,
    gather: None,
    condition: None,
});

pub(crate) struct Table(pub(crate) gw_host);

// SAFETY: the table is never written.
unsafe impl Sync for Table {}
