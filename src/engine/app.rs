// SPDX-License-Identifier: MIT OR Apache-2.0
//! One application in an engine, and the calls about it.

use std::{
    cell::Cell,
    ffi::{CStr, c_char},
    ptr,
    sync::{Arc, Mutex, TryLockError, Weak, atomic::Ordering},
};

use gangway_abi::{
    bytes::{lend, lend_field},
    ffi::{self as abi, GW_AGAIN, GW_ERROR, GW_OK},
};

use super::{
    fence::fence,
    finish::{finish, lend as lend_request, release},
    health::Health,
    lent::{self, Kept, MANY_FIELDS},
    library::Engine,
};
use crate::{
    error::ENGINE_MISUSE,
    exchange::{BusySockets, Errand, Exchange, Outcome, Readiness, ToldHead, Waker},
    http::Fields,
    log,
    sys::lock,
};

/// Longest reason that an engine can give.
const ERROR_MOST: usize = 2048;

/// What an engine gets to know of an application: its part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// For log lines.
    pub name: String,
    /// Which of the engine's interfaces.
    pub interface: &'static str,
    /// What to load.
    pub target: Vec<u8>,
    /// The words that are the engine's.
    pub options: Vec<(String, Vec<u8>)>,
    /// Threads at a time.
    pub threads: u32,
    /// Other processes may run it too.
    pub multiprocess: bool,
}

/// A spec in the form of `gangway.h`, borrowed from a [`Spec`].
struct RawSpec<'a> {
    spec: &'a Spec,
    options: Vec<abi::gw_field>,
}

impl<'a> RawSpec<'a> {
    fn new(spec: &'a Spec) -> Self {
        let options = spec.options.iter().map(|(key, value)| lend_field(key.as_bytes(), value)).collect();
        Self { spec, options }
    }

    fn table(&self, is_template: bool, health: Option<&Arc<Health>>) -> abi::gw_app_spec {
        abi::gw_app_spec {
            struct_size: size_of::<abi::gw_app_spec>(),
            name: lend(self.spec.name.as_bytes()),
            interface_name: lend(self.spec.interface.as_bytes()),
            target: lend(&self.spec.target),
            options: self.options.as_ptr(),
            option_count: self.options.len(),
            threads: self.spec.threads,
            flags: flag(self.spec.multiprocess, abi::GW_APP_MULTIPROCESS)
                | flag(is_template, abi::GW_APP_TEMPLATE),
            place: health.map_or(ptr::null_mut(), |health| Arc::as_ptr(health).cast_mut().cast()),
        }
    }
}

/// A flag, if it is so.
fn flag(is_so: bool, flag: u32) -> u32 {
    if is_so { flag } else { 0 }
}

impl Engine {
    /// Asks the engine whether these specifications are right and can share a process.
    ///
    /// # Errors
    /// The engine's reason.
    pub fn check(&self, specs: &[&Spec]) -> Result<(), String> {
        let Some(check) = self.table().check else { return Ok(()) };
        let raw: Vec<_> = specs.iter().map(|spec| RawSpec::new(spec)).collect();
        let tables: Vec<_> = raw.iter().map(|raw| raw.table(false, None)).collect();
        let pointers: Vec<*const abi::gw_app_spec> = tables.iter().map(ptr::from_ref).collect();
        let mut error = [0 as c_char; ERROR_MOST];
        // SAFETY: gangway.h: everything is borrowed for the call, and `error` is writable.
        let status = unsafe { check(pointers.as_ptr(), pointers.len(), error.as_mut_ptr(), error.len()) };
        if status == GW_OK { Ok(()) } else { Err(reason(&mut error)) }
    }

    /// Makes an application ready, which says there how it does. THREAD: the engine thread.
    ///
    /// # Errors
    /// The engine's reason.
    pub fn load(&self, spec: &Spec, health: &Arc<Health>) -> Result<App, String> {
        self.load_as(spec, false, health)
    }

