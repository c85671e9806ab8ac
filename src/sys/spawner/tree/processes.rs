// SPDX-License-Identifier: MIT OR Apache-2.0
//! Children: which of them have ended, and how all of them are ended.

use std::{
    fs, io, ptr, thread,
    time::{Duration, Instant},
};

/// Between TERM and KILL at the end of the server.
const LAST_GRACE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);

/// What loses its parent below this process becomes its child.
pub(super) fn adopt_orphans() {
    // SAFETY: numbers only. The default of SIGCHLD keeps the state of children until they are waited for.
    unsafe {
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
    }
}

/// Waits for a child. Answers whether it has ended by itself and well.
pub(super) fn wait_for(child: libc::pid_t) -> bool {
    let mut status = 0;
    // SAFETY: the status is written by waitpid(2).
    while unsafe { libc::waitpid(child, &raw mut status, 0) } < 0 {
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return false;
        }
    }
    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
}

/// A child that has ended, which is still there to be waited for: its number belongs to nobody else yet.
pub(super) fn ended() -> Option<libc::pid_t> {
    // SAFETY: zeros are valid; the structure is written by waitid(2).
    unsafe {
        let mut found: libc::siginfo_t = std::mem::zeroed();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let done = libc::waitid(libc::P_ALL, 0, &raw mut found, options);
        (done == 0 && found.si_pid() > 0).then(|| found.si_pid())
    }
}

/// Whether there is such a child, or it has not been collected.
pub(super) fn exists(child: libc::pid_t) -> bool {
    // SAFETY: numbers only; nothing is sent.
    unsafe { libc::kill(child, 0) == 0 }
}

/// Takes the state of a child that has ended.
pub(super) fn collect(child: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: the status is written by waitpid(2).
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    status
}

/// Makes a child that has executed nothing the leader of a group of its own, if it is a child and stands in this session.
pub(super) fn lead_group(child: libc::pid_t) -> bool {
    // SAFETY: numbers only.
    child > 0 && unsafe { libc::setpgid(child, child) } == 0
}

/// Sends a signal to the group of a child that has not been collected, so that the number is its own.
pub(super) fn signal_group(child: libc::pid_t, signal: i32) {
    // SAFETY: numbers only.
    unsafe { libc::kill(-child, signal) };
}

/// Ends all children and what becomes a child by that: TERM, unless they have been told already, and KILL.
pub(super) fn end_children(told: bool) {
    let until = Instant::now() + LAST_GRACE;
    let signal_all = |signal| {
        for child in children() {
            // SAFETY: numbers only: a child of this process, and the group that it may lead.
            unsafe {
                libc::kill(child, signal);
                libc::kill(-child, signal);
            }
        }
    };
    if !told {
        signal_all(libc::SIGTERM);
    }
    loop {
        // SAFETY: nothing is written.
        match unsafe { libc::waitpid(-1, ptr::null_mut(), libc::WNOHANG) } {
            0 => {}
            child if child > 0 => continue,
            _ => return,
        }
        if told || Instant::now() >= until {
            signal_all(libc::SIGKILL);
        }
        thread::sleep(LOOK);
    }
}

fn children() -> Vec<libc::pid_t> {
    let text = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    text.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}
