// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is kept of a request from one of its phases to the next, for as long as its pool.

use std::{
    cell::{Cell, RefCell},
    ffi::c_void,
    ops::Deref,
};

use gangway::{
    engine::{PhaseState, fence},
    phases::{Handler, OwnedHandler, RequestPhase},
};
use gangway_httpd::{brigade::KeptBrigade, sys};

use super::{
    Request,
    session::{KeptInput, Session},
};

/// Stands in the module's own place of a request.
#[derive(Default)]
pub(crate) struct RequestState {
    phase: PhaseState,
    /// A phase is at work.
    is_busy: Cell<bool>,
    /// Nobody but handlers has to say who the client is.
    is_alone: Cell<bool>,
    /// No file is looked for: its name has not been told from what follows it.
    is_by_path: Cell<bool>,
    /// What is called at the end of the request.
    at_end: Cell<Option<fn(Request<'_>)>>,
    /// Handlers that others have added.
    added: RefCell<Vec<OwnedHandler>>,
    /// What a phase has read and not used.
    input: RefCell<KeptInput>,
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

    /// Notes that no file is to be looked for.
    pub(crate) fn note_by_path(&self) {
        self.is_by_path.set(true);
    }

    /// Whether no file is looked for.
    pub(crate) fn is_by_path(&self) -> bool {
        self.is_by_path.get()
    }

    /// The same, once: it is being looked for.
    pub(crate) fn takes_path(&self) -> bool {
        self.is_by_path.replace(false)
    }

    /// Adds a handler to those of the configuration.
    pub(crate) fn add_handler(&self, handler: &Handler<'_>) {
        self.added.borrow_mut().push(OwnedHandler::of(&Handler { suffix: None, ..*handler }));
    }

    /// Those that were added for a phase, as they are now: in the pool of a request, for they may add more while they run.
    pub(crate) fn added<'r>(&self, request: Request<'r>, phase: RequestPhase) -> Vec<Handler<'r>> {
        let (pool, added) = (request.pool(), self.added.borrow());
        let of_phase = added.iter().map(OwnedHandler::lend).filter(|handler| handler.phase == phase);
        let in_pool = |handler: Handler<'_>| Handler {
            phase,
            name: pool.copy(handler.name),
            suffix: None,
            directory: pool.copy(handler.directory),
        };
        of_phase.map(in_pool).collect()
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
    pub(crate) fn resume(&mut self) {
        let kept = RequestState::of(self.request);
        if let Ok(mut input) = kept.input.try_borrow_mut() {
            // SAFETY: what is in the place of a request was put there for this request, by `suspend`: in its pool, which lives as long.
            self.input = std::mem::take(&mut *input).map(|given| unsafe { given.give_back() });
        }
    }

    /// Keeps what has been read too far.
    pub(crate) fn suspend(&mut self) {
        let kept = RequestState::of(self.request);
        if let Ok(mut place) = kept.input.try_borrow_mut() {
            // SAFETY: what is in the place of the request goes with its pool, in which the brigade is, and sessions of it alone use it.
            *place = std::mem::take(&mut self.input).map(|given| unsafe { KeptBrigade::new(given) });
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
