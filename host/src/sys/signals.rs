// SPDX-License-Identifier: MIT OR Apache-2.0
//! The signals that end this process, as something that can be waited for.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use super::checked;

/// TERM, INT and HUP: none of them interrupts anything from now on.
pub(crate) struct Signals(OwnedFd);

impl Signals {
    /// Before the first thread, so that none of them is ended by one.
    pub(crate) fn catch() -> io::Result<Self> {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset(3) initialises the set, which all the others read; signalfd(2) touches no other memory.
        let fd = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut());
            checked(libc::signalfd(-1, set.as_ptr(), libc::SFD_NONBLOCK | libc::SFD_CLOEXEC))?
        };
        // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The name of the next one that has come.
    pub(crate) fn take(&self) -> Option<&'static str> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: `info` has room for so many bytes.
        let count = unsafe { libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), size) };
        if usize::try_from(count) != Ok(size) {
            return None;
        }
        // SAFETY: it was zeroed, which is a value of this struct, and read(2) has filled it.
        let number = unsafe { info.assume_init() }.ssi_signo;
        Some(match i32::try_from(number) {
            Ok(libc::SIGINT) => "INT",
            Ok(libc::SIGHUP) => "HUP",
            _ => "TERM",
        })
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
