// SPDX-License-Identifier: MIT OR Apache-2.0
//! The allocator of the process.

use std::hint::black_box;

/// Bytes of a block after which glibc keeps twice as much.
const LARGE: usize = 1024 * 1024;

/// Has malloc(3) keep up to 2 MiB of what is freed at the end of a heap, where it begins with 128 KiB: bodies and messages of
/// 64 KiB are freed again and again, and their pages would be given back each time and come back as zeroes.
///
/// glibc raises its own limits when a block is freed that was mapped for itself (mallopt(3), `M_MMAP_THRESHOLD`), as most
/// processes do some time; of another allocator this asks nothing. Whoever has set the limits keeps them.
pub fn keep_freed() {
    drop(black_box(Vec::<u8>::with_capacity(LARGE)));
}
