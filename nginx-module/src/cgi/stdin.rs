// SPDX-License-Identifier: MIT OR Apache-2.0
//! The request body as a script gets it. Its standard input always ends: it is nothing, a filled pipe, a file, or a pipe
//! that is written to while the body comes in (`gangway_request_buffering off`) and then closed.

use std::{
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::FileExt,
    },
    ptr,
};

use gangway::{
    engine::fence,
    sys::{duplicate, spawner},
};
use nginx_sys::{ngx_chain_t, ngx_chain_update_sent, ngx_connection_t, ngx_http_request_t, ngx_int_t};

use super::{peer::Run, script};
use crate::raw::{Request, RequestBuffer, buffers, bytes, is_special};

const ERROR: ngx_int_t = nginx_sys::NGX_ERROR as ngx_int_t;
/// Bytes of a body that are copied at a time.
const CHUNK: usize = 64 * 1024;

/// The length of a body that nginx has read; `None` when the client announced none.
pub(super) fn length(request: Request) -> Option<u64> {
    let sum = request.body_buffers().map(|part| match part {
        RequestBuffer::Memory(bytes) => bytes.len() as u64,
        RequestBuffer::File { len, .. } => len,
    });
    request.declares_body().then(|| sum.sum())
}

/// Tells nginx what it is to send: nothing, or the body as it comes in. Answers false without memory.
pub(super) fn prepare(run: &Run) -> bool {
    let request = run.request;
    let Some(upstream) = request.upstream() else { return false };
    upstream.set_request_chain(ptr::null_mut());
    if request.streams_body() {
        // nginx hangs the body behind a first link.
        let Ok(link) = request.buffer(&[], 0) else { return false };
        // SAFETY: a fresh link of the request's pool.
        unsafe {
            (*(*link).buf).set_temporary(0);
            (*(*link).buf).set_sync(1);
        }
        upstream.set_request_chain(link);
        upstream.set_output_filter(output_filter, request.raw().cast());
    }
    true
}

/// A script's standard input, and where the body is written if it still comes in.
pub(super) fn make(request: Request) -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    if request.streams_body() {
        let (reader, writer) = spawner::pipe_to()?;
        return Ok((reader, Some(writer)));
    }
    let mut parts: Vec<RequestBuffer<'_>> = request.body_buffers().collect();
    parts.retain(|part| match part {
        RequestBuffer::Memory(bytes) => !bytes.is_empty(),
        RequestBuffer::File { len, .. } => *len > 0,
    });
    let input = match parts.as_slice() {
        [] => spawner::no_input()?,
        [RequestBuffer::File { fd, offset: 0, len }] if is_whole(*fd, *len)? => spawner::reopen(*fd)?,
        [RequestBuffer::Memory(bytes)] => match spawner::filled(bytes)? {
            Some(filled) => filled,
            None => copied(&parts)?,
        },
        _ => copied(&parts)?,
    };
    Ok((input, None))
}

fn is_whole(fd: i32, length: u64) -> io::Result<bool> {
    Ok(std::fs::File::from(duplicate(fd)?).metadata()?.len() == length)
}

/// The parts of a body in one file.
fn copied(parts: &[RequestBuffer<'_>]) -> io::Result<OwnedFd> {
    let whole = std::fs::File::from(spawner::memory_file(&[])?);
    let mut at = 0u64;
    for part in parts {
        match part {
            RequestBuffer::Memory(bytes) => {
                whole.write_all_at(bytes, at)?;
                at += bytes.len() as u64;
            }
            RequestBuffer::File { fd, offset, len } => {
                let file = std::fs::File::from(duplicate(*fd)?);
                let mut buffer = vec![0; CHUNK];
                let (mut from, end) = (*offset, offset + len);
                while from < end {
                    let most = usize::try_from(end - from).unwrap_or(CHUNK).min(CHUNK);
                    let room = buffer.get_mut(..most).unwrap_or_default();
                    let count = file.read_at(room, from)?;
                    if count == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    whole.write_all_at(room.get(..count).unwrap_or_default(), at)?;
                    (from, at) = (from + count as u64, at + count as u64);
                }
            }
        }
    }
    spawner::reopen(whole.as_raw_fd())
}

/// Passes the body on while it comes in, and ends standard input with it.
unsafe extern "C" fn output_filter(data: *mut std::ffi::c_void, input: *mut ngx_chain_t) -> ngx_int_t {
    fence("stdin::output_filter", ERROR, || {
        // SAFETY: `prepare` has set this filter with its live request; nginx gives a chain of live buffers.
        unsafe {
            let Some(run) = Run::of(data.cast::<ngx_http_request_t>()) else { return ERROR };
            let Some(upstream) = run.request.upstream() else { return ERROR };
            run.body_ended |= buffers(input).any(|buffer| (*buffer).last_buf() != 0);
            let status = upstream.write_chain(input);
            if status == 0 && run.body_ended {
                script::close_input(run.id);
            }
            status
        }
    })
}

/// Writes body bytes to a script: nginx's `send_chain` of its connection.
pub(super) unsafe extern "C" fn send_chain(
    c: *mut ngx_connection_t,
    input: *mut ngx_chain_t,
    _limit: i64,
) -> *mut ngx_chain_t {
    /// NGX_CHAIN_ERROR
    const FAILED: *mut ngx_chain_t = ptr::without_provenance_mut(usize::MAX);
    fence("stdin::send_chain", FAILED, || {
        // SAFETY: nginx sends on the live connection of a request whose upstream is ours, a chain of live buffers.
        unsafe {
            let Some(run) = Run::of((*c).data.cast()) else { return FAILED };
            let mut sent = 0i64;
            for buffer in buffers(input) {
                if is_special(&*buffer) {
                    continue;
                }
                let part = bytes((*buffer).pos, (*buffer).last);
                match script::write_input(run.id, part) {
                    Some(count) => {
                        sent += count as i64;
                        if count < part.len() {
                            (*(*c).write).set_ready(0);
                            break;
                        }
                    }
                    // The script wants no more: the rest is as good as sent.
                    None => sent += part.len() as i64,
                }
            }
            (*c).sent += sent;
            ngx_chain_update_sent(input, sent)
        }
    })
}
