// SPDX-License-Identifier: MIT OR Apache-2.0
//! Filters of requests whose work is done by handlers.

use std::{
    cell::{Cell, RefCell},
    ffi::{CStr, c_int, c_void},
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicPtr, Ordering},
    },
};

use gangway::{
    engine::fence,
    exchange::Stop,
    phases::{FilterRead, Handler, OwnedHandler, RequestPhase},
};
use gangway_httpd::brigade::{Brigade, KeptBrigade};

use super::{
    INTERNAL_SERVER_ERROR, Request,
    flow::{BodyWanted, Flow, given},
    session::Session,
    sys::{self, ap_filter_t, apr_bucket_brigade, apr_status_t},
};

/// A filter of one request, from the first time that it is called to the end of the request's pool.
pub(crate) struct FilterState {
    phase: RequestPhase,
    name: Box<[u8]>,
    /// Where it is not the configuration's.
    handler: Option<OwnedHandler>,
    /// No bytes pass any more.
    is_over: Cell<bool>,
    passes_always: Cell<bool>,
    has_begun: Cell<bool>,
    /// Of an input filter: what was made and nobody has asked for yet.
    kept: RefCell<Option<KeptBrigade>>,
}

/// What does the work of a run: it ends with [`super::Session::end_filter`], whose status it answers.
pub(crate) type RunFilter = for<'r> fn(Request<'r>, &FilterState, Flow<'r>) -> c_int;

static RUN: OnceLock<RunFilter> = OnceLock::new();
/// For filters that handlers add to one request.
static INPUT: AtomicPtr<sys::ap_filter_rec_t> = AtomicPtr::new(ptr::null_mut());
static OUTPUT: AtomicPtr<sys::ap_filter_rec_t> = AtomicPtr::new(ptr::null_mut());
const ADDED: &CStr = c"gangway-handler";

/// Has filters run by this function. While httpd registers hooks.
pub(crate) fn register_filters(run: RunFilter) {
    let _ = RUN.set(run);
    INPUT.store(register(RequestPhase::InputFilter, ADDED), Ordering::Release);
    OUTPUT.store(register(RequestPhase::OutputFilter, ADDED), Ordering::Release);
}

/// Makes a name known to the directives for filters. While the configuration is read.
pub(crate) fn register_filter(phase: RequestPhase, name: &CStr) {
    register(phase, name);
}

fn register(phase: RequestPhase, name: &CStr) -> *mut sys::ap_filter_rec_t {
    // SAFETY: httpd copies the name, and keeps the record as long as its configuration, which this module outlives; called on the thread
    // that reads it.
    unsafe {
        if phase == RequestPhase::InputFilter {
            sys::ap_register_input_filter(name.as_ptr(), Some(input), None, sys::AP_FTYPE_RESOURCE)
        } else {
            sys::ap_register_output_filter(name.as_ptr(), Some(output), None, sys::AP_FTYPE_RESOURCE)
        }
    }
}

impl FilterState {
    fn new(phase: RequestPhase, name: &[u8], handler: Option<OwnedHandler>) -> Self {
        Self {
            phase,
            name: name.into(),
            handler,
            is_over: Cell::new(false),
            passes_always: Cell::new(false),
            has_begun: Cell::new(false),
            kept: RefCell::new(None),
        }
    }

    /// That of a filter; made when it is called for the first time.
    ///
    /// # Safety
    /// `filter` is a live one of this request that was registered here.
    unsafe fn of<'r>(filter: *mut ap_filter_t, phase: RequestPhase, request: Request<'r>) -> &'r Self {
        // SAFETY: the caller promises a filter of the request, whose `ctx` is NULL or what this function or `add_filter` has put there: it
        // lives as long as the request's pool. The record with its name lives as long as the configuration.
        unsafe {
            if (*filter).ctx.is_null() {
                let name = CStr::from_ptr((*(*filter).frec).name).to_bytes();
                (*filter).ctx = keep(request, Self::new(phase, name, None)).cast();
            }
            &*(*filter).ctx.cast::<Self>()
        }
    }

    pub(crate) fn phase(&self) -> RequestPhase {
        self.phase
    }

    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    /// The handler of this request's own, if it is one.
    pub(crate) fn handler(&self) -> Option<Handler<'_>> {
        self.handler.as_ref().map(OwnedHandler::lend)
    }

    /// What a run says of those to come.
    pub(super) fn note(&self, is_over: bool, passes_always: bool) {
        self.is_over.set(self.is_over.get() || is_over);
        self.passes_always.set(self.passes_always.get() || passes_always);
    }

    /// Keeps what an input filter has made.
    pub(super) fn keep(&self, mut made: Brigade<'_>) -> c_int {
        if let Some(kept) = self.kept.borrow_mut().as_mut() {
            kept.lend().append(&mut made);
        }
        0
    }

    /// The status of an input filter that has failed.
    pub(super) fn fail(&self, status: c_int) -> c_int {
        if status == 0 { sys::GANGWAY_EGENERAL } else { status }
    }

    fn is_empty(&self) -> bool {
        self.kept.borrow_mut().as_mut().is_none_or(|kept| kept.lend().is_empty())
    }

    /// Gives at most so many of the bytes that are kept. Answers whether there were any, or the end.
    fn give(&self, to: &mut Brigade<'_>, most: usize) -> bool {
        let mut kept = self.kept.borrow_mut();
        let Some(mut kept) = kept.as_mut().map(KeptBrigade::lend) else { return false };
        let mut left = most;
        while let Some(mut first) = kept.first() {
            if first.is_data() {
                if left == 0 {
                    break;
                }
                first.split(left);
                left = left.saturating_sub(first.known_length());
            }
            kept.move_first(to);
        }
        !to.is_empty()
    }
}

