// SPDX-License-Identifier: MIT OR Apache-2.0
//! The process that starts the scripts of one worker, waits for them and tells what became of them.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    ptr,
    sync::Mutex,
    time::{Duration, Instant},
};

use super::{
    super::{EventFd, lock, poll},
    INLINE,
    launch::{Launcher, ProcessAttributes, RunAs, change_user},
    report::{Exit, Failure, Report, Step},
    request::{Run, SpawnerCommand},
    signals, socket,
};
use crate::rights::Identity;

/// How long scripts of a worker that has ended may take after TERM.
const LAST_GRACE: Duration = Duration::from_secs(2);
/// The longest request in such a file. The kernel takes at most a quarter of the stack's limit, 2 MiB usually.
const LONGEST: u64 = 8 * 1024 * 1024;

/// One worker's helper. Several threads take requests, because each stands still until its script has executed, which
/// on a busy machine is when the script gets its first turn.
pub(super) struct Helper<'a> {
    connection: OwnedFd,
    children: OwnedFd,
    /// Wakes the thread that looks after scripts.
    wake: EventFd,
    /// The users of the configuration.
    identities: &'a [Identity],
    /// The worker's own user, if this process is somebody else.
    server: Option<Identity>,
    state: Mutex<ScriptTable>,
}

#[derive(Default)]
struct ScriptTable {
    /// Scripts that are being started, and whether they are to be ended at once.
    starting: Vec<(u32, Option<Instant>)>,
    running: Vec<Script>,
    /// Scripts that have ended before the thread that started them could say so: their processes, and how.
    early: Vec<(i32, i32)>,
    /// Threads that take requests.
    threads: usize,
}

impl ScriptTable {
    /// Collects a child that has ended, or is about to, without becoming a script.
    fn collect(&mut self, pid: i32) {
        match self.early.iter().position(|(early, _)| *early == pid) {
            Some(index) => drop(self.early.swap_remove(index)),
            // SAFETY: our child; nothing is written. Nobody else waits for it while the lock is held.
            None => drop(unsafe { libc::waitpid(pid, ptr::null_mut(), 0) }),
        }
    }
}

/// A script that has not ended.
struct Script {
    id: u32,
    pid: i32,
    outlives: bool,
    kill_at: Option<Instant>,
}

/// Threads that take requests.
const THREADS: usize = 6;
/// Stack of each.
const THREAD_STACK: usize = 256 * 1024;

impl<'a> Helper<'a> {
    pub(super) fn new(connection: OwnedFd, identities: &'a [Identity]) -> io::Result<Self> {
        let (user, group, groups) = socket::peer(connection.as_fd())?;
        let worker = Identity { name: String::new(), user, group, groups };
        // SAFETY: it has no conditions.
        let server = (unsafe { libc::geteuid() } != user).then_some(worker);
        // Rights that nobody needs are given up at once, before there are threads.
        let server = match server {
            Some(worker) if identities.is_empty() => {
                change_user(&worker).ok_or(io::ErrorKind::PermissionDenied)?;
                None
            }
            other => other,
        };
        let (children, wake) = (signals::of_children()?, EventFd::new()?);
        Ok(Self { connection, children, wake, identities, server, state: Mutex::default() })
    }