    /// Makes an application ready in a process that is to be forked. THREAD: the only one of the process.
    ///
    /// # Errors
    /// The engine's reason; also for an application that [`Engine::load`] would try again later.
    pub fn load_template(&self, spec: &Spec) -> Result<App, String> {
        if !self.can_fork() {
            return Err(format!("the engine {} cannot be forked; set preload=off", self.name()));
        }
        self.load_as(spec, true, &Arc::default())
    }

    /// Before fork(2), on the thread that has loaded.
    pub fn fork_prepare(&self) {
        if let Some(prepare) = self.table().fork_prepare {
            // SAFETY: gangway.h: on the engine thread, before a fork.
            unsafe { prepare() }
        }
    }

    /// After fork(2), in the process that was forked.
    pub fn fork_parent(&self) {
        if let Some(parent) = self.table().fork_parent {
            // SAFETY: gangway.h: on the engine thread, after fork_prepare() and a fork.
            unsafe { parent() }
        }
    }

    /// After fork(2), in the new process. Answers whether it can run applications.
    pub fn fork_child(&self) -> bool {
        // SAFETY: gangway.h: on the thread that has forked, which is the new process' only one.
        self.table().fork_child.is_some_and(|child| unsafe { child() } == GW_OK)
    }

    fn load_as(&self, spec: &Spec, is_template: bool, health: &Arc<Health>) -> Result<App, String> {
        let raw = RawSpec::new(spec);
        let mut app = ptr::null_mut();
        let mut error = [0 as c_char; ERROR_MOST];
        let table = raw.table(is_template, Some(health));
        // SAFETY: gangway.h: everything is borrowed for the call, `app` and `error` are writable.
        let status =
            unsafe { self.load_fn()(&raw const table, &raw mut app, error.as_mut_ptr(), error.len()) };
        if status == GW_OK {
            let is_async = self.is_async(spec.interface);
            Ok(App {
                engine: *self,
                name: spec.name.clone(),
                raw: app,
                is_async,
                forgets_head: self.forgets_head(spec.interface),
                running: Mutex::default(),
                health: Arc::clone(health),
            })
        } else {
            Err(reason(&mut error))
        }
    }
}

fn reason(error: &mut [c_char; ERROR_MOST]) -> String {
    error[ERROR_MOST - 1] = 0;
    // SAFETY: the array ends with NUL.
    let text = log::escape(unsafe { CStr::from_ptr(error.as_ptr()) }.to_bytes());
    if text.is_empty() { "the engine gave no reason".into() } else { text }
}

thread_local! {
    /// Memory for the variables of a request, which leaves it to the next one of this thread. One inside of it takes its own.
    static FIELDS: Cell<Vec<abi::gw_field>> = const { Cell::new(Vec::new()) };
}

/// A loaded application.
pub struct App {
    engine: Engine,
    name: String,
    raw: *mut abi::gw_app,
    is_async: bool,
    /// It does not look at a request's head any more once it has accepted a WebSocket.
    forgets_head: bool,
    /// What blocking handlers work on.
    running: Mutex<Vec<Arc<Exchange>>>,
    /// What the engine names by a pointer, as long as this lives.
    health: Arc<Health>,
}

// SAFETY: gangway.h names the threads of each call; the pool and the runtime keep to them.
unsafe impl Send for App {}
// SAFETY: gangway.h allows enter(), leave(), handle() and interrupt() on many threads at a time; `running` has its lock.
unsafe impl Sync for App {}

impl App {
    /// Whether handle() returns at once.
    #[must_use]
    pub fn is_async(&self) -> bool {
        self.is_async
    }

    /// Whether its threads wait for each other in [`App::enter`].
    #[must_use]
    pub fn has_lock(&self) -> bool {
        self.engine.table().enter.is_some()
    }

    /// A run of requests begins on this thread.
    pub fn enter(&self) {
        if let Some(enter) = self.engine.table().enter {
            // SAFETY: gangway.h: on a pool thread, before handle().
            unsafe { enter(self.raw) }
        }
    }

    /// The run of requests ends.
    pub fn leave(&self) {
        if let Some(leave) = self.engine.table().leave {
            // SAFETY: gangway.h: on the thread that entered.
            unsafe { leave(self.raw) }
        }
    }

