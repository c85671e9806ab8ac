// SPDX-License-Identifier: MIT OR Apache-2.0
//! The applications of one server process: loaded once, on a thread of their own, after the fork.
//!
//! ```text
//! Loading --load() ok--> Ready --stop--> Stopped
//!    \---load() failed--> Failed --stop--/
//! ```

mod aside;
mod checks;
mod direct;
mod ending;
mod figures;
mod in_flight;
mod phases;
mod template;

pub use aside::Beside;
pub use checks::{check, check_as, check_managed, check_managed_as, check_newest};
pub use ending::Loss;
pub use template::{EngineThread, Template};

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Sender},
    },
    time::{Duration, Instant},
};

use crate::{
    config::ApplicationConf,
    engine::{App, Engine, Health, fence},
    error::{DEADLINE, LOAD_FAILED, QUEUE_DEADLINE, QUEUE_FULL, THREADS_FAILED},
    exchange::{Cause, Exchange, Outcome},
    log::{self, Level, Line, Throttle},
    pool::{InFlightRequests, Pool, PoolLimits, Refusal, STACK},
    status::{Incident, Tally},
    sys::{self, lock},
};

/// Who runs the handlers of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// Threads of the pool.
    Own,
    /// The server's threads, each for its own request.
    Server,
}

/// A request whose application has given no output for its timeout.
#[derive(Debug, PartialEq, Eq)]
pub enum Overdue {
    /// It was still in the queue, and has been taken out of it.
    Waiting,
    /// Its turn has come since, and it has so much time left.
    Begun(Duration),
    /// The handler is to be interrupted. The line says so.
    Silent(Line),
}

/// One application of this process. Locations with the same specification share it.
pub struct Application {
    config: ApplicationConf,
    state: Mutex<Lifecycle>,
    pool: Pool,
    /// For what is no request of its own.
    lanes: aside::BesidePools,
    /// In its place for an application that answers later.
    in_flight: InFlightRequests,
    threads: Threads,
    refusals: Throttle,
    tally: OnceLock<Tally>,
    health: Arc<Health>,
    /// Threads that may be inside interrupt(): unload() comes after them.
    interrupts: Mutex<usize>,
    interrupts_done: Condvar,
}

enum Lifecycle {
    Loading,
    Ready(Arc<App>),
    Failed(String),
    Stopped,
}

impl Application {
    fn new(config: &ApplicationConf, threads: Threads) -> Self {
        let limits = PoolLimits { threads: config.spec().threads as usize, queue: config.queue() };
        Self {
            config: config.clone(),
            state: Mutex::new(Lifecycle::Loading),
            pool: Pool::new(limits),
            lanes: aside::BesidePools::default(),
            in_flight: InFlightRequests::new(config.in_flight(), config.queue()),
            threads,
            refusals: Throttle::default(),
            tally: OnceLock::new(),
            health: Arc::default(),
            interrupts: Mutex::default(),
            interrupts_done: Condvar::new(),
        }
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &ApplicationConf {
        &self.config
    }

    /// Who runs its handlers.
    #[must_use]
    pub fn threads(&self) -> Threads {
        self.threads
    }

    /// Queues a request for the pool. While the application loads, requests wait.
    ///
    /// # Errors
    /// [`Refusal`], or the exchange is finished as failed when the application cannot be loaded.
    pub fn submit(self: &Arc<Self>, exchange: &Arc<Exchange>) -> Result<(), Refusal> {
        // Locked until the request is in the queue: a load that fails meanwhile empties the queue afterwards.
        let state = lock(&self.state);
        let reason = match &*state {
            Lifecycle::Failed(reason) => reason.clone(),
            Lifecycle::Ready(app) if app.is_async() => {
                drop(state);
                return self.take_off(exchange).inspect_err(|refusal| count(exchange, *refusal));
            }
            _ => {
                let queued = self.pool.submit(Arc::clone(exchange));
                return queued.inspect_err(|refusal| count(exchange, *refusal));
            }
        };
        drop(state);
        fail(exchange, &reason);
        Ok(())
    }

    /// The line for a request that was not taken. A full queue has a few lines a second, not one for each request.
    #[must_use]
    pub fn refusal_line(&self, refusal: Refusal) -> Option<Line> {
        let (name, threads) = (&self.config.spec().name, self.config.spec().threads);
        match refusal {
            Refusal::Full => {
                let held = self.refusals.pass(Instant::now())?;
                let more = if held > 0 {
                    format!(" ({held} more were refused since the last line)")
                } else {
                    String::new()
                };
                let queue = self.config.queue();
                let text = format!(
                    "{name}: the request is refused, for queue={queue} requests wait for threads={threads}{more}; raise queue= or threads=, or make the application faster"
                );
                Some(Line::error(QUEUE_FULL, text))
            }
            Refusal::Deadline => {
                let seconds = self.timeout_seconds();
                let text = format!(
                    "{name}: the request waited {seconds}s for one of threads={threads}; raise threads= or timeout="
                );
                Some(Line::error(QUEUE_DEADLINE, text))
            }
            Refusal::Stopping => None,
        }
    }

    /// What becomes of a request that got no output for its timeout, `age` after the application was given it. The time
    /// that it waited for its turn is not the application's: that begins with the turn.
    #[must_use]
    pub fn overdue(&self, exchange: &Arc<Exchange>, age: Duration) -> Overdue {
        if self.withdraw(exchange) {
            self.tally().happened(Incident::QueueTimeout);
            return Overdue::Waiting;
        }
        // Without a beginning a thread has just taken it.
        let ran = exchange.has_run().unwrap_or_default();
        let left = self.config.timeout().unwrap_or_default().saturating_sub(ran);
        if !left.is_zero() {
            return Overdue::Begun(left);
        }
        self.tally().happened(Incident::RunTimeout);
        let (name, seconds) = (&self.config.spec().name, self.timeout_seconds());
        let (waited, ran) = (age.saturating_sub(ran).as_secs_f32(), ran.as_secs_f32());
        let text = format!(
            "{name} gave no output for {seconds}s (it waited {waited:.1}s in the queue and has run for {ran:.1}s); \
             it is interrupted; if it needs longer, raise timeout="
        );
        Overdue::Silent(Line::error(DEADLINE, text))
    }

    fn timeout_seconds(&self) -> f32 {
        self.config.timeout().unwrap_or_default().as_secs_f32()
    }

    /// Takes a request out of the queue, if it still waits there.
    pub fn withdraw(&self, exchange: &Arc<Exchange>) -> bool {
        self.pool.withdraw(exchange)
            || self.in_flight.withdraw(exchange)
            || self.lanes.all().iter().any(|pool| pool.withdraw(exchange))
    }

    /// Requests that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.pool.waiting() + self.in_flight.waiting()
    }