    /// Serves until the worker has ended, and ends what it has left.
    pub(super) fn serve(&self) {
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                lock(&self.state).threads += 1;
                let thread = std::thread::Builder::new().stack_size(THREAD_STACK);
                if thread.spawn_scoped(scope, || self.take_requests()).is_err() {
                    self.thread_ends();
                }
            }
            while lock(&self.state).threads > 0 {
                self.look_after();
            }
        });
        let until = Instant::now() + LAST_GRACE;
        let mut state = lock(&self.state);
        state.running.retain(|script| !script.outlives);
        for script in &mut state.running {
            script.end(until);
        }
        while !state.running.is_empty() {
            drop(state);
            self.look_after();
            state = lock(&self.state);
        }
    }

    fn thread_ends(&self) {
        lock(&self.state).threads -= 1;
        self.wake.signal();
    }

    /// A thread's life: until the worker has ended.
    fn take_requests(&self) {
        let Ok(launcher) = Launcher::new() else { return self.thread_ends() };
        let mut buffer = vec![0; INLINE];
        loop {
            match socket::receive(self.connection.as_fd(), &mut buffer, true) {
                Ok(received) if received.length == 0 && received.fds.is_empty() => break,
                Ok(received) => {
                    let message = buffer.get(..received.length).unwrap_or_default();
                    self.obey(&launcher, message, received.fds);
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                Err(_) => break,
            }
        }
        self.thread_ends();
    }

    /// Waits for ends, and for scripts whose time is over.
    fn look_after(&self) {
        let first = lock(&self.state).running.iter().filter_map(|script| script.kill_at).min();
        let entry = |fd: RawFd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut entries = [entry(self.children.as_raw_fd()), entry(self.wake.as_raw_fd())];
        poll(&mut entries, first.map(|at| at.saturating_duration_since(Instant::now())));
        let [children, wake] = entries.map(|entry| entry.revents != 0);
        if wake {
            self.wake.take();
        }
        if first.is_some() {
            let now = Instant::now();
            for script in &mut lock(&self.state).running {
                if script.kill_at.is_some_and(|at| at <= now) {
                    script.kill_at = None;
                    script.signal(libc::SIGKILL);
                }
            }
        }
        if children {
            self.reap();
        }
    }

    fn reap(&self) {
        signals::take(&self.children);
        loop {
            // The lock is held over the wait: whoever finds a script in the list may signal it.
            let mut state = lock(&self.state);
            let mut status = 0;
            // SAFETY: the status is written by waitpid(2).
            let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
            if pid <= 0 {
                return;
            }
            match state.running.iter().position(|script| script.pid == pid) {
                Some(index) => {
                    let id = state.running.swap_remove(index).id;
                    drop(state);
                    self.report(id, Ok(Exit::from_wait(status)));
                }
                None => state.early.push((pid, status)),
            }
        }
    }

    fn report(&self, id: u32, outcome: Result<Exit, Failure>) {
        // A worker that reads no reports has ended, or holds as many as its socket does.
        let _ = socket::send(self.connection.as_fd(), &Report { id, outcome }.encode(), &[], true);
    }

    fn obey(&self, launcher: &Launcher, message: &[u8], mut fds: Vec<OwnedFd>) {
        let long = match (fds.len(), fds.pop()) {
            (4, Some(file)) => read_long(&file),
            (_, Some(last)) => {
                fds.push(last);
                None
            }
            _ => None,
        };
        match (SpawnerCommand::decode(long.as_deref().unwrap_or(message)), <[OwnedFd; 3]>::try_from(fds)) {
            (Some(SpawnerCommand::Run(run)), Ok(fds)) => self.run(launcher, &run, &fds),
            (Some(SpawnerCommand::Kill { id, grace }), _) => {
                self.end(id, Instant::now() + Duration::from_millis(u64::from(grace)));
            }
            _ => {}
        }
    }

    fn run(&self, launcher: &Launcher, run: &Run<'_>, fds: &[OwnedFd; 3]) {
        lock(&self.state).starting.push((run.id, None));
        let launched = self.launch(launcher, run, fds);
        let mut state = lock(&self.state);
        let index = state.starting.iter().position(|(id, _)| *id == run.id);
        let doomed = index.and_then(|index| state.starting.swap_remove(index).1);
        let outcome = match launched {
            Err((failure, child)) => {
                if let Some(pid) = child {
                    state.collect(pid);
                }
                Err(failure)
            }
            Ok(pid) => match state.early.iter().position(|(early, _)| *early == pid) {
                Some(index) => Ok(Exit::from_wait(state.early.swap_remove(index).1)),
                None => {
                    let mut script = Script { id: run.id, pid, outlives: run.outlives, kill_at: None };
                    if let Some(until) = doomed {
                        script.end(until);
                        self.wake.signal();
                    }
                    state.running.push(script);
                    return;
                }
            },
        };
        drop(state);
        self.report(run.id, outcome);
    }

    /// Ends a script, also one that is just being started.
    fn end(&self, id: u32, until: Instant) {
        let mut state = lock(&self.state);
        for (_, doomed) in state.starting.iter_mut().filter(|(starting, _)| *starting == id) {
            *doomed = Some(until);
        }
        for script in state.running.iter_mut().filter(|script| script.id == id) {
            script.end(until);
        }
        self.wake.signal();
    }

    fn launch(
        &self,
        launcher: &Launcher,
        run: &Run<'_>,
        fds: &[OwnedFd; 3],
    ) -> Result<i32, (Failure, Option<i32>)> {
        let user = match (run.identity, &self.server) {
            (None, None) => RunAs::Same,
            (None, Some(worker)) => RunAs::Server(worker),
            (Some(index), _) => {
                let known = usize::try_from(index).ok().and_then(|index| self.identities.get(index));
                RunAs::User(known.ok_or((Failure { step: Step::UnknownUser, errno: 0 }, None))?)
            }
        };
        launcher.launch(run, fds, user, ProcessAttributes::default())
    }
}

impl Script {
    /// Asks the script and all of its group to end, and has them killed later.
    fn end(&mut self, until: Instant) {
        self.signal(libc::SIGTERM);
        self.kill_at = Some(until);
    }

    /// The script has not been reaped, so its group's number is nobody else's.
    fn signal(&self, signal: i32) {
        // SAFETY: numbers only.
        unsafe { libc::kill(-self.pid, signal) };
    }
}

/// A request that came in a file.
fn read_long(file: &OwnedFd) -> Option<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::from(file.try_clone().ok()?);
    let length = file.metadata().ok()?.len();
    if length > LONGEST {
        return None;
    }
    let mut request = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut request, 0).ok()?;
    Some(request)
}
