// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who runs the processes: the master has a manager, from before its first workers on and over reloads; a worker has a way to
//! the supervisor. Without an application of this kind there is neither.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use gangway::{
    config::Managed,
    error::{SERVER_FAILED, SUPERVISOR},
    log::{self, Level, Line, Throttle},
    rights::Identity,
    runtime,
    status::AppProcess,
    supervise::{
        Link, ManagedPool, Manager, Setup, Stamp, Trouble, manifest, processes,
        segment::{Owner, Wake},
    },
    sys::{
        EventFd, explain, lock, run_directory,
        spawner::{account, is_root, own_account},
    },
};
use nginx_sys::ngx_current_msec;

use crate::{
    conf::MainConf,
    raw::{self, Cycle},
    serve::counting,
};

/// Every one, each once, in the order of the configuration.
#[derive(Default)]
pub(crate) struct Services {
    all: Vec<Managed>,
    /// The file of `gangway-host`, if one of them needs it.
    host: Option<Arc<Path>>,
}

impl Services {
    pub(crate) fn add(&mut self, managed: &Managed, host: Option<Arc<Path>>) {
        self.host = host.or_else(|| self.host.take());
        if !self.all.contains(managed) {
            self.all.push(managed.clone());
        }
    }

    /// Whether there is one that `gangway-host` runs.
    pub(crate) fn has_hosted(&self) -> bool {
        self.host.is_some()
    }

    /// Whether there is one to which [`leave_files`](super::leave_files) must not let every file go.
    pub(crate) fn run_any_file(&self) -> bool {
        self.all.iter().any(Managed::runs_any_file)
    }
}

/// What the parent of the workers has, and they inherit.
struct Parent {
    manager: Manager,
    /// What rings when it is the turn of a request in another worker.
    wakeup: Arc<EventFd>,
    /// The applications of the newest configuration, with what is shared about each.
    pools: Vec<(Managed, ManagedPool)>,
}

/// What a worker has.
struct WorkerSide {
    link: Link,
    wakeup: Arc<EventFd>,
    failures: Throttle,
}

static PARENT: Mutex<Option<Parent>> = Mutex::new(None);
static OWN_SIDE: OnceLock<WorkerSide> = OnceLock::new();
static WORKER: AtomicU32 = AtomicU32::new(0);
/// Whether this process has prepared a configuration before.
static HAS_BEGUN: AtomicBool = AtomicBool::new(false);
/// How many configurations this copy of the module has prepared.
static CONFIGURATIONS: AtomicU32 = AtomicU32::new(0);

/// How often a worker tries to reach those who look after processes, and the pause in between.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// In the process that will fork the workers: has the applications of this configuration run.
///
/// # Errors
/// When none can run at the server's start. At a reload what runs goes on, with a line in the log: an error would end the server.
pub(crate) fn prepare(cycle: &Cycle<'_>) -> Result<(), Line> {
    let none = Services::default();
    let known = cycle.http::<MainConf>().and_then(|main| main.kinds.get::<Services>());
    let services = known.unwrap_or(&none);
    let worker = workers_user(cycle);
    if is_root() && !services.all.is_empty() {
        for line in runtime::check_managed_as(&services.all, &worker) {
            log::process(Level::Warn, &line);
        }
    }
    if raw::is_test() {
        let host = services.host.as_deref().unwrap_or_else(|| Path::new(""));
        return manifest::write(&services.all, &[], host, &worker).map_err(|error| untold_line(&error));
    }
    let number = CONFIGURATIONS.fetch_add(1, Ordering::Relaxed) + 1;
    cycle.own(Used(number));
    let runs_already = HAS_BEGUN.swap(true, Ordering::Relaxed) || raw::is_reload();
    let line = |why: &io::Error, then| {
        let why = explain(why);
        Line::error(SUPERVISOR, format!("applications cannot have processes of their own: {why}{then}"))
    };
    match configure(cycle, services, worker) {
        Ok(()) => Ok(()),
        Err(error) if runs_already => {
            line(&error, "; what runs already goes on with the words that it had").tell_process();
            Ok(())
        }
        Err(error) => Err(line(&error, "")),
    }
}

fn configure(cycle: &Cycle<'_>, services: &Services, worker: Identity) -> io::Result<()> {
    let mut parent = lock(&PARENT);
    if services.all.is_empty() {
        // What runs ends with the last worker that uses it.
        *parent = None;
        return Ok(());
    }
    // Workers of another user cannot reach the processes that run.
    let known = parent.take().filter(|parent| *parent.manager.worker() == worker);
    let host = services.host.as_ref().map_or_else(PathBuf::new, |host| host.to_path_buf());
    let parent = parent.insert(match known {
        Some(known) => known,
        None => begin(cycle, worker, host.clone())?,
    });
    parent.manager.set_host(host);
    if let Some(memory) = counting::memory()? {
        parent.manager.set_figures(memory);
    }
    let log = cycle.log().ok_or_else(|| io::Error::other("nginx has no error log"))?;
    let pools = parent.manager.configure(&services.all, log)?;
    parent.pools = services.all.iter().cloned().zip(pools).collect();
    cycle.when_log_reopens(log_reopened);
    Ok(())
}