impl<'r> Session<'r> {
    fn flow(&mut self) -> Result<&mut Flow<'r>, Stop> {
        self.flow.as_mut().ok_or(Stop::Invalid)
    }

    /// Reads what has come.
    pub(crate) fn filter_read(&mut self, out: &mut [u8]) -> Result<FilterRead, Stop> {
        self.flow()?.read(out)
    }

    /// Passes bytes on.
    pub(crate) fn filter_write(&mut self, bytes: &[u8], flush: bool) -> Result<(), Stop> {
        self.flow()?.write(bytes, flush)
    }

    /// Ends the body.
    pub(crate) fn filter_close(&mut self) -> Result<(), Stop> {
        self.flow()?.close()
    }

    /// Passes on what has not been read.
    pub(crate) fn filter_pass(&mut self, always: bool) -> Result<(), Stop> {
        self.flow()?.pass(always)
    }

    /// The run is over: all of it goes on, or with `failed` nothing. Answers a status of APR's.
    pub(crate) fn end_filter(&mut self, state: &FilterState, failed: bool) -> c_int {
        let request = self.request;
        let Some(flow) = self.flow.take() else { return sys::AP_FILTER_ERROR };
        let (next, is_response) = (flow.next, flow.wanted.is_none());
        let mut end = flow.end();
        state.note(end.is_closed || failed, end.passes_always);
        if !is_response {
            return if failed { state.fail(end.status) } else { state.keep(end.out) };
        }
        // An error page has a head as well: asked before it is sent.
        let is_cut = failed && request.has_sent_head();
        if failed && end.status == 0 {
            end.out.clear();
            break_off(request, &mut end.out);
        }
        if end.status != 0 || end.out.is_empty() {
            return end.status;
        }
        // SAFETY: `Flow::new` promises the filter, which this thread's request has; the brigade is this run's own.
        let status = unsafe { sys::ap_pass_brigade(next, end.out.as_ptr()) };
        end.out.clear();
        if is_cut {
            request.reset_if_unframed();
        }
        status
    }
}

/// Ends a response that cannot be made: with an error page, or where its head has left, in the middle.
fn break_off(request: Request<'_>, out: &mut Brigade<'_>) {
    let status = if request.has_sent_head() {
        request.close_connection();
        sys::HTTP_BAD_GATEWAY as c_int
    } else {
        INTERNAL_SERVER_ERROR
    };
    // SAFETY: a `Request` is live on this thread, and its brigade's allocator lives as long; the bucket is new. Without a message the
    // error takes httpd's own.
    unsafe {
        let error =
            sys::ap_bucket_error_create(status, ptr::null(), request.pool().as_ptr(), out.bucket_list());
        out.push(error);
        (*request.as_ptr()).no_cache = 1;
    }
    out.push_end();
}

/// Puts a state into the pool of a request, which ends it.
fn keep(request: Request<'_>, state: FilterState) -> *mut FilterState {
    let made = Box::into_raw(Box::new(state));
    // SAFETY: a `Request` is live on this thread; its pool calls the clean-up once.
    unsafe {
        sys::apr_pool_cleanup_register(
            request.pool().as_ptr(),
            made.cast(),
            Some(end),
            Some(sys::apr_pool_cleanup_null),
        );
    }
    made
}

/// The clean-up of the request's pool.
unsafe extern "C" fn end(state: *mut c_void) -> apr_status_t {
    // SAFETY: APR calls this once, with what `keep` has made; nobody uses a filter of a request whose pool is freed.
    fence("the end of a filter", 0, || unsafe {
        drop(Box::from_raw(state.cast::<FilterState>()));
        0
    })
}

