// SPDX-License-Identifier: MIT OR Apache-2.0
//! Words between workers: somebody waits at this address.
//!
//! A table of times, one slot for the addresses of one hash. A slot holds nothing that anybody follows: a worker that
//! writes nonsense into it makes others close idle connections or keep them, and no more. A worker that dies leaves a
//! time that grows old.

use std::{
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use nginx_sys::{ngx_current_msec, ngx_cycle_t, ngx_int_t};

use super::idle::Address;

const SLOTS: usize = 1024;

/// How long a word holds, in milliseconds: some repetitions of it.
const HOLDS: usize = 60;

static TABLE: OnceLock<&'static [AtomicUsize]> = OnceLock::new();

/// Makes the table before the first worker is started; later workers share it.
pub(crate) unsafe extern "C" fn make(_: *mut ngx_cycle_t) -> ngx_int_t {
    TABLE.get_or_init(|| {
        // SAFETY: fresh shared memory, zeroed by the kernel, which is never unmapped. All-zero is a valid table.
        unsafe {
            let memory = libc::mmap(
                ptr::null_mut(),
                SLOTS * size_of::<AtomicUsize>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            if memory == libc::MAP_FAILED {
                // Without it workers do not hear each other: idle connections end by their timeout.
                return &[];
            }
            std::slice::from_raw_parts(memory.cast::<AtomicUsize>(), SLOTS)
        }
    });
    0
}

fn now() -> usize {
    // SAFETY: a number that nginx's clock sets on this thread.
    unsafe { ngx_current_msec }
}

fn slot(address: &Address) -> Option<&'static AtomicUsize> {
    let table = TABLE.get()?;
    table.get(address.hash() % SLOTS)
}

/// A request waits for a connection at this address to be accepted.
pub(super) fn say(address: &Address) {
    if let Some(slot) = slot(address) {
        slot.store(now().max(1), Ordering::Relaxed);
    }
}

/// Whether somebody has said so a moment ago.
pub(super) fn heard(address: &Address) -> bool {
    slot(address).is_some_and(|slot| {
        let said = slot.load(Ordering::Relaxed);
        said != 0 && now().wrapping_sub(said) < HOLDS
    })
}