fn begin(cycle: &Cycle<'_>, worker: Identity, host: PathBuf) -> io::Result<Parent> {
    // There are threads of applications by now, and this process is its own worker.
    if !cycle.has_master() && WORKER.load(Ordering::Relaxed) != 0 {
        return Err(io::Error::other(
            "without a master process (master_process off) they begin with the server, and nginx itself serves nothing more after a \
             reload; restart nginx",
        ));
    }
    let wakeup = Arc::new(EventFd::new()?);
    let manager = Manager::start(Setup {
        run_directory: run_directory::of(&worker),
        worker,
        wake: Wake::Event(Arc::clone(&wakeup)),
        host,
        stamp: Stamp::Slashes,
        begun: || raw::set_title(c"gangway processes"),
    })?;
    Ok(Parent { manager, wakeup, pools: Vec::new() })
}

/// `gangway check` has asked what applications there are, and cannot be told.
pub(crate) fn untold_line(error: &io::Error) -> Line {
    let text =
        format!("the applications cannot be written to where {} says: {}", manifest::ASKED, explain(error));
    Line::error(SERVER_FAILED, text)
}

/// Who the workers are.
pub(crate) fn workers_user(cycle: &Cycle<'_>) -> Identity {
    match cycle.user().filter(|_| is_root()) {
        Some((name, user, group)) => account(name, user, group),
        None => own_account(),
    }
}

/// nginx opens its error log anew: so do those who write what processes say.
fn log_reopened(file: &File) {
    if let Some(parent) = &mut *lock(&PARENT) {
        let all: Vec<Managed> = parent.pools.iter().map(|(managed, _)| managed.clone()).collect();
        // Whoever has been killed begins at the next configuration.
        let _ = parent.manager.configure(&all, file.as_fd());
    }
}

/// A configuration in use. nginx may go on with another copy of this module, or without it: then nothing runs for this one.
struct Used(u32);

impl Drop for Used {
    fn drop(&mut self) {
        if CONFIGURATIONS.load(Ordering::Relaxed) == self.0 {
            *lock(&PARENT) = None;
        }
    }
}

/// In a process that will serve requests.
///
/// # Errors
/// None: requests for applications say what is wrong.
pub(crate) fn start(_: &Cycle<'_>) -> Result<(), Line> {
    WORKER.store(std::process::id(), Ordering::Relaxed);
    let parent = lock(&PARENT);
    let Some(Parent { manager, wakeup, .. }) = &*parent else { return Ok(()) };
    match reach(manager) {
        Ok(link) => {
            let _ =
                OWN_SIDE.set(WorkerSide { link, wakeup: Arc::clone(wakeup), failures: Throttle::default() });
        }
        Err(error) => unreachable_line(&error).tell_process(),
    }
    Ok(())
}

/// The first message may find that many others have not been read yet.
fn reach(manager: &Manager) -> io::Result<Link> {
    let mut found = manager.link();
    for _ in 0..ATTEMPTS {
        match &found {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(PAUSE),
            _ => break,
        }
        found = manager.link();
    }
    found
}

fn unreachable_line(error: &io::Error) -> Line {
    let why = explain(error);
    let text = format!(
        "nobody starts and ends processes of applications: {why}; what runs goes on, and a reload of nginx starts the others"
    );
    Line::error(SUPERVISOR, text)
}

/// This worker.
pub(super) fn worker() -> Owner {
    Owner::of(WORKER.load(Ordering::Relaxed))
}

/// Milliseconds of the monotonic clock, by which the supervisor goes as well.
pub(super) fn now() -> u64 {
    // SAFETY: a plain number of the worker's own thread.
    unsafe { ngx_current_msec as u64 }
}

pub(super) fn wakeup() -> Option<BorrowedFd<'static>> {
    OWN_SIDE.get().map(|side| side.wakeup.as_fd())
}

/// What is shared about an application.
pub(super) fn pool(managed: &Managed) -> Option<ManagedPool> {
    let parent = lock(&PARENT);
    let mut pools = parent.as_ref()?.pools.iter();
    pools.find(|(known, _)| known == managed).map(|(_, pool)| pool.clone())
}

/// What people call an application, if it runs.
pub(crate) fn name_of(managed: &Managed) -> Option<String> {
    pool(managed).map(|pool| pool.name.to_string())
}

/// The processes of the application of this name.
pub(crate) fn processes_of(name: &str) -> Vec<AppProcess> {
    let found = lock(&PARENT).as_ref().and_then(|parent| {
        let mut pools = parent.pools.iter();
        pools.find(|(_, pool)| *pool.name == *name).map(|(_, pool)| pool.clone())
    });
    let measure = |app| OWN_SIDE.get().into_iter().for_each(|side| side.link.measure(app));
    found.map(|pool| processes(&pool.segment, || measure(pool.app))).unwrap_or_default()
}

/// Tells the supervisor that a request waits, or that a process is stuck.
pub(super) fn demand(app: u32) {
    let Some(side) = OWN_SIDE.get() else { return };
    if let Err(error) = side.link.demand(app)
        && side.failures.pass(Instant::now()).is_some()
    {
        unreachable_line(&error).tell_process();
    }
}

/// Tells the supervisor of a request that was not answered in time.
pub(super) fn tell(trouble: &Trouble) {
    if let Some(side) = OWN_SIDE.get() {
        side.link.tell(trouble);
    }
}
