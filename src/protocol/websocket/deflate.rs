// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compressed messages (RFC 7692 §7.2).
//!
//! Each message begins anew, on both sides: a compressor has some 260 KiB and an inflater some 40, which sockets that refer
//! to earlier messages would each have for themselves. So those of a thread serve all its sockets.

use std::cell::RefCell;

use flate2::{Compress, Compression as Level, Decompress, FlushCompress, FlushDecompress, Status as Flow};

use super::frame::Fault;

/// What ends each message and is left out of it (§7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// As nginx has it for its own responses: most of what can be had, at a fraction of the work.
const LEVEL: u32 = 1;

/// The window of zlib, 32 KiB.
pub(super) const BITS_MOST: u8 = 15;
/// zlib cannot make raw streams with a window of 256 bytes: messages for a client with such a one are not compressed, which
/// RFC 7692 §6 leaves to the sender.
pub(super) const BITS_LEAST: u8 = 9;

/// Memory for output is taken in such steps, so that a bomb costs no more than the limit of its message.
const STEP: usize = 64 * 1024;

const CORRUPT: Fault = Fault::protocol("compressed data that is broken");

thread_local! {
    static INFLATER: RefCell<Option<Decompress>> = const { RefCell::new(None) };
    static COMPRESSORS: RefCell<Vec<(u8, Compress)>> = const { RefCell::new(Vec::new()) };
}

/// A whole message; one of more than `most` bytes is refused as soon as it has become so long.
pub(super) fn inflate(payload: &[u8], most: usize) -> Result<Vec<u8>, Fault> {
    let mut inflater = INFLATER.take().unwrap_or_else(|| Decompress::new(false));
    let mut out = Vec::new();
    let inflated =
        [payload, &TAIL].into_iter().try_for_each(|part| inflate_part(&mut inflater, part, most, &mut out));
    inflater.reset(false);
    INFLATER.set(Some(inflater));
    inflated.map(|()| out)
}

fn inflate_part(
    inflater: &mut Decompress,
    mut part: &[u8],
    most: usize,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    loop {
        if out.len() > most {
            return Err(Fault::TOO_BIG);
        }
        if out.len() == out.capacity() {
            // One more than is allowed, to see that it is too many.
            out.reserve_exact(out.len().clamp(512, STEP).min(most - out.len() + 1));
        }
        let (read, written) = (inflater.total_in(), inflater.total_out());
        let flow = inflater.decompress_vec(part, out, FlushDecompress::Sync).map_err(|_| CORRUPT)?;
        let used = inflater.total_in() - read;
        let has_moved = used > 0 || inflater.total_out() > written;
        part = part.get(usize::try_from(used).unwrap_or(usize::MAX)..).unwrap_or_default();
        if flow == Flow::StreamEnd {
            // §7.2.3.5: a block that says of itself that it is the last one may be followed by others.
            inflater.reset(false);
        }
        match (part.is_empty(), out.len() < out.capacity()) {
            (true, true) => return Ok(()),
            (false, true) if !has_moved => return Err(CORRUPT),
            _ => {}
        }
    }
}

/// A whole message compressed, with a window of so many bits; `None` if it cannot be.
pub(super) fn deflate(payload: &[u8], bits: u8) -> Option<Vec<u8>> {
    if bits < BITS_LEAST {
        return None;
    }
    let known = COMPRESSORS.with_borrow_mut(|all| {
        all.iter().position(|(known, _)| *known == bits).map(|at| all.swap_remove(at).1)
    });
    let mut compressor = known
        .unwrap_or_else(|| Compress::new_with_window_bits(Level::new(LEVEL), false, bits.min(BITS_MOST)));
    let mut out = Vec::new();
    let is_whole = deflate_all(&mut compressor, payload, &mut out);
    compressor.reset();
    COMPRESSORS.with_borrow_mut(|all| all.push((bits, compressor)));
    is_whole.then_some(out)
}

fn deflate_all(compressor: &mut Compress, mut payload: &[u8], out: &mut Vec<u8>) -> bool {
    loop {
        // A flush that has room to spare is whole; without any it would go on.
        out.reserve(payload.len().clamp(64, STEP));
        let read = compressor.total_in();
        let Ok(flow) = compressor.compress_vec(payload, out, FlushCompress::Sync) else { return false };
        let used = usize::try_from(compressor.total_in() - read).unwrap_or(usize::MAX);
        payload = payload.get(used..).unwrap_or_default();
        if payload.is_empty() && out.len() < out.capacity() {
            break;
        }
        if flow == Flow::StreamEnd {
            return false;
        }
    }
    if !out.ends_with(&TAIL) {
        return false;
    }
    out.truncate(out.len() - TAIL.len());
    if out.is_empty() {
        // §7.2.3.6: a message of no bytes is an empty block.
        out.push(0x00);
    }
    true
}
