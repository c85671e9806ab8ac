// SPDX-License-Identifier: MIT OR Apache-2.0
//! Words between workers: somebody waits at this address.
//!
//! A table of times, one slot for the addresses of one hash. A slot holds nothing that anybody follows: a worker that
//! writes nonsense into it makes others close idle connections or keep them, and no more. A worker that dies leaves a
//! time that grows old. Beside it stands what is known of backends ([`Habits`]).
//!
//! Behind a word in the table a bell rings: an eventfd that the event loops of all workers with idle connections watch.
//! Nobody reads it. Each ring is a new edge for all who watch, and so nobody has to look again and again.

use std::{
    os::fd::{AsRawFd, RawFd},
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use gangway::{
    habits::{Habit, Habits},
    sys::EventFd,
};
use nginx_sys::{ngx_current_msec, ngx_cycle_t, ngx_int_t};

use super::super::address::Address;

const SLOTS: usize = 1024;

/// How long a word holds, in milliseconds: some repetitions of it.
const HOLDS: usize = 60;
/// A word that is repeated after fewer milliseconds rings no bell.
const RUNG: usize = 10;

/// What workers share.
#[repr(C)]
struct Shared {
    words: [AtomicUsize; SLOTS],
    habits: Habits,
}

static SHARED: OnceLock<Option<&'static Shared>> = OnceLock::new();
static BELL: OnceLock<Option<EventFd>> = OnceLock::new();

/// Makes table and bell before the first worker is started; later workers share them.
pub(crate) unsafe extern "C" fn make(_: *mut ngx_cycle_t) -> ngx_int_t {
    // Without one workers look again and again.
    BELL.get_or_init(|| EventFd::new().ok());
    SHARED.get_or_init(|| {
        // SAFETY: fresh shared memory, zeroed by the kernel, which is never unmapped. All-zero is valid for both tables.
        unsafe {
            let memory = libc::mmap(
                ptr::null_mut(),
                size_of::<Shared>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            if memory == libc::MAP_FAILED {
                // Without it workers do not hear each other and know nothing: no idle connection is used.
                return None;
            }
            memory.cast::<Shared>().as_ref()
        }
    });
    0
}

fn now() -> usize {
    // SAFETY: a number that nginx's clock sets on this thread.
    unsafe { ngx_current_msec }
}

fn slot(address: &Address) -> Option<&'static AtomicUsize> {
    shared()?.words.get(address.hash() % SLOTS)
}

fn shared() -> Option<&'static Shared> {
    *SHARED.get()?
}

/// What is known of backends.
pub(super) fn habits() -> Option<&'static Habits> {
    shared().map(|shared| &shared.habits)
}

/// A request waits for a connection at this address to be accepted.
pub(super) fn say(address: &Address) {
    let Some(slot) = slot(address) else { return };
    let now = now().max(1);
    let before = slot.swap(now, Ordering::Relaxed);
    if (before == 0 || now.wrapping_sub(before) >= RUNG)
        && let Some(bell) = bell()
    {
        bell.signal();
    }
}

fn bell() -> Option<&'static EventFd> {
    BELL.get()?.as_ref()
}

/// What becomes readable, with an edge for each time, when somebody has said something.
pub(super) fn descriptor() -> Option<RawFd> {
    bell().map(AsRawFd::as_raw_fd)
}

/// Whether somebody has said so a moment ago.
pub(super) fn heard(address: &Address) -> bool {
    slot(address).is_some_and(|slot| {
        let said = slot.load(Ordering::Relaxed);
        // The clock of a worker is that of its last turn: another one's may be ahead of it.
        said != 0 && now().wrapping_sub(said).wrapping_add(HOLDS) < 2 * HOLDS
    })
}

/// What the workers know of an address.
pub(super) fn habit(address: &Address) -> Option<Habit<'static>> {
    habits()?.of(address.hash() as u64)
}
