// SPDX-License-Identifier: MIT OR Apache-2.0
//! What one worker process has: its applications, the requests in flight, and the wake-up of its event loop.

use std::{
    cell::{Cell, RefCell},
    ffi::CStr,
    os::fd::AsRawFd,
    ptr,
    sync::Arc,
    time::Duration,
};

use gangway::{
    config::Application as Config,
    engine::fence,
    error::SERVER_FAILED,
    exchange::{Event, Notify, Outbox},
    log::{self, Level},
    runtime::{self, Application, Runtime, Threads},
    sys::spawner::{account, is_root},
};
use nginx_sys::{
    NGX_PROCESS_SINGLE, NGX_PROCESS_WORKER, ngx_connection_t, ngx_core_conf_t, ngx_core_module, ngx_cycle_t,
    ngx_event_t, ngx_int_t, ngx_process,
};

use super::{
    in_flight::{self, InFlight},
    stuck::{Stuck, on_look},
};
use crate::{
    conf::MainConf,
    raw,
    raw::{Ticket, Tickets, Timer},
};

/// How long a worker waits for applications when it shuts down gracefully, and when it must end now: the master
/// kills a worker one second after a fast stop.
const GRACE: Duration = Duration::from_secs(5);
const SHORT_GRACE: Duration = Duration::from_millis(600);

/// The event loop's state. Only the loop's thread has it.
pub(crate) struct Worker {
    runtime: Runtime,
    outbox: Arc<Outbox>,
    in_flight: RefCell<Tickets<Box<InFlight>>>,
    stuck: RefCell<Vec<Stuck>>,
    look: RefCell<Timer>,
    events: RefCell<Vec<Event>>,
    watches: Cell<[*mut ngx_connection_t; 2]>,
    multiprocess: bool,
}

thread_local! {
    static CURRENT: Cell<Option<&'static Worker>> = const { Cell::new(None) };
}

impl Worker {
    /// The worker of this thread, if it is an event loop that runs applications.
    pub(crate) fn current() -> Option<&'static Self> {
        CURRENT.get()
    }

    fn start(multiprocess: bool) -> std::io::Result<Self> {
        let outbox = Arc::new(Outbox::new()?);
        log::install(Box::new(Lines(Arc::clone(&outbox))));
        Ok(Self {
            runtime: Runtime::start(Threads::Own)?,
            outbox,
            in_flight: RefCell::default(),
            stuck: RefCell::default(),
            look: RefCell::new(Timer::new(on_look, ptr::null_mut(), false)),
            events: RefCell::default(),
            watches: Cell::new([ptr::null_mut(); 2]),
            multiprocess,
        })
    }

    /// The application of this configuration, which begins to load when it is asked for the first time.
    pub(crate) fn application(&self, config: &Config) -> Arc<Application> {
        let mut config = config.clone();
        config.set_multiprocess(self.multiprocess);
        self.runtime.application(&config, Threads::Own)
    }

    pub(crate) fn notify(&self) -> Arc<dyn Notify> {
        Arc::<Outbox>::clone(&self.outbox)
    }

    pub(crate) fn next_ticket(&self) -> Ticket {
        self.in_flight.borrow_mut().reserve()
    }

    pub(crate) fn insert(&self, ticket: Ticket, flight: InFlight) {
        self.in_flight.borrow_mut().put(ticket, Box::new(flight));
    }

    /// Takes a flight away, if it is still there.
    pub(crate) fn remove(&self, ticket: Ticket) -> Option<Box<InFlight>> {
        self.in_flight.borrow_mut().remove(ticket)
    }

    /// Lets `act` work on a flight, if it is still there. `act` must not end the request.
    pub(crate) fn with<R>(&self, ticket: Ticket, act: impl FnOnce(&mut InFlight) -> R) -> Option<R> {
        // Out of the table meanwhile: a call into nginx may come back to this worker.
        let mut flight = self.in_flight.borrow_mut().take(ticket)?;
        let result = act(&mut flight);
        self.in_flight.borrow_mut().put(ticket, flight);
        Some(result)
    }

    pub(crate) fn add_stuck(&self, stuck: Stuck, look_after: Duration) {
        self.stuck.borrow_mut().push(stuck);
        self.look.borrow_mut().set(look_after);
    }

    pub(crate) fn with_stuck(&self, look: impl FnOnce(&mut Vec<Stuck>) -> Option<Duration>) {
        if let Some(again) = look(&mut self.stuck.borrow_mut()) {
            self.look.borrow_mut().set(again);
        }
    }

    /// Takes what pool threads have for the loop.
    fn drain(&self) {
        let mut events = self.events.take();
        self.outbox.drain(&mut events);
        // Lines first: a request that ends takes its context with it.
        for event in &events {
            if let Event::Line(ticket, level, line) = event {
                match self.with(Ticket::from_number(*ticket), |flight| flight.request()) {
                    Some(request) => request.log(*level, line),
                    None => self.log_late(*ticket, *level, line),
                }
            }
        }
        for event in events.drain(..) {
            if let Event::Ready(ticket) = event {
                in_flight::pump(Ticket::from_number(ticket));
            }
        }
        self.events.replace(events);
    }

    /// Writes a line of a request that nginx has forgotten: what an interrupted handler says, for example.
    fn log_late(&self, ticket: u64, level: Level, line: &str) {
        let stuck = self.stuck.borrow();
        match stuck.iter().find_map(|stuck| stuck.label_of(ticket)) {
            Some(label) if level != Level::Further => raw::process_log(level, &format!("{line}, {label}")),
            _ => raw::process_log(level, line),
        }
    }

    fn stop(&self) {
        let grace = if raw::now_exiting() { SHORT_GRACE } else { GRACE };
        if !self.runtime.stop(grace) {
            // A thread still runs an application: the destructors of exit(3) would pull the ground from under it.
            gangway::sys::exit_without_destructors();
        }
        self.drain();
        for watch in self.watches.replace([ptr::null_mut(); 2]) {
            if !watch.is_null() {
                raw::close_watch(watch);
            }
        }
    }
}

