// SPDX-License-Identifier: MIT OR Apache-2.0
//! The spawner's processes.
//!
//! ```text
//! server's parent --fork, twice--> spawner                     before there are workers; small, and root if the server is
//! worker  --one end of a socket--> spawner --fork--> helper    at the worker's first script; ends with the worker
//! worker  ==orders and descriptors==> helper --vfork--> script
//! ```
//!
//! The spawner believes nothing that a worker says: who the worker is says the kernel, and which other users there are
//! says the configuration that the spawner was made with.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr,
    time::{Duration, Instant},
};

use super::{
    launch::{Become, Launcher, change_user},
    socket,
};
use crate::run::{Command, Exit, Failure, Identity, News, Report, Run, Step};

/// The name in ps(1).
const NAME: &std::ffi::CStr = c"gangway-spawn";
/// How long scripts of a worker that has ended may take after TERM.
const LAST_GRACE: Duration = Duration::from_secs(2);
/// The socket's number in the spawner, behind standard input, output and error.
const SOCKET: RawFd = 3;
/// Bytes of a message. Longer ones are in a file of memory.
pub(super) const INLINE: usize = 64 * 1024;
/// The longest order in such a file. The kernel takes at most a quarter of the stack's limit, 2 MiB usually.
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
        libc::prctl(libc::PR_SET_NAME, NAME.as_ptr());
        Ok(OwnedFd::from_raw_fd(SOCKET))
    }
}

/// # Safety
/// Nobody uses the descriptors from `first` on.
unsafe fn close_from(first: RawFd) {
    // SAFETY: the caller vouches for it. Kernels before 5.9 do not know the call.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, u32::MAX, 0u32) == 0 {
            return;
        }
        for fd in first..65_536 {
            libc::close(fd);
        }
    }
}

