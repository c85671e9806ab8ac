// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parts of nginx's buffers.

use nginx_sys::ngx_buf_t;

use crate::raw::{bytes, is_special};

/// `ngx_buf_size()`.
pub(super) fn size(buffer: &ngx_buf_t) -> u64 {
    if is_special(buffer) {
        0
    } else if buffer.in_file() != 0 {
        u64::try_from(buffer.file_last - buffer.file_pos).unwrap_or(0)
    } else {
        // SAFETY: a buffer in memory points at its bytes.
        unsafe { bytes(buffer.pos, buffer.last) }.len() as u64
    }
}

/// Makes `part`, a copy of `whole`, its bytes `[from, from + count)`.
pub(super) fn narrow(part: &mut ngx_buf_t, whole: &ngx_buf_t, from: u64, count: u64) {
    let count = count.min(size(whole).saturating_sub(from));
    if whole.in_file() != 0 {
        part.file_pos = whole.file_pos + from as i64;
        part.file_last = part.file_pos + count as i64;
    } else {
        part.pos = whole.pos.wrapping_add(from as usize);
        // nginx begins here again when it asks another backend.
        part.start = part.pos;
        part.last = part.pos.wrapping_add(count as usize);
    }
}