/// The process's log lines, through the loop as all others.
struct Lines(Arc<Outbox>);

impl log::Sink for Lines {
    fn write(&self, level: Level, line: &str) {
        log::Sink::write(&*self.0, level, line);
    }
}

pub(crate) unsafe extern "C" fn init_process(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    fence("init_process", nginx_sys::NGX_ERROR as ngx_int_t, || {
        // SAFETY: nginx calls this in a live process of this cycle, after the modules' configurations were made.
        let (serves, conf, multiprocess) = unsafe {
            let serves = [NGX_PROCESS_WORKER, NGX_PROCESS_SINGLE].contains(&(ngx_process as u32));
            (serves, MainConf::of_cycle(&*cycle), has_several_workers(cycle))
        };
        // Cache managers run this too; without an application there is nothing to run.
        let Some(conf) = conf.filter(|conf| serves && !conf.applications.is_empty()) else { return 0 };
        raw::leave_children_alone();
        let started = Worker::start(multiprocess).and_then(|worker| {
            let worker: &'static Worker = Box::leak(Box::new(worker));
            let watch = |fd| {
                raw::watch(fd, on_outbox)
                    .ok_or_else(|| std::io::Error::other("no free connection; raise worker_connections"))
            };
            let outbox = &worker.outbox;
            worker.watches.set([watch(outbox.eventfd().as_raw_fd())?, watch(outbox.timerfd().as_raw_fd())?]);
            CURRENT.set(Some(worker));
            for config in &conf.applications {
                worker.application(config);
            }
            Ok(())
        });
        if let Err(error) = started {
            raw::process_log(
                Level::Error,
                &format!("{SERVER_FAILED} applications cannot be started: {}", gangway::sys::explain(&error)),
            );
            return nginx_sys::NGX_ERROR as ngx_int_t;
        }
        0
    })
}

pub(crate) unsafe extern "C" fn exit_process(_: *mut ngx_cycle_t) {
    fence("exit_process", (), || {
        crate::cgi::stop();
        crate::upstream::stop_listening();
        if let Some(worker) = Worker::current() {
            worker.stop();
        }
    });
}

/// A pool thread has signalled.
unsafe extern "C" fn on_outbox(event: *mut ngx_event_t) {
    fence("on_outbox", (), || {
        // SAFETY: nginx calls this with the event of one of our watches.
        unsafe { raw::acknowledge(event) };
        if let Some(worker) = Worker::current() {
            worker.drain();
        }
    });
}

/// # Safety
/// As [`MainConf::of_cycle`].
unsafe fn has_several_workers(cycle: *mut ngx_cycle_t) -> bool {
    // SAFETY: the core module's configuration exists in every cycle.
    unsafe {
        let index = (*ptr::addr_of!(ngx_core_module)).index;
        let conf = &*(*(*cycle).conf_ctx.add(index)).cast::<ngx_core_conf_t>();
        // Even a single worker has another process beside it while a reload lets it finish.
        conf.master != 0
    }
}

/// Root may read everything, so a configuration test of root's says nothing of what its workers may read.
///
/// # Safety
/// As [`MainConf::of_cycle`], in the process that forks the workers.
pub(crate) unsafe fn warn_of_closed_folders(cycle: *mut ngx_cycle_t) {
    fence("warn_of_closed_folders", (), || {
        // SAFETY: the caller's promise; the core module's configuration exists in every cycle, and its name is a C string.
        let (main, worker) = unsafe {
            let conf =
                &*(*(*cycle).conf_ctx.add((*ptr::addr_of!(ngx_core_module)).index)).cast::<ngx_core_conf_t>();
            let Some(main) = MainConf::of_cycle(&*cycle) else { return };
            if !is_root() || conf.user == 0 || conf.username.is_null() {
                return;
            }
            (main, account(CStr::from_ptr(conf.username), conf.user, conf.group))
        };
        for line in runtime::check_as(&main.applications, &worker) {
            raw::process_log(Level::Warn, &line);
        }
    });
}