    /// How long a request of it may go on when the process ends, if it is one that answers later.
    #[must_use]
    pub fn drain_timeout(&self) -> Option<Duration> {
        match &*lock(&self.state) {
            Lifecycle::Ready(app) if app.is_async() => self.config.drain_timeout(),
            _ => None,
        }
    }

    /// Waits until it has been loaded. For a server whose own threads run it, before the first of them does.
    ///
    /// # Errors
    /// The reason why it cannot be.
    pub fn await_loaded(&self) -> Result<(), String> {
        // The gate opens when it is known.
        let permit = self.pool.admit(None);
        drop(permit);
        match &*lock(&self.state) {
            Lifecycle::Failed(reason) => Err(reason.clone()),
            Lifecycle::Loading | Lifecycle::Ready(_) | Lifecycle::Stopped => Ok(()),
        }
    }

    /// The calling server thread will run no more handlers of this application.
    pub fn thread_end(&self) {
        if let Lifecycle::Ready(app) = &*lock(&self.state) {
            app.thread_end();
        }
    }

    /// `is_ending`: the process ends, perhaps while this lasts. Then nothing begins to run.
    fn load(self: &Arc<Self>, engines: &mut OpenEngines, is_ending: &AtomicBool) {
        if is_ending.load(Ordering::Acquire) {
            return;
        }
        let spec = self.config.spec();
        let loaded = engines.get(self.config.engine()).and_then(|engine| {
            engine.load(spec, &self.health).map_err(|reason| {
                log::coded(Level::Error, LOAD_FAILED, format_args!("cannot load {}: {reason}", spec.name));
                reason
            })
        });
        match loaded {
            Ok(app) if is_ending.load(Ordering::Acquire) => {
                *lock(&self.state) = Lifecycle::Ready(Arc::new(app));
            }
            Ok(app) => self.ready(Arc::new(app)),
            Err(reason) => self.failed(reason),
        }
    }

    fn ready(self: &Arc<Self>, app: Arc<App>) {
        *lock(&self.state) = Lifecycle::Ready(Arc::clone(&app));
        if app.is_async() {
            self.pool.open_gate(false);
            for exchange in self.pool.clear() {
                // Its queue is as long as that one was.
                if self.take_off(&exchange).is_err() {
                    fail(&exchange, "the process ends");
                }
            }
            return;
        }
        if self.threads == Threads::Server {
            self.pool.open_gate(app.has_lock());
            return;
        }
        if let Err(error) = self.pool.open(&app, "gw-handler") {
            let reason =
                format!("cannot start a thread: {error}; raise the limit of processes of the server's user");
            log::coded(Level::Error, THREADS_FAILED, format_args!("{}: {reason}", self.config.spec().name));
            self.failed(reason);
            return;
        }
        self.lanes.open(&app);
    }

    fn failed(&self, reason: String) {
        self.health.say(&reason);
        *lock(&self.state) = Lifecycle::Failed(reason.clone());
        self.pool.open_gate(false);
        for exchange in self.pool.clear() {
            fail(&exchange, &reason);
        }
        self.lanes.fail(&reason);
    }
}

