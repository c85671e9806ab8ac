// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the threads of this process share: the listening socket, the connections, the requests that wait.

mod door;
mod lanes;
mod queue;
mod talk;

use std::{
    collections::{HashMap, VecDeque},
    io,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Instant,
};

use gangway::{
    config::HELD_MOST,
    engine::Transit,
    error::SERVER_FAILED,
    exchange::{Cause, Exchange, RequestHead},
    log::{self, Level, Throttle},
    phases::HandlerPlace,
    pool::STACK,
    runtime::{self, Application},
    sys::{EventFd, explain, lock},
};

use crate::{
    connection::Table,
    handlers,
    lanes::LaneTable,
    notify,
    pace::Pace,
    port::RequestPort,
    relay::{self, Relay},
    shown::Doing,
    sys::{Epoll, Readiness, Woken},
    variables::Rules,
    welcome::Welcome,
};

/// The tokens of what is watched besides connections.
const LISTENER: u64 = u64::MAX;
const WAKEUP: u64 = u64::MAX - 1;
const MOMENT_OVER: u64 = u64::MAX - 2;

/// What is asked of a socket at a time.
pub(crate) const READ: usize = 64 * 1024;

/// A request that waits for a thread, or that a thread runs.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) port: Arc<dyn RequestPort>,
    /// For an application that answers later.
    pub(crate) relay: Option<Arc<Relay>>,
    /// For handlers in the place of an application: what they leave behind.
    pub(crate) transit: Option<Arc<Transit>>,
}

pub(crate) struct Server {
    pub(crate) application: Arc<Application>,
    epoll: Arc<Epoll>,
    listener: OwnedFd,
    welcome: Welcome,
    table: Table,
    /// Wakes a thread that waits for events although none has come.
    wakeup: EventFd,
    /// Wakes the keeper.
    pub(crate) alarm: EventFd,
    waiting: Mutex<VecDeque<Job>>,
    /// How many wait, for a look without the lock.
    count: AtomicUsize,
    /// Threads that run a handler.
    busy: AtomicUsize,
    threads: usize,
    /// The keeper does not look by itself.
    keeper_sleeps: AtomicBool,
    is_ending: AtomicBool,
    /// The application is loaded.
    is_open: AtomicBool,
    has_failed: AtomicBool,
    /// Connections that have their response and may still send: when each is closed.
    lingering: Mutex<Vec<(u64, Instant)>>,
    /// All has ended: the threads leave.
    is_over: AtomicBool,
    /// What each thread runs.
    running: Box<[Mutex<Option<Job>>]>,
    /// Connections wait in the backlog although there was an event for them.
    is_full: AtomicBool,
    rules: Rules,
    /// The application answers later.
    is_async: bool,
    /// Handlers that stand in the place of an application.
    pub(crate) handlers: Option<Arc<HandlerPlace>>,
    defects: Throttle,
    pub(crate) pace: Pace,
    /// Connections with responses that wait for each other, and how many there are of those.
    late: Mutex<(Vec<u64>, usize)>,
    has_late: AtomicBool,
    /// The requests of connections that have several, by their tokens.
    lanes: Mutex<HashMap<u64, Arc<LaneTable>>>,
}

impl Server {
    pub(crate) fn new(
        application: Arc<Application>,
        listener: OwnedFd,
        welcome: Welcome,
        is_managed: bool,
        handlers: Option<HandlerPlace>,
    ) -> io::Result<Self> {
        let config = application.config();
        let rules = Rules { pass_authorization: config.pass_authorization(), is_managed };
        let is_async = runtime::is_async(config);
        let threads =
            if is_async { config.in_flight().min(HELD_MOST) } else { config.spec().threads as usize };
        let server = Self {
            epoll: Arc::new(Epoll::new()?),
            listener,
            welcome,
            table: Table::default(),
            wakeup: EventFd::new()?,
            alarm: EventFd::new()?,
            waiting: Mutex::default(),
            count: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            threads,
            keeper_sleeps: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            is_open: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
            lingering: Mutex::default(),
            is_over: AtomicBool::new(false),
            running: (0..threads).map(|_| Mutex::default()).collect(),
            is_full: AtomicBool::new(false),
            rules,
            is_async,
            handlers: handlers.map(Arc::new),
            defects: Throttle::default(),
            pace: Pace::new()?,
            late: Mutex::default(),
            has_late: AtomicBool::new(false),
            lanes: Mutex::default(),
            application,
        };
        server.epoll.add_event(&server.wakeup, WAKEUP)?;
        server.epoll.add(server.pace.timer(), Readiness::Arrivals, MOMENT_OVER)?;
        Ok(server)
    }

    /// A request that has come.
    fn job(&self, mut head: RequestHead, port: Arc<dyn RequestPort>) -> Job {
        let transit = self.handlers.as_ref().map(|place| handlers::answer(&mut head, place));
        let (exchange, relay) = if self.is_async {
            let (exchange, relay) = Relay::open(head, &port);
            (exchange, Some(relay))
        } else {
            (Exchange::new(head, Arc::<dyn RequestPort>::clone(&port)), None)
        };
        port.state().set_exchange(&exchange);
        Job { exchange, port, relay, transit }
    }

    /// The stack of a thread that holds requests.
    pub(crate) fn stack(&self) -> usize {
        if self.is_async { relay::STACK } else { STACK }
    }

    fn open(&self) -> io::Result<()> {
        self.epoll.add(&self.listener, Readiness::Arrivals, LISTENER)
    }

