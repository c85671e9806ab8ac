// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is known of one request to a backend.
//!
//! ```text
//! stage      where its response is: a table of states
//! response   what has come of it; rest: what is still to come
//! hold       a head that waits for its body: a table of states
//! flush      the timer that hands on what waits
//! peer       its connections
//! ```
//! Plain values that change themselves by rules of their own. What nginx calls stands above them and is not named here.

pub(super) mod flush;
pub(super) mod hold;
pub(super) mod peer;
mod response;
mod rest;
mod stage;

use std::{
    cell::{Cell, OnceCell, RefCell},
    ffi::c_void,
    ptr,
};

use gangway::{
    log::{Level, RequestLog},
    protocol::{Decoder, Protocol, Role},
    status::{Incident, Passage},
    supervise::HEAD_MOST,
    trace::{self, Answerer, Trace},
};
use nginx_sys::{
    NGX_HTTP_UPSTREAM_FT_ERROR, NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT, ngx_chain_t, ngx_event_t,
    ngx_http_request_t,
};

use super::{script::ScriptPath, stderr::Stderr};
use crate::{
    conf::{AUTHORIZER_PAGE, LocationConf, Scheme, UpstreamConf},
    raw::{InCycle, NoMemory, Request, Timer, Upstream, buffers, own, timer_data},
    serve::counting,
};
use flush::Flush;
use hold::HeadHold;
use peer::Peer;

pub(super) use response::Response;
pub(super) use rest::Rest;
pub(super) use stage::{Stage, StageChange};

/// The state of a request; it lives as long as the request's pool. Everybody who is called for the request shares it, so
/// what changes is in cells.
pub(super) struct Context {
    pub(super) request: Request,
    pub(super) location: InCycle<LocationConf>,
    pub(super) scheme: Scheme,
    pub(super) script: ScriptPath,
    stage: Cell<Stage>,
    pub(super) response: RefCell<Response>,
    pub(super) stderr: RefCell<Stderr>,
    pub(super) flush: Flush,
    pub(super) hold: HeadHold,
    pub(super) peer: Peer,
    pub(super) outgoing: RefCell<Outgoing>,
    pub(super) response_target: RefCell<ResponseTarget>,
    /// The request is still to be sent, although nginx takes it for sent.
    pub(super) is_unsent: Cell<bool>,
    /// The bytes of the body, if nginx has read all of it.
    pub(super) body_length: Cell<u64>,
    /// Its way, as it is counted.
    pub(super) passage: OnceCell<Passage>,
    /// The number of the application, and the process that has the request.
    counted: Cell<(usize, Option<u32>)>,
    /// Where somebody observes the request.
    pub(super) trace: Option<Box<Trace>>,
}

/// Buffers of a request body that is sent while it comes in.
pub(super) struct Outgoing {
    pub(super) head_sent: bool,
    pub(super) free: *mut ngx_chain_t,
    pub(super) busy: *mut ngx_chain_t,
}

/// Where the response sends the request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum ResponseTarget {
    /// To the client.
    #[default]
    Client,
    /// To where X-Accel-Redirect says.
    Accel,
    /// To what a client would get that asked for this: the local redirect of a script.
    Local(Vec<u8>),
}

/// How long the head of a response may be. Of an application the directive for backends has no say.
fn head_max_size(conf: &UpstreamConf, is_mounted: bool) -> usize {
    if is_mounted { HEAD_MOST } else { conf.head_max_size() }
}

impl Context {
    /// A context in the request's pool, as nginx's callbacks get it.
    pub(super) fn create(
        request: Request,
        location: InCycle<LocationConf>,
        scheme: Scheme,
        script: ScriptPath,
        answerer: Answerer,
    ) -> Result<*mut c_void, NoMemory> {
        let head_max = head_max_size(&location.upstream, script.is_mounted);
        let room = (script.role == Role::Authorizer).then_some(AUTHORIZER_PAGE);
        let context = Self {
            request,
            scheme,
            script,
            stage: Cell::default(),
            response: RefCell::new(Response::new(scheme.protocol().decoder(), head_max, room)),
            stderr: RefCell::new(match script.is_mounted {
                true => Stderr::of_host(),
                false => Stderr::new(location.upstream.stderr_level()),
            }),
            flush: Flush::default(),
            hold: HeadHold::default(),
            peer: Peer::default(),
            outgoing: RefCell::new(Outgoing {
                head_sent: false,
                free: ptr::null_mut(),
                busy: ptr::null_mut(),
            }),
            response_target: RefCell::default(),
            is_unsent: Cell::new(false),
            body_length: Cell::new(0),
            passage: OnceCell::new(),
            counted: Cell::default(),
            trace: Trace::open(request.takes(Level::Debug), answerer),
            location,
        };
        // SAFETY: the pool of a live request.
        let context = unsafe { own(request.pool(), context) };
        if context.is_null() { Err(NoMemory) } else { Ok(context.cast()) }
    }

    /// The context of a request whose upstream is one of ours.
    pub(super) fn of(request: &Request) -> Option<&Self> {
        let upstream = request.upstream().filter(|upstream| upstream.is_ours())?;
        // SAFETY: NULL, or what `create` has put into the pool of the live request: an upstream of this module's is given
        // nothing else. All who refer to it share it.
        unsafe { upstream.context().cast::<Self>().as_ref() }
    }

    /// Lets `act` work on the context of a request for which nginx calls a function of this module's upstream.
    ///
    /// # Safety
    /// `r` is a live request.
    pub(super) unsafe fn with<R>(
        r: *mut ngx_http_request_t,
        act: impl FnOnce(&Self, Upstream) -> R,
    ) -> Option<R> {
        // SAFETY: the caller's request is live.
        let request = unsafe { Request::from_raw(r) };
        let upstream = request.upstream()?;
        Self::of(&request).map(|context| context.within(|| act(context, upstream)))
    }