/// A request was not taken.
fn count(exchange: &Exchange, refusal: Refusal) {
    match refusal {
        Refusal::Full => exchange.passage().refuse(Incident::QueueFull, 503),
        Refusal::Deadline => exchange.passage().refuse(Incident::QueueTimeout, 504),
        Refusal::Stopping => exchange.passage().close(503),
    }
}

fn fail(exchange: &Exchange, reason: &str) {
    exchange.report(LOAD_FAILED, format_args!("the application could not be loaded: {reason}"));
    // The error is that somebody else has ended it.
    let _ = exchange.finish(Outcome::Failed);
}

/// Engines by file, opened once, with one line for each that cannot be.
#[derive(Default)]
struct OpenEngines(HashMap<PathBuf, Result<Engine, String>>);

impl OpenEngines {
    fn get(&mut self, file: &Path) -> Result<Engine, String> {
        if let Some(known) = self.0.get(file) {
            return known.clone();
        }
        let opened = Engine::open(file).map_err(|error| {
            log::coded(Level::Error, error.code(), format_args!("{error}"));
            error.to_string()
        });
        self.0.insert(file.to_path_buf(), opened.clone());
        opened
    }
}

/// Whether the engine of a configuration answers later, so that a server's thread that has called it has nothing to wait with.
#[must_use]
pub fn is_async(config: &ApplicationConf) -> bool {
    // One that cannot be opened any more says so when it is to load.
    Engine::open(config.engine()).is_ok_and(|engine| engine.is_async(config.spec().interface))
}

enum LoaderCommand {
    Load(Arc<Application>),
    Stop(Instant),
}

/// The applications of this process and the thread that loads and ends them.
pub struct Runtime {
    commands: Sender<LoaderCommand>,
    done: Mutex<mpsc::Receiver<bool>>,
    /// The process ends.
    is_ending: Arc<AtomicBool>,
    applications: Mutex<HashMap<ApplicationConf, Arc<Application>>>,
}

impl Runtime {
    /// Starts the engine thread. Only after the fork. `threads` are those that run most handlers here.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn start(threads: Threads) -> std::io::Result<Self> {
        sys::keep_freed();
        let (commands, inbox) = mpsc::channel();
        let (end, done) = mpsc::channel();
        let is_ending = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_ending);
        sys::spawn("gw-engine", STACK, move || {
            // Not where threads of the server run handlers: those would have another working directory.
            if threads == Threads::Own {
                sys::umask::restore();
            }
            let ended = fence("the engine thread", false, || serve(&inbox, Vec::new(), &ends));
            // The error is that nobody waits any more.
            let _ = end.send(ended);
        })?;
        Ok(Self { commands, done: Mutex::new(done), is_ending, applications: Mutex::default() })
    }

    /// The application of this configuration; it is loaded when it is asked for the first time.
    pub fn application(&self, config: &ApplicationConf, threads: Threads) -> Arc<Application> {
        let mut applications = lock(&self.applications);
        if let Some(known) = applications.get(config) {
            return Arc::clone(known);
        }
        let application = Arc::new(Application::new(config, threads));
        applications.insert(config.clone(), Arc::clone(&application));
        if self.commands.send(LoaderCommand::Load(Arc::clone(&application))).is_err() {
            application.failed("the engine thread has ended".into());
        }
        application
    }

    /// Ends all applications: waits for running handlers and exit handlers, `grace` at most. Answers whether all
    /// have ended; if not, threads of theirs are still running.
    pub fn stop(&self, grace: Duration) -> bool {
        let deadline = Instant::now() + grace;
        self.is_ending.store(true, Ordering::Release);
        if self.commands.send(LoaderCommand::Stop(deadline)).is_err() {
            return true;
        }
        let ended = lock(&self.done).recv_timeout(grace + Duration::from_millis(100));
        if ended.is_err() {
            self.tell_late(grace);
        }
        ended == Ok(true)
    }
}

fn serve(
    inbox: &mpsc::Receiver<LoaderCommand>,
    mut loaded: Vec<Arc<Application>>,
    is_ending: &AtomicBool,
) -> bool {
    let mut engines = OpenEngines::default();
    while let Ok(command) = inbox.recv() {
        match command {
            LoaderCommand::Load(application) => {
                application.load(&mut engines, is_ending);
                loaded.push(application);
            }
            LoaderCommand::Stop(deadline) => {
                // All of them, even if one of them does not end.
                let running = loaded.iter().rev().filter(|application| !application.stop(deadline)).count();
                return running == 0;
            }
        }
    }
    true
}

/// Cancels a request and takes it out of the queue, as both server modules do when its client has left.
pub fn abandon(application: &Application, exchange: &Arc<Exchange>, cause: Cause) {
    exchange.cancel(cause);
    application.withdraw(exchange);
}
