// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ends of children, as a descriptor shows them: signalfd(2).

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

/// A descriptor that is readable when a child has ended. The caller has blocked SIGCHLD.
pub(super) fn of_children() -> io::Result<OwnedFd> {
    // SAFETY: a set of signals that sigemptyset(3) makes; the descriptor is new and ours.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// Takes what it shows: as long as SIGCHLD is pending there is no second one (signal(7)), so one read is enough.
pub(super) fn take(children: &OwnedFd) {
    let mut taken = std::mem::MaybeUninit::<libc::signalfd_siginfo>::uninit();
    // SAFETY: the structure is writable, of the size that is said.
    unsafe {
        libc::read(children.as_raw_fd(), taken.as_mut_ptr().cast(), size_of::<libc::signalfd_siginfo>());
    }
}
