// SPDX-License-Identifier: MIT OR Apache-2.0
//! The spawner and its guardian: two processes that replace each other.
//!
//! Both have the socket to the server and the server's rights. The guardian waits for the spawner and forks another one
//! if it was killed; the spawner sees the end of its guardian, forks another spawner and is the guardian from then on. So nothing is
//! lost as long as one of them lives: what workers have asked for waits in the socket.

use std::{
    ffi::CStr,
    io::{self, PipeReader},
    os::fd::{AsRawFd, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use super::{
    super::poll,
    process::{self, Served},
};
use crate::rights::Identity;

/// The guardian's name in ps(1).
const NAME: &CStr = c"gangway-guard";
/// A spawner that lives no longer is followed by the next one after a pause.
const SHORT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(200);

/// What a process is after the guardian's work.
enum Successor {
    /// The new spawner, and what ends with its guardian.
    Spawner(PipeReader),
    /// The server has ended.
    Nobody,
}

/// The life of either of them, until the server has ended.
pub(super) fn live(socket: &OwnedFd, identities: &[Identity]) {
    while let Successor::Spawner(guardian) = watch_over(socket) {
        match process::serve_workers(socket, guardian, identities) {
            Served::AllWorkers => return,
            Served::UntilTheGuardianEnded => {}
        }
    }
}

/// Forks a spawner, and another one whenever it was killed. Answers in the spawner, and at the end.
fn watch_over(socket: &OwnedFd) -> Successor {
    process::name(NAME);
    // SAFETY: the spawner is waited for. One that becomes the guardian has had its helpers reaped by the kernel.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    loop {
        let begun = Instant::now();
        match fork_spawner() {
            Ok(Forked::Spawner(guardian)) => return Successor::Spawner(guardian),
            Ok(Forked::Guardian(pid, alive)) => {
                let ended = wait_for(pid);
                drop(alive);
                if ended {
                    return Successor::Nobody;
                }
            }
            // There may be memory and processes later.
            Err(_) => {}
        }
        if begun.elapsed() < SHORT {
            thread::sleep(PAUSE);
        }
        if server_has_ended(socket) {
            return Successor::Nobody;
        }
    }
}

enum Forked {
    Spawner(PipeReader),
    Guardian(libc::pid_t, io::PipeWriter),
}

fn fork_spawner() -> io::Result<Forked> {
    let (guardian, alive) = io::pipe()?;
    // SAFETY: this process has one thread, so the child may use everything.
    match unsafe { libc::fork() } {
        0 => {
            drop(alive);
            Ok(Forked::Spawner(guardian))
        }
        pid if pid > 0 => Ok(Forked::Guardian(pid, alive)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits for the spawner. Answers whether it has ended by itself: so it does when the server has ended.
fn wait_for(spawner: libc::pid_t) -> bool {
    loop {
        let mut status = 0;
        // SAFETY: the status is written by waitpid(2). Helpers of its time as the spawner are children as well.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, 0) };
        if pid == spawner {
            return libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
        }
        if pid < 0 && io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return false;
        }
    }
}

/// Whether the last process of the server has closed its end.
fn server_has_ended(socket: &OwnedFd) -> bool {
    let mut entry = [libc::pollfd { fd: socket.as_raw_fd(), events: 0, revents: 0 }];
    poll(&mut entry, Some(Duration::ZERO));
    entry.iter().any(|entry| entry.revents & libc::POLLHUP != 0)
}