/// Adds a filter to a request: a handler's, or one that httpd knows by this name. Answers whether there is one.
pub(crate) fn add_filter(
    request: Request<'_>,
    phase: RequestPhase,
    name: &[u8],
    handler: Option<&Handler<'_>>,
) -> bool {
    let is_input = phase == RequestPhase::InputFilter;
    let (raw, connection) = (request.as_ptr(), request.connection());
    let Some(handler) = handler else {
        let name = request.pool().keep(name);
        // SAFETY: a `Request` is live on this thread; the name lives in its pool.
        let added = unsafe {
            if is_input {
                sys::ap_add_input_filter(name, ptr::null_mut(), raw, connection)
            } else {
                sys::ap_add_output_filter(name, ptr::null_mut(), raw, connection)
            }
        };
        return !added.is_null();
    };
    let kept = OwnedHandler::of(&Handler { suffix: None, phase, ..*handler });
    let state = keep(request, FilterState::new(phase, name, Some(kept))).cast();
    // SAFETY: a `Request` is live on this thread; the record was made when hooks were registered, and the state lives as long as the
    // filter.
    let added = unsafe {
        if is_input {
            sys::ap_add_input_filter_handle(INPUT.load(Ordering::Acquire), state, raw, connection)
        } else {
            sys::ap_add_output_filter_handle(OUTPUT.load(Ordering::Acquire), state, raw, connection)
        }
    };
    !added.is_null()
}

unsafe extern "C" fn output(filter: *mut ap_filter_t, brigade: *mut apr_bucket_brigade) -> apr_status_t {
    fence("an output filter", sys::AP_FILTER_ERROR, || {
        // SAFETY: httpd calls a filter that was registered here, of a live request of this thread, with a brigade for the call.
        let parts = unsafe { Request::from_raw((*filter).r).zip(given(brigade)) };
        let (Some((request, mut given)), Some(run)) = (parts, RUN.get()) else { return sys::AP_FILTER_ERROR };
        // SAFETY: httpd calls a filter that was registered here, of a live request of this thread, and keeps it for the call.
        let (state, next) =
            unsafe { (FilterState::of(filter, RequestPhase::OutputFilter, request), (*filter).next) };
        if state.is_over.get() {
            given.clear();
            return 0;
        }
        if given.is_empty() {
            return 0;
        }
        if state.passes_always.get() {
            // SAFETY: httpd calls a filter that was registered here, of a live request of this thread, and keeps it for the call.
            return unsafe { sys::ap_pass_brigade(next, brigade) };
        }
        if !state.has_begun.replace(true) {
            request.forget_length();
        }
        // SAFETY: httpd calls a filter that was registered here, of a live request of this thread, and keeps it for the call.
        run(request, state, unsafe { Flow::new(request, next, given, None) })
    })
}

unsafe extern "C" fn input(
    filter: *mut ap_filter_t,
    brigade: *mut apr_bucket_brigade,
    mode: sys::ap_input_mode_t,
    block: sys::apr_read_type_e,
    most: sys::apr_off_t,
) -> apr_status_t {
    fence("an input filter", sys::AP_FILTER_ERROR, || {
        // SAFETY: httpd calls a filter that was registered here, of a live request of this thread, with a brigade for the call.
        let parts = unsafe { Request::from_raw((*filter).r).zip(given(brigade)) };
        let (Some((request, mut to)), Some(run)) = (parts, RUN.get()) else { return sys::AP_FILTER_ERROR };
        // SAFETY: httpd calls a filter that was registered here, of a live request of this thread, and keeps it for the call.
        let (state, next) =
            unsafe { (FilterState::of(filter, RequestPhase::InputFilter, request), (*filter).next) };
        if mode != sys::AP_MODE_READBYTES || state.passes_always.get() && state.is_empty() {
            // SAFETY: httpd calls a filter that was registered here, of a live request of this thread, and keeps it for the call.
            return unsafe { sys::ap_get_brigade(next, brigade, mode, block, most) };
        }
        if !state.has_begun.replace(true) {
            // SAFETY: the state goes with the pool of the request, in which the brigade is, and is used for this request alone.
            let kept = unsafe { KeptBrigade::new(request.brigade()) };
            *state.kept.borrow_mut() = Some(kept);
        }
        let room = usize::try_from(most).unwrap_or(usize::MAX);
        loop {
            if state.give(&mut to, room) {
                return 0;
            }
            if state.is_over.get() {
                to.push_end();
                return 0;
            }
            let wanted = BodyWanted { block, most, is_asked: false };
            // SAFETY: httpd calls a filter that was registered here, of a live request of this thread, and keeps it for the call.
            let flow = unsafe { Flow::new(request, next, request.brigade(), Some(wanted)) };
            let status = run(request, state, flow);
            if status != 0 {
                return status;
            }
            if block == sys::APR_NONBLOCK_READ && state.is_empty() && !state.is_over.get() {
                return sys::GANGWAY_EAGAIN;
            }
        }
    })
}