    /// This thread makes no more calls.
    pub fn thread_end(&self) {
        if let Some(thread_end) = self.engine.table().thread_end {
            // SAFETY: gangway.h: on a thread that called handle(), after its last call.
            unsafe { thread_end(self.raw) }
        }
    }

    /// Answers one request, between `enter` and `leave`. THREAD: pool thread, or any with an asynchronous engine.
    ///
    /// It never panics: the caller must get to `leave`, or the engine's lock would stay taken for ever.
    pub fn handle(self: &Arc<Self>, exchange: &Arc<Exchange>) {
        exchange.running.swap(true, Ordering::SeqCst);
        if exchange.cancelled().is_some() {
            // Cancelled before: an interrupt() may have looked when nothing ran, and will not come again.
            self.end(exchange, GW_ERROR);
            return;
        }
        exchange.taken_by(&self.name);
        if let Some(errand) = exchange.errand() {
            self.run_errand(exchange, errand);
            return;
        }
        let told = exchange.told();
        let (mut fields, mut wire) = if self.is_async { lent::take() } else { (FIELDS.take(), Vec::new()) };
        fields.clear();
        fields.extend(told.variables.iter().map(|(name, value)| lend_field(name, value)));
        let raw = told.wire.as_ref().map(|wire| &wire.fields);
        wire.clear();
        wire.extend(raw.into_iter().flat_map(Fields::iter).map(|(name, value)| lend_field(name, value)));
        let head = abi::gw_request_head {
            struct_size: size_of::<abi::gw_request_head>(),
            variables: fields.as_ptr(),
            variable_count: fields.len(),
            content_length: exchange
                .content_length()
                .map_or(-1, |length| i64::try_from(length).unwrap_or(-1)),
            flags: flags(exchange, &told),
            reserved: 0,
            fields: if raw.is_some() { wire.as_ptr() } else { ptr::null() },
            field_count: wire.len(),
            local_port: told.wire.as_ref().map_or(0, |wire| wire.local_port.into()),
            reserved2: 0,
        };
        // What it points to stays: nobody changes that before it is forgotten, which an asynchronous engine alone has done.
        drop(told);
        if self.is_async() {
            self.handle_async(exchange, Kept::new((fields, wire), head, self.forgets_head));
            return;
        }
        lock(&self.running).push(Arc::clone(exchange));
        let request = Arc::as_ptr(exchange).cast_mut().cast();
        // SAFETY: gangway.h: `exchange`, `fields` and `head` outlive the call, and a blocking engine does not
        // use them after it.
        let status = unsafe { self.engine.handle_fn()(self.raw, request, &raw const head) };
        lock(&self.running).retain(|other| !Arc::ptr_eq(other, exchange));
        if fields.capacity() <= MANY_FIELDS {
            FIELDS.set(fields);
        }
        self.end(exchange, status);
    }

    /// Does what stands in the place of the handler. Nothing interrupts it.
    fn run_errand(&self, exchange: &Arc<Exchange>, errand: &Arc<dyn Errand>) {
        fence("errand", (), || errand.run(self, exchange));
        self.end(exchange, GW_ERROR);
    }

    /// The requests that blocking handlers work on.
    pub(crate) fn running(&self) -> Vec<Arc<Exchange>> {
        lock(&self.running).clone()
    }

    /// The request outlives the call: its parts are kept by one reference that finish() gives up.
    fn handle_async(self: &Arc<Self>, exchange: &Arc<Exchange>, kept: Kept) {
        let kept = Arc::new(kept);
        let head = kept.head();
        exchange.keep(kept);
        if self.engine.table().ready.is_some() {
            exchange.set_waker(Arc::new(Awaken {
                app: Arc::downgrade(self),
                exchange: Arc::downgrade(exchange),
            }));
        }
        let request = lend_request(exchange);
        // SAFETY: gangway.h: the exchange lives until finish(), and with it `kept`, which does not move in its Arc.
        let status = unsafe { self.engine.handle_fn()(self.raw, request, head) };
        if status != GW_AGAIN && finish_for(exchange, status) {
            // SAFETY: lend() made the pointer, finish() said that it ends, and the engine has answered that it does not
            // use the request any more.
            fence("finish", (), || unsafe { release(request) });
        }
    }

