// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is kept of a request from one of its phases to the next, for as long as its pool.

use std::{
    cell::{RefCell, RefMut},
    ffi::c_void,
};

use gangway::engine::{PhaseState, fence};
use gangway_httpd::sys;

use super::{
    Request,
    session::{Input, Session},
};

/// Stands in the module's own place of a request.
#[derive(Default)]
pub(crate) struct RequestState {
    phase: RefCell<PhaseState>,
    /// What a phase has read and not used.
    input: RefCell<Input<'static>>,
}

impl RequestState {
    /// That of a request; it is made when it is asked for the first time.
    pub(crate) fn of(request: Request<'_>) -> &Self {
        // SAFETY: a `Request` is live on this thread, and its place holds NULL or what this function has put there, which is freed
        // with the request's pool.
        unsafe {
            let place = request.place();
            if (*place).is_null() {
                let made = Box::into_raw(Box::<Self>::default());
                *place = made.cast();
                sys::apr_pool_cleanup_register(
                    request.pool().as_ptr(),
                    made.cast(),
                    Some(end),
                    Some(sys::apr_pool_cleanup_null),
                );
            }
            &*(*place).cast::<Self>()
        }
    }

    /// What the engine keeps; `None` while a phase has it.
    pub(crate) fn phase(&self) -> Option<RefMut<'_, PhaseState>> {
        self.phase.try_borrow_mut().ok()
    }
}

impl Session<'_> {
    /// Goes on where the phase before has stopped reading.
    pub(crate) fn resume(&mut self, kept: &RequestState) {
        if let Ok(mut input) = kept.input.try_borrow_mut() {
            self.input = std::mem::take(&mut input);
        }
    }

    /// Keeps what has been read too far.
    pub(crate) fn suspend(&mut self, kept: &RequestState) {
        let input = std::mem::take(&mut self.input);
        // SAFETY: what is kept stands in the place of the same request, and is only used by sessions of it: its brigade lives in the
        // request's pool, which frees both.
        let input = unsafe { std::mem::transmute::<Input<'_>, Input<'static>>(input) };
        if let Ok(mut place) = kept.input.try_borrow_mut() {
            *place = input;
        }
    }
}

/// The clean-up of the request's pool.
unsafe extern "C" fn end(state: *mut c_void) -> sys::apr_status_t {
    // SAFETY: APR calls this once, with what `of` has made; nobody uses a request whose pool is freed.
    fence("the end of a request", 0, || unsafe {
        drop(Box::from_raw(state.cast::<RequestState>()));
        0
    })
}