/// Makes a helper for each worker that asks, until the last process of the server has closed its end.
pub(super) fn serve_workers(socket: &OwnedFd, identities: &[Identity]) {
    // SAFETY: helpers are reaped by the kernel; each sets the default again for its scripts.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    let mut buffer = [0; 8];
    loop {
        match socket::receive(socket.as_fd(), &mut buffer, true) {
            Ok(received) if received.length == 0 && received.fds.is_empty() => return,
            Ok(received) => {
                if let Some(connection) = received.fds.into_iter().next() {
                    fork_helper(connection, identities);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
            Err(_) => return,
        }
    }
}

fn fork_helper(connection: OwnedFd, identities: &[Identity]) {
    // SAFETY: this process has one thread, so the child may use everything.
    if unsafe { libc::fork() } != 0 {
        // Without a helper the worker sees the end of its connection.
        return;
    }
    // SAFETY: the spawner's socket and the default of SIGCHLD: numbers only.
    unsafe {
        libc::close(SOCKET);
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
    }
    let status = match Helper::new(connection, identities) {
        Ok(mut helper) => {
            helper.serve();
            0
        }
        Err(_) => 1,
    };
    // SAFETY: ends the process without running what the server has registered for its own end.
    unsafe { libc::_exit(status) }
}

/// One worker's helper.
struct Helper<'a> {
    connection: OwnedFd,
    children: OwnedFd,
    launcher: Launcher,
    /// The users of the configuration.
    identities: &'a [Identity],
    /// The worker's own user, if this process is somebody else.
    server: Option<Identity>,
    scripts: Vec<Script>,
    buffer: Vec<u8>,
}

/// A script that has not ended.
struct Script {
    id: u32,
    pid: i32,
    outlives: bool,
    kill_at: Option<Instant>,
}

impl<'a> Helper<'a> {
    fn new(connection: OwnedFd, identities: &'a [Identity]) -> io::Result<Self> {
        let (user, group, groups) = socket::peer(connection.as_fd())?;
        let worker = Identity { name: String::new(), user, group, groups };
        // SAFETY: it has no conditions.
        let server = (unsafe { libc::geteuid() } != user).then_some(worker);
        // Rights that nobody needs are given up at once.
        let server = match server {
            Some(worker) if identities.is_empty() => {
                change_user(&worker).ok_or(io::ErrorKind::PermissionDenied)?;
                None
            }
            other => other,
        };
        Ok(Self {
            children: child_signals()?,
            launcher: Launcher::new()?,
            connection,
            identities,
            server,
            scripts: Vec::new(),
            buffer: vec![0; INLINE],
        })
    }

    /// Serves until the worker has ended, and ends what it has left.
    fn serve(&mut self) {
        while self.wait(true) {}
        let until = Instant::now() + LAST_GRACE;
        self.scripts.retain(|script| !script.outlives);
        for script in &mut self.scripts {
            script.end(until);
        }
        while !self.scripts.is_empty() {
            self.wait(false);
        }
    }

    /// Waits for the next thing and does it. Answers whether the worker is still there.
    fn wait(&mut self, connected: bool) -> bool {
        let first = self.scripts.iter().filter_map(|script| script.kill_at).min();
        let timeout = first.map_or(-1, |at| {
            let left = at.saturating_duration_since(Instant::now()).as_millis();
            i32::try_from(left).unwrap_or(i32::MAX).saturating_add(1)
        });
        let entry = |fd: &OwnedFd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let mut polled = [entry(&self.children), entry(&self.connection)];
        let watched = if connected { 2 } else { 1 };
        // SAFETY: as many entries are readable and writable.
        unsafe { libc::poll(polled.as_mut_ptr(), watched, timeout) };
        self.kill_late_ones();
        if polled[0].revents != 0 {
            self.reap();
        }
        !connected || polled[1].revents == 0 || self.read()
    }

    fn kill_late_ones(&mut self) {
        let now = Instant::now();
        for script in &mut self.scripts {
            if script.kill_at.is_some_and(|at| at <= now) {
                script.kill_at = None;
                script.signal(libc::SIGKILL);
            }
        }
    }

    fn reap(&mut self) {
        let mut taken = std::mem::MaybeUninit::<libc::signalfd_siginfo>::uninit();
        loop {
            // SAFETY: the structure is writable, of the size that is said; the status is written by waitpid(2).
            let (pid, status) = unsafe {
                let size = size_of::<libc::signalfd_siginfo>();
                while libc::read(self.children.as_raw_fd(), taken.as_mut_ptr().cast(), size) > 0 {}
                let mut status = 0;
                (libc::waitpid(-1, &raw mut status, libc::WNOHANG), status)
            };
            if pid <= 0 {
                return;
            }
            if let Some(index) = self.scripts.iter().position(|script| script.pid == pid) {
                let id = self.scripts.swap_remove(index).id;
                self.report(id, News::Ended(Exit::from_wait(status)));
            }
        }
    }

    fn report(&self, id: u32, news: News) {
        // A worker that reads no reports has ended, or holds as many as its socket does.
        let _ = socket::send(self.connection.as_fd(), &Report { id, news }.encode(), &[], true);
    }

    /// Reads a message and obeys it. Answers whether the worker is still there.
    fn read(&mut self) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        let received = socket::receive(self.connection.as_fd(), &mut buffer, true);
        let connected = match received {
            Ok(received) if received.length == 0 && received.fds.is_empty() => false,
            Ok(received) => {
                let message = buffer.get(..received.length).unwrap_or_default();
                self.obey(message, received.fds);
                true
            }
            Err(error) => error.kind() == io::ErrorKind::InvalidData,
        };
        self.buffer = buffer;
        connected
    }

    fn obey(&mut self, message: &[u8], mut fds: Vec<OwnedFd>) {
        let long = match (fds.len(), fds.pop()) {
            (4, Some(file)) => read_long(&file),
            (_, Some(last)) => {
                fds.push(last);
                None
            }
            _ => None,
        };
        match (Command::decode(long.as_deref().unwrap_or(message)), <[OwnedFd; 3]>::try_from(fds)) {
            (Some(Command::Run(run)), Ok(fds)) => match self.launch(&run, &fds) {
                Ok(pid) => {
                    self.scripts.push(Script { id: run.id, pid, outlives: run.outlives, kill_at: None });
                }
                Err(failure) => self.report(run.id, News::Failed(failure)),
            },
            (Some(Command::Kill { id, grace }), _) => {
                let until = Instant::now() + Duration::from_millis(u64::from(grace));
                for script in self.scripts.iter_mut().filter(|script| script.id == id) {
                    script.end(until);
                }
            }
            _ => {}
        }
    }

    fn launch(&self, run: &Run<'_>, fds: &[OwnedFd; 3]) -> Result<i32, Failure> {
        let user = match (run.identity, &self.server) {
            (None, None) => Become::Same,
            (None, Some(worker)) => Become::Server(worker),
            (Some(index), _) => {
                let known = usize::try_from(index).ok().and_then(|index| self.identities.get(index));
                Become::User(known.ok_or(Failure { step: Step::UnknownUser, errno: 0 })?)
            }
        };
        self.launcher.launch(run, fds, user)
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

/// An order that came in a file.
fn read_long(file: &OwnedFd) -> Option<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::from(file.try_clone().ok()?);
    let length = file.metadata().ok()?.len();
    if length > LONGEST {
        return None;
    }
    let mut order = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut order, 0).ok()?;
    Some(order)
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