    pub(crate) fn listener(&self) -> &OwnedFd {
        &self.listener
    }

    pub(crate) fn epoll(&self) -> &Epoll {
        &self.epoll
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Whether every thread runs a handler, so that none looks at events.
    pub(crate) fn is_saturated(&self) -> bool {
        self.busy.load(SeqCst) >= self.threads
    }

    /// Whether no request runs or waits.
    pub(crate) fn is_quiet(&self) -> bool {
        self.busy.load(SeqCst) == 0 && self.count.load(SeqCst) == 0
    }

    /// What this process does, for who looks at it from outside.
    pub(crate) fn doing(&self) -> Doing {
        if self.is_open.load(SeqCst) { Doing::Serving(self.busy.load(SeqCst)) } else { Doing::Loading }
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending.load(SeqCst)
    }

    /// No more connections are taken; those that are idle are closed, and the others when their request has ended.
    pub(crate) fn end(&self) {
        self.is_ending.store(true, SeqCst);
        self.epoll.remove(&self.listener);
        for connection in self.table.all() {
            // The holder of one that is held sees that this is the end.
            if connection.hold() {
                self.let_go(&connection);
            }
        }
        self.wakeup.signal();
    }

    /// The threads leave when they run nothing.
    pub(crate) fn leave(&self) {
        self.is_over.store(true, SeqCst);
        self.wakeup.signal();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(SeqCst)
    }

    /// Whether no connection is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    /// What runs now.
    pub(crate) fn running(&self) -> Vec<Job> {
        self.running.iter().filter_map(|place| lock(place).clone()).collect()
    }

    /// Cancels all that runs and waits.
    pub(crate) fn cancel_all(&self, cause: Cause) {
        for connection in self.table.all() {
            connection.cancel(cause);
            self.cancel_lanes(&connection, cause);
        }
    }

    /// A handler begins on the thread of this number.
    pub(crate) fn begin_work(&self, thread: usize, job: &Job) {
        if let Some(place) = self.running.get(thread) {
            *lock(place) = Some(job.clone());
        }
        self.busy.fetch_add(1, SeqCst);
        if self.is_saturated() {
            // Nobody is left who would look after them.
            self.send_late();
        }
        self.wake_keeper();
    }

    fn wake_keeper(&self) {
        if self.keeper_sleeps.load(SeqCst) && self.keeper_sleeps.swap(false, SeqCst) {
            self.alarm.signal();
        }
    }

    pub(crate) fn end_work(&self, thread: usize) {
        if let Some(place) = self.running.get(thread) {
            *lock(place) = None;
        }
        self.busy.fetch_sub(1, SeqCst);
    }

    /// The keeper looks by itself no more, until something begins. Answers whether it may sleep.
    pub(crate) fn keeper_may_sleep(&self) -> bool {
        self.keeper_sleeps.store(true, SeqCst);
        if self.is_quiet() && !self.is_full.load(SeqCst) && lock(&self.lingering).is_empty() {
            return true;
        }
        self.keeper_sleeps.store(false, SeqCst);
        false
    }

    /// Does what an event asks for. Answers a request that is to be run.
    pub(crate) fn serve(&self, woken: Woken, buffer: &mut [u8]) -> Option<Job> {
        match woken.token {
            LISTENER => {
                self.accept();
                None
            }
            WAKEUP => {
                if self.is_over() {
                    // Each that is woken wakes the next.
                    self.wakeup.signal();
                }
                None
            }
            MOMENT_OVER => self.look_after(),
            token => {
                let connection = self.table.get(token)?;
                if woken.has_left {
                    connection.note_left();
                    self.cancel_lanes(&connection, Cause::ClientGone);
                }
                if connection.hold() {
                    return self.advance(&connection, buffer).and_then(|job| self.lend(job));
                }
                self.look_for_abort(&connection, buffer);
                None
            }
        }
    }

    /// The same for a thread that runs no requests, while all that do are at work: a request has to wait.
    pub(crate) fn serve_meanwhile(&self, woken: Woken, buffer: &mut [u8]) {
        if let Some(job) = self.serve(woken, buffer) {
            self.queue(job, buffer);
        }
        // Requests in lanes are in the queue without a word to anybody: mostly who has read them takes them next.
        self.wake_for_waiting();
    }

    /// Something has waited for a moment. Answers a request that nobody else takes.
    fn look_after(&self) -> Option<Job> {
        let nobody_gets_on = self.pace.rang();
        self.send_late();
        if self.count.load(SeqCst) == 0 || self.is_saturated() {
            return None;
        }
        if nobody_gets_on || !self.has_runner() {
            return self.take_next();
        }
        self.pace.look_soon();
        None
    }

    /// The application is loaded: connections are taken from now on. Or it cannot be loaded, for the reason that the log has.
    pub(crate) fn loaded(&self, loaded: Result<(), String>) {
        let opened = loaded.and_then(|()| {
            self.open().map_err(|error| {
                let text = format_args!("cannot watch the listening socket: {}", explain(&error));
                log::coded(Level::Error, SERVER_FAILED, text);
                error.to_string()
            })
        });
        if opened.is_err() {
            self.has_failed.store(true, SeqCst);
        } else {
            self.is_open.store(true, SeqCst);
            notify::ready();
        }
        self.alarm.signal();
    }

    /// Whether there is nothing that this process could do.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.load(SeqCst)
    }
}
