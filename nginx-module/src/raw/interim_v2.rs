// SPDX-License-Identifier: MIT OR Apache-2.0
//! An interim response as an HTTP/2 frame, queued and sent as nginx's own HEADERS frames are.

use std::ptr;

use nginx_sys::{
    ngx_buf_t, ngx_chain_t, ngx_http_v2_connection_t, ngx_http_v2_out_frame_t, ngx_http_v2_send_output_queue,
    ngx_http_v2_stream_t, ngx_int_t, ngx_palloc, ngx_post_event, ngx_posted_events,
};

use super::{
    Request,
    field::field,
    status::{AGAIN, ERROR},
};

/// RFC 9113 §4.1: the length of a frame's header.
const FRAME_HEADER: usize = 9;
/// RFC 9113 §6.2.
const HEADERS: u8 = 0x01;
const END_HEADERS: u8 = 0x04;
/// NGX_HTTP_V2_BUFFERED
const BUFFERED: u32 = 0x02;

pub(super) fn send(request: Request, status: u16, fields: &[(&[u8], &[u8])]) {
    // SAFETY: a live HTTP/2 request has its stream and connection; everything runs on the event loop.
    unsafe {
        let Some(stream) = field!(request, stream).as_mut() else { return };
        let Some(h2c) = stream.connection.as_mut() else { return };
        if stream.out_closed() != 0 {
            return;
        }
        let mut block = Vec::with_capacity(256);
        if h2c.table_update() != 0 {
            // RFC 7541 §6.3: the first block after the client's settings says that no table is used.
            block.push(0x20);
        }
        // RFC 7541 §6.2.2: literals without indexing. 8 is ":status".
        block.push(0x08);
        string(&mut block, status.to_string().as_bytes());
        for (name, value) in fields {
            block.push(0);
            string(&mut block, &name.to_ascii_lowercase());
            string(&mut block, value);
        }
        if block.len() > h2c.frame_size {
            // A hint that needs CONTINUATION frames is not worth them.
            return;
        }
        h2c.set_table_update(0);
        if queue(request, stream, h2c, &block).is_ok() {
            push_out(request, stream, h2c);
        }
    }
}

/// RFC 7541 §5.2: a string without Huffman coding.
fn string(block: &mut Vec<u8>, text: &[u8]) {
    let mut length = text.len();
    if length < 0x7f {
        block.push(length as u8);
    } else {
        // RFC 7541 §5.1: an integer with a prefix of 7 bits.
        block.push(0x7f);
        length -= 0x7f;
        while length >= 0x80 {
            block.push((length % 0x80) as u8 | 0x80);
            length /= 0x80;
        }
        block.push(length as u8);
    }
    block.extend_from_slice(text);
}

/// # Safety
/// The live stream and connection of a live request.
unsafe fn queue(
    request: Request,
    stream: &mut ngx_http_v2_stream_t,
    h2c: &mut ngx_http_v2_connection_t,
    block: &[u8],
) -> Result<(), ngx_int_t> {
    // SAFETY: `send` has found both at the live request, and no call here ends either; the frame is complete before it is
    // queued.
    unsafe {
        let [_, high, middle, low] = u32::try_from(block.len()).unwrap_or(0).to_be_bytes();
        let id = u32::try_from((*stream.node).id).unwrap_or(0).to_be_bytes();
        let header = [[high, middle, low, HEADERS].as_slice(), &[END_HEADERS], &id].concat();
        let (link, _) = link_of(request, &[&header, block].concat())?;
        let frame = ngx_palloc(request.pool(), size_of::<ngx_http_v2_out_frame_t>())
            .cast::<ngx_http_v2_out_frame_t>();
        if frame.is_null() {
            return Err(-1);
        }
        frame.write(std::mem::zeroed());
        (*frame).first = link;
        (*frame).last = link;
        (*frame).handler = Some(on_sent);
        (*frame).stream = stream;
        (*frame).length = block.len();
        (*frame).set_blocked(1);
        // ngx_http_v2_queue_blocked_frame()
        let mut place: *mut *mut ngx_http_v2_out_frame_t = &raw mut h2c.last_out;
        while let Some(other) = (*place).as_mut() {
            if other.blocked() != 0 || other.stream.is_null() {
                break;
            }
            place = &raw mut other.next;
        }
        (*frame).next = *place;
        *place = frame;
        stream.queued += 1;
    }
    Ok(())
}

/// ngx_http_v2_filter_send()
///
/// # Safety
/// The live stream and connection of a live request.
unsafe fn push_out(request: Request, stream: &mut ngx_http_v2_stream_t, h2c: &mut ngx_http_v2_connection_t) {
    // SAFETY: `send` has found both at the live request; the connection of a stream's request is nginx's fake one, which
    // lives as long as the request.
    unsafe {
        let connection = &mut *request.connection().raw();
        stream.set_blocked(1);
        if ngx_http_v2_send_output_queue(h2c) == -1 {
            connection.set_error(1);
        }
        stream.set_blocked(0);
        if stream.queued != 0 {
            connection.set_buffered(connection.buffered() | BUFFERED);
            (*connection.write).set_active(1);
            (*connection.write).set_ready(0);
        }
    }
}

/// ngx_http_v2_headers_frame_handler()
unsafe extern "C" fn on_sent(
    h2c: *mut ngx_http_v2_connection_t,
    frame: *mut ngx_http_v2_out_frame_t,
) -> ngx_int_t {
    // SAFETY: nginx calls this with the live connection and a frame of `queue`, whose stream is live.
    unsafe {
        let frame = &mut *frame;
        let buffer = &*(*frame.first).buf;
        if buffer.pos != buffer.last {
            return AGAIN;
        }
        let stream = &mut *frame.stream;
        let sent = FRAME_HEADER + frame.length;
        (*stream.request).header_size += sent;
        let connection = &mut *(*stream.request).connection;
        connection.sent += sent as i64;
        (*h2c).payload_bytes += frame.length as i64;
        (*h2c).total_bytes += sent as i64;
        frame.next = stream.free_frames;
        stream.free_frames = frame;
        stream.queued -= 1;
        // ngx_http_v2_handle_stream()
        if stream.waiting() == 0 && stream.blocked() == 0 {
            let write = connection.write;
            if connection.error() == 0 && stream.exhausted() != 0 {
                return 0;
            }
            (*write).set_active(0);
            (*write).set_ready(1);
            if connection.error() != 0 || (*write).delayed() == 0 {
                ngx_post_event(write, &raw mut ngx_posted_events);
            }
        }
    }
    0
}

/// A buffer of its own around bytes of the request's pool.
fn link_of(request: Request, bytes: &[u8]) -> Result<(*mut ngx_chain_t, *mut ngx_buf_t), ngx_int_t> {
    let link = request.buffer(bytes, 0).map_err(|_| ERROR)?;
    // SAFETY: fresh.
    let buffer = unsafe { link.as_ref() }.map_or(ptr::null_mut(), |link| link.buf);
    Ok((link, buffer))
}
