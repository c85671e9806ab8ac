// SPDX-License-Identifier: MIT OR Apache-2.0
//! The spawner's processes.
//!
//! ```text
//! server's parent --fork, twice--> guardian --fork--> spawner  before there are workers; small, and root if the server is
//! worker  --one end of a socket--> spawner --fork--> helper    at the worker's first script; ends with the worker
//! worker  ==requests and descriptors==> helper --vfork--> script
//! ```
//!
//! The spawner believes nothing that a worker says: who the worker is says the kernel, and which other users there are
//! says the configuration that the spawner was made with.

use std::{
    io::{self, PipeReader},
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr,
    sync::Mutex,
    time::{Duration, Instant},
};

use super::{
    super::{EventFd, lock, poll},
    launch::{Become, Launcher, change_user},
    report::{Exit, Failure, Report, Step},
    request::{Command, Run},
    socket,
};
use crate::rights::Identity;

/// The name in ps(1).
const NAME: &std::ffi::CStr = c"gangway-spawn";
/// How long scripts of a worker that has ended may take after TERM.
const LAST_GRACE: Duration = Duration::from_secs(2);
/// The socket's number in the spawner, behind standard input, output and error.
const SOCKET: RawFd = 3;
/// Bytes of a message. Longer ones are in a file of memory.
pub(super) const INLINE: usize = 64 * 1024;
/// The longest request in such a file. The kernel takes at most a quarter of the stack's limit, 2 MiB usually.
const LONGEST: u64 = 8 * 1024 * 1024;

/// What is left of a process of the server, after a fork: nothing but one socket.
///
/// # Errors
/// What dup2(2) and open(2) say.
pub(super) fn become_spawner(socket: &OwnedFd) -> io::Result<OwnedFd> {
    // SAFETY: this process has one thread and never returns into the server's code. What it closes belongs to the
    // server's copy of itself, which nobody uses any more.
    unsafe {
        libc::setsid();
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        let kept = libc::fcntl(socket.as_raw_fd(), libc::F_DUPFD_CLOEXEC, SOCKET + 1);
        if null < 0 || kept < 0 {
            return Err(io::Error::last_os_error());
        }
        for fd in 0..SOCKET {
            libc::dup2(null, fd);
        }
        if libc::dup3(kept, SOCKET, libc::O_CLOEXEC) < 0 {
            return Err(io::Error::last_os_error());
        }
        close_from(SOCKET + 1);
        // The server's handlers are not ours, and what it ignores its scripts would ignore. Signals for the server's
        // group or service must not end the spawner before the server: its end is that of its socket.
        // The raw call also reaches the two signals that glibc keeps to itself. Zeros are the default.
        let default = [0u64; 4];
        for signal in 1..=64 {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), ptr::null::<u64>(), 8usize);
        }
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const all, ptr::null_mut());
        // A server may have set it to 0 for itself.
        libc::umask(0o022);
        libc::chdir(c"/".as_ptr());
        Ok(OwnedFd::from_raw_fd(SOCKET))
    }
}

/// Gives this process its name in ps(1).
pub(super) fn name(name: &std::ffi::CStr) {
    // SAFETY: a C string, which the kernel copies.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// # Safety
/// Nobody uses the descriptors from `first` on.
unsafe fn close_from(first: RawFd) {
    // SAFETY: the caller, which is a child after fork(2), uses no descriptor from `first` on. Kernels before 5.9 do not know the call.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, u32::MAX, 0u32) == 0 {
            return;
        }
        for fd in first..65_536 {
            libc::close(fd);
        }
    }
}

/// Why a spawner serves no longer.
pub(super) enum Served {
    /// The last process of the server has closed its end.
    AllWorkers,
    UntilTheGuardianEnded,
}

