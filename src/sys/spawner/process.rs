// SPDX-License-Identifier: MIT OR Apache-2.0
//! The spawner's processes, but for what its helpers do (`helper`).
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
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use super::{super::poll, helper::Helper, socket};
use crate::rights::Identity;

/// The name in ps(1).
const NAME: &std::ffi::CStr = c"gangway-spawn";
/// The socket's number in the spawner, behind standard input, output and error.
const SOCKET: RawFd = 3;

/// Runs `life` in a process that is nobody's child: a server that counts its own does not meet it. The caller has one thread.
///
/// # Errors
/// What fork(2) says.
pub(super) fn fork_away(life: impl FnOnce()) -> io::Result<()> {
    // The first child is waited for below; a handler of the server that waits for any child may be first.
    // SAFETY: the caller has one thread, so the child finds no lock taken.
    let first = unsafe { libc::fork() };
    if first < 0 {
        return Err(io::Error::last_os_error());
    }
    if first == 0 {
        // SAFETY: this is a child of one thread.
        if unsafe { libc::fork() } == 0 {
            life();
        }
        // SAFETY: _exit(2) has no conditions; it runs nothing of the server.
        unsafe { libc::_exit(0) }
    }
    // SAFETY: nothing is written. An error means that the server has reaped it.
    unsafe { libc::waitpid(first, ptr::null_mut(), 0) };
    Ok(())
}

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

/// Closes all but standard input, output and error, and this socket, which the caller uses by what is answered.
pub(super) fn keep_only(socket: BorrowedFd<'_>) -> Option<OwnedFd> {
    // SAFETY: this is a child of one thread that uses nothing else of its parent's descriptors; the number is what dup3(2) has made.
    unsafe {
        let kept = libc::fcntl(socket.as_raw_fd(), libc::F_DUPFD_CLOEXEC, SOCKET + 1);
        if kept < 0 || libc::dup3(kept, SOCKET, libc::O_CLOEXEC) < 0 {
            return None;
        }
        close_from(SOCKET + 1);
        Some(OwnedFd::from_raw_fd(SOCKET))
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
