// SPDX-License-Identifier: MIT OR Apache-2.0
//! The operating system: descriptors, threads, signals. With `engine` the home of `unsafe`.

#![expect(unsafe_code, reason = "system calls")]

mod backlog;
pub mod cgroup;
mod client;
mod diag;
mod ending;
pub mod epoll;
pub mod files;
mod left_open;
mod local;
mod memory;
mod onlooker;
pub mod pipe;
mod process;
mod progress;
pub mod run_directory;
pub mod shared;
mod shortage;
pub mod spawner;
pub mod umask;
mod unread;

pub use backlog::has_waiting;
pub use client::{receive_now, send_now};
pub use ending::EndSignals;
pub use left_open::LeftOpen;
pub use local::{enlarge, receive_with, send_with};
pub use memory::keep_freed;
pub use onlooker::see_as;
pub(crate) use process::nanoseconds;
pub use process::{
    PidFd, alive_since, catches, cpu_time, is_ending, local_time, monotonic, own_group, own_user,
    proportional, resident, start_time,
};
pub use progress::{Progress, progress};
pub use shortage::{explain, explain_text, is_shortage};
pub use unread::{has_unread, is_acknowledged, is_elsewhere, unread};

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use rustix::{
    event::{EventfdFlags, eventfd},
    time::{
        ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
        timerfd_create, timerfd_settime,
    },
};

/// Locks a mutex, poisoned or not: every critical section of this crate leaves its data whole.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A counter that an event loop can watch: eventfd(2).
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// Makes one that never blocks and is not inherited.
    ///
    /// # Errors
    /// What eventfd(2) says.
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
    }

    /// One that somebody else has made.
    #[must_use]
    pub fn of(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    /// Adds 1. It cannot fail before 2^64-2 signals, and then the loop has been told already.
    pub fn signal(&self) {
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

impl EventFd {
    /// Takes all that was added, so that it is not readable until more is.
    pub fn take(&self) {
        let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A time that an event loop can watch: timerfd_create(2).
#[derive(Debug)]
pub struct TimerFd(OwnedFd);

impl TimerFd {
    /// Makes one that never blocks, is not inherited and is not set.
    ///
    /// # Errors
    /// What timerfd_create(2) says.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self(timerfd_create(TimerfdClockId::Monotonic, flags)?))
    }

    /// Becomes readable once, after less than a second, in place of what was set before.
    pub fn set(&self, after: Duration) {
        let it_value = Timespec { tv_sec: 0, tv_nsec: after.subsec_nanos().max(1).into() };
        let once = Itimerspec { it_interval: Timespec::default(), it_value };
        // It fails for a wrong time alone.
        let _ = timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once);
    }

    /// Is not readable any more until the next time.
    pub fn acknowledge(&self) {
        // It fails where there is nothing to acknowledge.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for TimerFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for TimerFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Waits until one of the descriptors shows what its entry asks for, or the time is over; entries without a descriptor
/// (-1) are skipped. poll(2) writes into the entries. An interruption counts as the end of the time.
pub fn poll(entries: &mut [libc::pollfd], timeout: Option<Duration>) {
    // A part of a millisecond must not become a wait of none, again and again.
    let whole = timeout.map_or(-1, |left| i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
    // SAFETY: as many entries are readable and writable.
    let shown = unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, whole) };
    if shown < 0 {
        for entry in entries {
            entry.revents = 0;
        }
    }
}

/// Duplicates a descriptor that somebody else owns; the copy is not inherited by children.
///
/// # Errors
/// What fcntl(2) says, EBADF for a number that is no open descriptor.
pub fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: a wrong number is answered by EBADF; the borrow ends with this statement.
    unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()
}

/// Starts a named thread that takes no signals: those of the process are its server's.
///
/// # Errors
/// What pthread_create(3) says.
pub fn spawn<T: Send + 'static>(
    name: &str,
    stack: usize,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<thread::JoinHandle<T>> {
    // Miri knows no signals.
    let guard = (!cfg!(miri)).then(SignalGuard::block_all);
    let spawned = thread::Builder::new().name(name.to_owned()).stack_size(stack).spawn(body);
    drop(guard);
    spawned
}

/// Blocks the signals of this thread while it lives; a thread started meanwhile inherits the mask.
struct SignalGuard(libc::sigset_t);

impl SignalGuard {
    fn block_all() -> Self {
        let (mut all, mut old) = (std::mem::MaybeUninit::uninit(), std::mem::MaybeUninit::uninit());
        // SAFETY: both sets are writable and sigfillset/pthread_sigmask initialise them; neither call can fail
        // with a valid `how`.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            // A crash must stay visible as one: the fault's own thread takes these.
            for fault in
                [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT, libc::SIGTRAP]
            {
                libc::sigdelset(all.as_mut_ptr(), fault);
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr());
            Self(old.assume_init())
        }
    }
}

impl Drop for SignalGuard {
    fn drop(&mut self) {
        // SAFETY: the set is the one that pthread_sigmask gave us.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut());
        }
    }
}

/// The processor time that the calling thread has used.
pub(crate) fn thread_time() -> Duration {
    if cfg!(miri) {
        // It has no such clock.
        return Duration::ZERO;
    }
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Lets exit(3) end the process without the destructors of shared objects, for a process in which threads still run
/// the code of some of them. Exit handlers run in reverse order, so this one comes before those.
pub fn exit_without_destructors() {
    extern "C" fn end_now() {
        // SAFETY: _exit(2) touches no memory. The server's own work is done when it calls exit(3).
        unsafe { libc::_exit(0) }
    }
    // SAFETY: the function lives as long as the process: server modules are linked with nodelete. If the list is
    // full the process ends as it would have.
    let _ = unsafe { libc::atexit(end_now) };
}
