// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signals that end a program, for one that has something to put back before it ends: signalfd(2).

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd},
};

/// Readable when HUP, INT, QUIT or TERM has come, which then do nothing else.
#[derive(Debug)]
pub struct EndSignals(OwnedFd);

impl EndSignals {
    /// For a process with one thread.
    ///
    /// # Errors
    /// What signalfd(2) says.
    pub fn watch() -> io::Result<Self> {
        // SAFETY: a set of signals that sigemptyset(3) makes; the descriptor is new and ours.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
                libc::sigaddset(&raw mut set, signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(Self(OwnedFd::from_raw_fd(fd))) }
        }
    }
}

impl AsFd for EndSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
