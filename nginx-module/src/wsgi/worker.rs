// SPDX-License-Identifier: MIT OR Apache-2.0
//! What one worker process has: its applications, and the requests in flight.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    ptr,
    sync::Arc,
    time::Duration,
};

use gangway::{
    config::ApplicationConf,
    engine::fence,
    exchange::{Notify, Outbox},
    log::{Level, RequestLog},
    runtime::{Application, Runtime, Threads},
};
use nginx_sys::ngx_event_t;

use super::{
    in_flight::InFlight,
    listener::{AsideNote, Listener},
    mounted::Mounted,
    stuck::{self, Stuck},
};
use crate::raw::{self, Ticket, Tickets, Timer};

/// The event loop's state. Only the loop's thread has it.
pub(super) struct Worker {
    runtime: Runtime,
    outbox: Arc<Outbox>,
    in_flight: RefCell<Tickets<Box<InFlight>>>,
    /// What runs beside requests. A ticket of these is none of those in flight.
    asides: RefCell<HashMap<Ticket, AsideNote>>,
    stuck: RefCell<Vec<Stuck>>,
    look: RefCell<Timer>,
    multiprocess: bool,
}

thread_local! {
    static CURRENT: Cell<Option<&'static Worker>> = const { Cell::new(None) };
}

impl Worker {
    /// The worker of this thread, if it is an event loop that runs applications.
    pub(super) fn current() -> Option<&'static Self> {
        CURRENT.get()
    }

    /// Makes this thread's event loop one that runs applications.
    ///
    /// # Errors
    /// The system has no descriptor or no thread for it.
    pub(super) fn start(multiprocess: bool) -> std::io::Result<&'static Self> {
        let outbox = Arc::new(Outbox::new()?);
        raw::log_of_other_threads(Arc::clone(&outbox));
        let worker = Box::leak(Box::new(Self {
            runtime: Runtime::start(Threads::Own)?,
            outbox,
            in_flight: RefCell::default(),
            asides: RefCell::default(),
            stuck: RefCell::default(),
            look: RefCell::new(Timer::new(on_look, ptr::null_mut(), false)),
            multiprocess,
        }));
        CURRENT.set(Some(worker));
        Ok(worker)
    }

    /// The application of this configuration, which begins to load when it is asked for the first time.
    pub(super) fn application(&self, config: &ApplicationConf) -> Arc<Application> {
        let mut config = config.clone();
        config.set_multiprocess(self.multiprocess);
        self.runtime.application(&config, Threads::Own)
    }

    /// The application of a location, which begins to load when it is asked for the first time.
    pub(super) fn mounted(&self, mounted: &Mounted) -> Arc<Application> {
        Arc::clone(mounted.application.get_or_init(|| self.application(&mounted.config)))
    }

    pub(super) fn notify(&self) -> Arc<dyn Notify> {
        Arc::<Outbox>::clone(&self.outbox)
    }

    pub(super) fn next_ticket(&self) -> Ticket {
        self.in_flight.borrow_mut().reserve()
    }

    pub(super) fn insert(&self, ticket: Ticket, flight: InFlight) {
        self.in_flight.borrow_mut().put(ticket, Box::new(flight));
    }

    /// Takes a request away, if it is still there.
    pub(super) fn remove(&self, ticket: Ticket) -> Option<Box<InFlight>> {
        self.in_flight.borrow_mut().remove(ticket)
    }

    /// Lets `act` work on a request, if it is still there. `act` must not end the request.
    pub(super) fn with<R>(&self, ticket: Ticket, act: impl FnOnce(&mut InFlight) -> R) -> Option<R> {
        // Out of the table meanwhile: a call into nginx may come back to this worker.
        let mut flight = self.in_flight.borrow_mut().take(ticket)?;
        let result = act(&mut flight);
        self.in_flight.borrow_mut().put(ticket, flight);
        Some(result)
    }

    /// Something runs beside requests.
    pub(super) fn note_aside(&self, ticket: Ticket, note: AsideNote) {
        self.asides.borrow_mut().insert(ticket, note);
    }

    /// It does no longer.
    pub(super) fn forget_aside(&self, ticket: Ticket) {
        self.asides.borrow_mut().remove(&ticket);
        self.remove(ticket);
    }

    /// Who waits for it, if it is one.
    pub(super) fn aside_listener(&self, ticket: Ticket) -> Option<Listener> {
        self.asides.borrow().get(&ticket).map(AsideNote::listener)
    }

    /// Lets `act` look at all requests.
    pub(super) fn for_each(&self, mut act: impl FnMut(&InFlight)) {
        self.in_flight.borrow().values().for_each(|flight| act(flight));
    }

    /// Looks after a request that has just been interrupted.
    pub(super) fn add_stuck(&self, stuck: Stuck) {
        self.stuck.borrow_mut().push(stuck);
        self.look.borrow_mut().set(stuck::LOOK_EVERY);
    }

    fn look_at_stuck(&self) {
        if let Some(again) = stuck::look(&mut self.stuck.borrow_mut()) {
            self.look.borrow_mut().set(again);
        }
    }

    /// What pool threads have for the loop.
    pub(super) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Writes a line of a request.
    pub(super) fn log(&self, ticket: u64, level: Level, line: &str) {
        if let Some(note) = self.asides.borrow().get(&Ticket::from_number(ticket)) {
            match note.request() {
                Some(request) => request.write(level, line),
                None if level == Level::Further => raw::process_log(level, line),
                None => raw::process_log(level, &format!("{line}, {}", note.label())),
            }
            return;
        }
        match self.with(Ticket::from_number(ticket), |flight| flight.request()) {
            Some(request) => request.write(level, line),
            None => self.log_late(ticket, level, line),
        }
    }

    /// Ends the applications. Answers whether no thread of theirs runs any more.
    pub(super) fn stop(&self, grace: Duration) -> bool {
        self.runtime.stop(grace)
    }

    /// Writes a line of a request that nginx has forgotten: what an interrupted handler says, for example.
    fn log_late(&self, ticket: u64, level: Level, line: &str) {
        let stuck = self.stuck.borrow();
        match stuck.iter().find_map(|stuck| stuck.label_of(ticket)) {
            Some(label) if level != Level::Further => raw::process_log(level, &format!("{line}, {label}")),
            _ => raw::process_log(level, line),
        }
    }
}

unsafe extern "C" fn on_look(_: *mut ngx_event_t) {
    fence("on_look", (), || {
        if let Some(worker) = Worker::current() {
            worker.look_at_stuck();
        }
    });
}