/// Makes a helper for each worker that asks, as long as there are a server and a guardian, which holds the other end of this
/// pipe.
pub(super) fn serve_workers(socket: &OwnedFd, guardian: PipeReader, identities: &[Identity]) -> Served {
    name(NAME);
    // SAFETY: helpers are reaped by the kernel; each sets the default again for its scripts.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    let mut buffer = [0; 8];
    let entry = |fd, events| libc::pollfd { fd, events, revents: 0 };
    loop {
        let mut shown = [entry(socket.as_raw_fd(), libc::POLLIN), entry(guardian.as_raw_fd(), 0)];
        poll(&mut shown, None);
        let [server, guarded] = shown;
        if server.revents == 0 {
            if guarded.revents != 0 {
                return Served::UntilTheGuardianEnded;
            }
            continue;
        }
        match socket::receive(socket.as_fd(), &mut buffer, false) {
            Ok(received) if received.length == 0 && received.fds.is_empty() => return Served::AllWorkers,
            Ok(received) => {
                if let Some(connection) = received.fds.into_iter().next() {
                    fork_helper(connection, &guardian, identities);
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::WouldBlock) => {}
            Err(_) => return Served::AllWorkers,
        }
    }
}

fn fork_helper(connection: OwnedFd, guardian: &PipeReader, identities: &[Identity]) {
    // SAFETY: this process has one thread, so the child may use everything.
    if unsafe { libc::fork() } != 0 {
        // Without a helper the worker sees the end of its connection.
        return;
    }
    // SAFETY: the spawner's two descriptors, which this process does not come back to, and the default of SIGCHLD: numbers only.
    unsafe {
        libc::close(SOCKET);
        libc::close(guardian.as_raw_fd());
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
    }
    let status = match Helper::new(connection, identities) {
        Ok(helper) => {
            helper.serve();
            0
        }
        Err(_) => 1,
    };
    // SAFETY: ends the process without running what the server has registered for its own end.
    unsafe { libc::_exit(status) }
}

/// One worker's helper. Several threads take requests, because each stands still until its script has executed, which
/// on a busy machine is when the script gets its first turn.
struct Helper<'a> {
    connection: OwnedFd,
    children: OwnedFd,
    /// Wakes the thread that looks after scripts.
    wake: EventFd,
    /// The users of the configuration.
    identities: &'a [Identity],
    /// The worker's own user, if this process is somebody else.
    server: Option<Identity>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Scripts that are being started, and whether they are to be ended at once.
    starting: Vec<(u32, Option<Instant>)>,
    running: Vec<Script>,
    /// Scripts that have ended before the thread that started them could say so: their processes, and how.
    early: Vec<(i32, i32)>,
    /// Threads that take requests.
    threads: usize,
}

impl State {
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
    fn new(connection: OwnedFd, identities: &'a [Identity]) -> io::Result<Self> {
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
        let (children, wake) = (child_signals()?, EventFd::new()?);
        Ok(Self { connection, children, wake, identities, server, state: Mutex::default() })
    }

    /// Serves until the worker has ended, and ends what it has left.
    fn serve(&self) {
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
        let mut taken = std::mem::MaybeUninit::<libc::signalfd_siginfo>::uninit();
        // SAFETY: the structure is writable, of the size that is said. One read is enough: as long as SIGCHLD is pending
        // there is no second one (signal(7)).
        unsafe {
            let size = size_of::<libc::signalfd_siginfo>();
            libc::read(self.children.as_raw_fd(), taken.as_mut_ptr().cast(), size);
        }
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
        match (Command::decode(long.as_deref().unwrap_or(message)), <[OwnedFd; 3]>::try_from(fds)) {
            (Some(Command::Run(run)), Ok(fds)) => self.run(launcher, &run, &fds),
            (Some(Command::Kill { id, grace }), _) => {
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
            (None, None) => Become::Same,
            (None, Some(worker)) => Become::Server(worker),
            (Some(index), _) => {
                let known = usize::try_from(index).ok().and_then(|index| self.identities.get(index));
                Become::User(known.ok_or((Failure { step: Step::UnknownUser, errno: 0 }, None))?)
            }
        };
        launcher.launch(run, fds, user)
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

/// A descriptor that is readable when a child has ended.
fn child_signals() -> io::Result<OwnedFd> {
    // SAFETY: a set of signals that sigemptyset(3) makes; the descriptor is new and ours.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
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

/// A file of memory with these bytes, whose position is its beginning.
///
/// # Errors
/// What memfd_create(2) and write(2) say.
pub fn memory_file(bytes: &[u8]) -> io::Result<OwnedFd> {
    use std::os::unix::fs::FileExt;
    // SAFETY: a C string; the descriptor is new and ours.
    let fd = unsafe {
        let fd = libc::memfd_create(NAME.as_ptr(), libc::MFD_CLOEXEC);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    let file = std::fs::File::from(fd);
    file.write_all_at(bytes, 0)?;
    Ok(file.into())
}