    fn end(&self, exchange: &Exchange, status: abi::gw_status) {
        // No engine holds a reference here: that of a blocking one is the caller's.
        finish_for(exchange, status);
        // An interrupt() may speak of this request at the moment and may need the lock that this thread holds
        // since enter(): give it up while waiting.
        match exchange.interrupting.try_lock() {
            Err(TryLockError::WouldBlock) => {
                self.leave();
                let quiet = lock(&exchange.interrupting);
                exchange.running.store(false, Ordering::Release);
                drop(quiet);
                self.enter();
            }
            _quiet => exchange.running.store(false, Ordering::Release),
        }
    }

    /// Makes a running handler return soon. Answers whether it was still running. May block.
    pub fn interrupt(&self, exchange: &Arc<Exchange>) -> bool {
        let speaking = lock(&exchange.interrupting);
        let running = Self::is_running(exchange);
        if running && let Some(interrupt) = self.engine.table().interrupt {
            // SAFETY: gangway.h: the request is valid for the call: a blocking handler cannot end while
            // `interrupting` is locked, and a finished asynchronous request lives as long as `exchange`.
            unsafe { interrupt(self.raw, Arc::as_ptr(exchange).cast_mut().cast()) }
        }
        drop(speaking);
        running
    }

    /// Whether a handler runs for this exchange. Never blocks.
    #[must_use]
    pub fn is_running(exchange: &Exchange) -> bool {
        exchange.running.load(Ordering::Acquire)
    }

    /// Whose it is, and the engine's own name of it.
    pub(super) fn parts(&self) -> (Engine, *mut abi::gw_app) {
        (self.engine, self.raw)
    }

    /// Ends the application. THREAD: the engine thread, when no handler runs.
    pub fn unload(self) {
        fence("unload", (), || {
            // SAFETY: gangway.h: the caller keeps to the thread and the time; `self` is consumed.
            unsafe { self.engine.unload_fn()(self.raw) }
        });
    }
}

/// Tells an engine of a request that it has taken. Weak: the exchange has its port, and with it this.
struct Awaken {
    app: Weak<App>,
    exchange: Weak<Exchange>,
}

impl Waker for Awaken {
    fn wake(&self, readiness: Readiness) {
        let (Some(app), Some(exchange)) = (self.app.upgrade(), self.exchange.upgrade()) else { return };
        let what = match readiness {
            Readiness::Read => abi::GW_READY_READ,
            Readiness::Room => abi::GW_READY_ROOM,
            Readiness::Gone => abi::GW_READY_GONE,
        };
        if let Some(ready) = app.engine.table().ready.filter(|_| App::is_running(&exchange)) {
            // SAFETY: gangway.h: `request` is a name here, which no other request has while `exchange` is alive.
            unsafe { ready(app.raw, Arc::as_ptr(&exchange).cast_mut().cast(), what) }
        }
    }

    fn busy_sockets(&self) -> Option<Arc<BusySockets>> {
        self.app.upgrade()?.health.busy_sockets().cloned()
    }
}

/// What the head says of a request and its response.
fn flags(exchange: &Exchange, told: &ToldHead) -> u32 {
    let wire = told.wire.as_ref();
    flag(exchange.has_no_body(), abi::GW_REQUEST_NO_BODY)
        | flag(told.has_offer(), abi::GW_REQUEST_WEBSOCKET)
        | flag(wire.is_some_and(|wire| wire.has_interim), abi::GW_REQUEST_INTERIM)
        | flag(wire.is_some_and(|wire| wire.has_trailers), abi::GW_REQUEST_TRAILERS)
}

/// Ends a request whose handle() has returned without finish(). Answers whether the engine held a reference to it.
fn finish_for(exchange: &Exchange, status: abi::gw_status) -> bool {
    // The server's side of finish() may be at fault too, and the caller must go on to leave().
    fence("finish", false, || {
        if exchange.is_finished() {
            return false;
        }
        if status != GW_ERROR {
            let text = format_args!("handle() returned {status} before finish()");
            exchange.report(ENGINE_MISUSE, text);
        }
        finish(exchange, Outcome::Failed).1
    })
}
