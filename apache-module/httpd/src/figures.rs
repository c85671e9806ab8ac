// SPDX-License-Identifier: MIT OR Apache-2.0
//! The memory for the figures of applications, which both modules share, and which outlives them.

use std::{
    ffi::{CStr, c_int, c_void},
    io,
    os::fd::AsFd,
    process, ptr,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering},
};

use gangway::{
    engine::fence,
    error::SERVER_FAILED,
    log::{self, Level},
    status::StatusBoard,
    sys::{LeftOpen, explain},
};

use crate::{
    retained::{Retained, with_retained},
    sys::{self, apr_pool_t},
};

/// Children at a time, where the MPM does not say.
const CHILDREN: usize = 16;

/// What a module leaves for the next one.
#[repr(C)]
struct LeftBoard {
    is_left: u64,
    left: [u64; 3],
}

// SAFETY: numbers, of which zeros are some.
unsafe impl Retained for LeftBoard {
    const KEY: &'static CStr = c"gangway-status-1";
}

static BOARD: AtomicPtr<StatusBoard> = AtomicPtr::new(ptr::null_mut());
/// The process that has opened it, which closes it as well.
static OPENER: AtomicU32 = AtomicU32::new(0);

/// Whether requests are counted there: then it stays until the process ends.
static IS_USED: AtomicBool = AtomicBool::new(false);

/// The memory, if there is some, in a process that serves requests: it is there until its end.
pub fn board() -> Option<&'static StatusBoard> {
    IS_USED.store(true, Ordering::Release);
    // SAFETY: NULL, or a board that `open` has leaked. Only `close` frees one, and not where it has been given out here.
    unsafe { BOARD.load(Ordering::Acquire).as_ref() }
}

/// Lets `act` work with the memory, if there is some, in the parent, while it reads its configuration.
pub fn with_board<R>(act: impl FnOnce(&StatusBoard) -> R) -> Option<R> {
    // SAFETY: NULL, or a board that `open` has leaked. The parent frees it on the thread that reads the configuration, and not during this
    // call.
    unsafe { BOARD.load(Ordering::Acquire).as_ref() }.map(act)
}

/// In the parent, when it has read its configuration: finds what was left by the module before, or makes it, with room for so many
/// applications more.
///
/// # Safety
/// `pool` is the one that httpd gave to post_config, which has called this.
pub unsafe fn open(pool: *mut apr_pool_t, more: usize) {
    // SAFETY: it has no conditions.
    let state = unsafe { sys::ap_state_query(sys::AP_SQ_MAIN_STATE as c_int) };
    if state == sys::AP_SQ_MS_CREATE_PRE_CONFIG as c_int {
        return;
    }
    match found(more) {
        Ok(board) => {
            OPENER.store(process::id(), Ordering::Relaxed);
            BOARD.store(Box::into_raw(Box::new(board)), Ordering::Release);
            // SAFETY: the caller's pool; clean-ups of a pool run before the modules that were loaded with it are unloaded.
            unsafe {
                let nothing = Some(sys::apr_pool_cleanup_null as unsafe extern "C" fn(*mut c_void) -> _);
                sys::apr_pool_cleanup_register(pool, ptr::null(), Some(close), nothing);
            }
        }
        Err(error) => {
            let why = explain(&error);
            let text = format_args!("requests are not counted for the status: {why}");
            log::coded(Level::Warn, SERVER_FAILED, text);
        }
    }
}

fn found(more: usize) -> io::Result<StatusBoard> {
    // SAFETY: post_config runs on the one thread of the parent.
    let left = unsafe { with_retained(|place: &mut LeftBoard| (place.is_left != 0).then_some(place.left)) };
    let known = left.and_then(|numbers| LeftOpen::from_numbers(numbers).take().ok());
    let board = match known.and_then(|memory| StatusBoard::open(memory).ok()) {
        Some(board) => board,
        None => StatusBoard::create(children())?,
    };
    let board = if board.has_room(more) { board } else { board.grown(more)? };
    let numbers = LeftOpen::leave(board.as_fd())?.to_numbers();
    // SAFETY: post_config runs on the one thread of the parent.
    unsafe { with_retained(|place: &mut LeftBoard| *place = LeftBoard { is_left: 1, left: numbers }) };
    Ok(board)
}

/// How many children there may be.
fn children() -> usize {
    let mut answer: c_int = 0;
    // SAFETY: writes one integer.
    let status = unsafe { sys::ap_mpm_query(sys::AP_MPMQ_HARD_LIMIT_DAEMONS as c_int, &raw mut answer) };
    usize::try_from(answer).ok().filter(|count| status == 0 && *count > 0).unwrap_or(CHILDREN)
}

unsafe extern "C" fn close(_: *mut c_void) -> sys::apr_status_t {
    fence("the end of the figures", 0, || {
        // Children that end come here as well, and their threads may still count.
        if OPENER.load(Ordering::Relaxed) == process::id() && !IS_USED.load(Ordering::Acquire) {
            let board = BOARD.swap(ptr::null_mut(), Ordering::AcqRel);
            if !board.is_null() {
                // SAFETY: `open` has leaked it, this has taken it, and `board` has given it to nobody.
                drop(unsafe { Box::from_raw(board) });
            }
        }
        0
    })
}
