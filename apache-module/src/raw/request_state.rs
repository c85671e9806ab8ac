// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is kept of a request from one of its phases to the next, for as long as its pool.

use std::{
    cell::{Cell, RefCell},
    ffi::c_void,
    ops::Deref,
};

use gangway::{
    engine::{PhaseState, fence},
    phases::{Handler, RequestPhase},
};
use gangway_httpd::sys;

use super::{
    Request,
    session::{Input, Session},
};

/// Stands in the module's own place of a request.
#[derive(Default)]
pub(crate) struct RequestState {
    phase: PhaseState,
    /// A phase is at work.
    is_busy: Cell<bool>,
    /// Nobody but handlers has to say who the client is.
    is_alone: Cell<bool>,
    /// What is called at the end of the request.
    at_end: Cell<Option<fn(Request<'_>)>>,
    /// Handlers that others have added. What they point to lives in the request's pool.
    added: RefCell<Vec<Handler<'static>>>,
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

    /// That of a request, if it has one.
    pub(crate) fn found(request: Request<'_>) -> Option<&Self> {
        // SAFETY: a `Request` is live on this thread, and its place holds NULL or what `of` has put there, which its pool frees.
        unsafe { (*request.place()).cast::<Self>().as_ref() }
    }

    /// What the engine keeps, for a phase that begins; `None` while another one is at work.
    pub(crate) fn begin(&self) -> Option<InPhase<'_>> {
        (!self.is_busy.replace(true)).then_some(InPhase(self))
    }

    /// What the engine keeps, for a filter, which may run while a phase is at work.
    pub(crate) fn for_filter(&self) -> &PhaseState {
        &self.phase
    }

    /// Notes that nobody but handlers has to say who the client is.
    pub(crate) fn note_alone(&self) {
        self.is_alone.set(true);
    }

    pub(crate) fn is_alone(&self) -> bool {
        self.is_alone.get()
    }

    /// Adds a handler to those of the configuration.
    pub(crate) fn add_handler(&self, request: Request<'_>, handler: &Handler<'_>) {
        let pool = request.pool();
        let kept = Handler {
            name: pool.copy(handler.name),
            directory: pool.copy(handler.directory),
            suffix: None,
            ..*handler
        };
        // SAFETY: the copies live in the pool of the request that has this state, which is freed before them; `added` gives them out
        // for the life of that request alone.
        let kept = unsafe { std::mem::transmute::<Handler<'_>, Handler<'static>>(kept) };
        self.added.borrow_mut().push(kept);
    }

    /// Those that were added for a phase of this request, whose state this is.
    pub(crate) fn added<'r>(&self, _: Request<'r>, phase: RequestPhase) -> Vec<Handler<'r>> {
        let added = self.added.borrow();
        added
            .iter()
            .filter(|handler| handler.phase == phase)
            .map(|handler| Handler::<'r> { ..*handler })
            .collect()
    }

    /// Has a function called before the request's pool is freed, once however often it is asked for.
    pub(crate) fn await_end(&self, request: Request<'_>, function: fn(Request<'_>)) {
        if self.at_end.replace(Some(function)).is_some() {
            return;
        }
        // SAFETY: a `Request` is live on this thread; it lives in its own pool, and what is called before that is freed finds it
        // whole.
        unsafe {
            sys::apr_pool_pre_cleanup_register(
                request.pool().as_ptr(),
                request.as_ptr().cast(),
                Some(before_end),
            );
        }
    }
}

/// What the engine keeps, while a phase is at work.
pub(crate) struct InPhase<'s>(&'s RequestState);

impl Deref for InPhase<'_> {
    type Target = PhaseState;

    fn deref(&self) -> &PhaseState {
        &self.0.phase
    }
}

impl Drop for InPhase<'_> {
    fn drop(&mut self) {
        self.0.is_busy.set(false);
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

/// Before the clean-up of the request's pool.
unsafe extern "C" fn before_end(request: *mut c_void) -> sys::apr_status_t {
    fence("the end of a request", 0, || {
        // SAFETY: APR calls this once, with the request of `await_end`, on the thread that frees its pool and before it does so.
        let request = unsafe { Request::from_raw(request.cast()) };
        let function =
            request.and_then(|request| RequestState::found(request)?.at_end.get().zip(Some(request)));
        if let Some((function, request)) = function {
            function(request);
        }
        0
    })
}