    /// As [`Context::with`], for a function that nginx gives the context itself.
    ///
    /// # Safety
    /// `data` is what [`Context::create`] has made, and its request is live.
    pub(super) unsafe fn with_data<R>(
        data: *mut c_void,
        act: impl FnOnce(&Self, Upstream) -> R,
    ) -> Option<R> {
        // SAFETY: the caller's context is in the pool of its live request, and all who refer to it share it.
        let context = unsafe { data.cast::<Self>().as_ref() }?;
        let upstream = context.request.upstream()?;
        Some(context.within(|| act(context, upstream)))
    }

    /// As [`Context::with`], for the handler of a timer from [`Context::timer`]. The reference ends with `act`: what may end
    /// the request is done with what `act` answers.
    ///
    /// # Safety
    /// nginx calls the handler of the timer with `event`. A context owns its timers, which stop when it is dropped.
    pub(super) unsafe fn with_timer<R>(
        event: *mut ngx_event_t,
        act: impl FnOnce(&Self, Upstream) -> R,
    ) -> Option<R> {
        // SAFETY: the data of such a timer is its context, which lives: its timers would have stopped otherwise.
        unsafe { Self::with_data(timer_data(event), act) }
    }

    /// A timer of this context's own.
    pub(super) fn timer(&self, handler: unsafe extern "C" fn(*mut ngx_event_t)) -> Timer {
        Timer::new(handler, self.data(), false)
    }

    /// The context as nginx's callbacks get it.
    pub(super) fn data(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// What is done for the request: lines that are written meanwhile are events of its span.
    pub(super) fn within<R>(&self, act: impl FnOnce() -> R) -> R {
        trace::within(self.trace.as_deref(), act)
    }

    /// The request has come to the application with this number.
    pub(super) fn arrive(&self, counted: usize) {
        self.counted.set((counted, None));
        self.passage.get_or_init(|| Passage::arrive(counting::tally(counted)));
        self.note();
    }

    /// A process has the request.
    pub(super) fn is_given(&self, pid: u32) {
        self.counted.set((self.counted.get().0, Some(pid)));
    }

    /// For variables of a log, and of headers.
    pub(super) fn note(&self) {
        let (counted, process) = self.counted.get();
        if let Some(passage) = self.passage.get() {
            counting::note(self.request, counted, passage, || process);
        }
    }

    /// Something has happened to the request that is counted.
    pub(super) fn happened(&self, incident: Incident) {
        if let Some(passage) = self.passage.get() {
            passage.tally().happened(incident);
        }
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage.get()
    }

    pub(super) fn change_stage(&self, change: StageChange) {
        self.stage.set(self.stage.get().after(change));
    }

    pub(super) fn conf(&self) -> &UpstreamConf {
        &self.location.upstream
    }

    pub(super) fn protocol(&self) -> &'static dyn Protocol {
        self.scheme.protocol()
    }

    /// Whether the backend is asked to keep the connection.
    pub(super) fn keeps_connection(&self) -> bool {
        self.protocol().keeps_connections() && self.conf().keep_conn()
    }

    /// All of a response has come at whose body nginx does not look: so it does not find out that the connection can be kept.
    pub(super) fn end_unread(&self, response: &mut Response, upstream: Upstream, decoder: Decoder) {
        if !upstream.is_cacheable() && self.keeps_connection() {
            response.decoder = decoder;
            upstream.set_keeps_connection(true);
        }
    }

    /// Whether a response that is whole at once gets the length that it has. Of an application it has the one that the application
    /// has named: what it gives is what the client gets.
    pub(super) fn gives_length(&self) -> bool {
        self.script.role == Role::Responder && !self.script.is_mounted
    }

    /// Whether the request is sent once more when a connection has failed that was idle.
    pub(super) fn may_be_repeated(&self) -> bool {
        let again = self.conf().conf.next_upstream;
        let allows = |reason: u32| again & reason as usize != 0;
        let is_harmless = !self.request.is_for_once()
            || allows(NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT) && !self.request.streams_body();
        allows(NGX_HTTP_UPSTREAM_FT_ERROR) && is_harmless
    }

    /// Whether nginx would send the request elsewhere now: all of it has left, and the time for further attempts is not over.
    pub(super) fn may_go_elsewhere(&self, upstream: Upstream, now: u64) -> bool {
        let limit = self.conf().conf.next_upstream_timeout as u64;
        let is_in_time = limit == 0 || now.wrapping_sub(upstream.start_time() as u64) < limit;
        self.may_be_repeated() && is_in_time && upstream.is_body_sent()
    }

    /// Whether nginx has read all of the request, and holds no part of it in a file.
    pub(super) fn has_request_in_memory(&self, upstream: Upstream) -> bool {
        // SAFETY: the chain of a live request that `create_request` has made; its links have live buffers.
        !self.request.streams_body()
            && unsafe { buffers(upstream.request_chain()).all(|buffer| (*buffer).in_file() == 0) }
    }

    /// Forgets the response of a backend that has failed: another one is asked.
    pub(super) fn restart(&self, upstream: Upstream) {
        self.hold.stop(upstream.connection(), hold::WaitChange::Restarted);
        let head_max = head_max_size(self.conf(), self.script.is_mounted);
        self.response.borrow_mut().restart(self.protocol().decoder(), head_max);
        self.change_stage(StageChange::Restarted);
        self.outgoing.borrow_mut().head_sent = false;
        self.response_target.replace(ResponseTarget::Client);
        self.is_unsent.set(false);
        self.stderr.borrow_mut().finish(self.request);
    }
}
