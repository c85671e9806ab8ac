// SPDX-License-Identifier: MIT OR Apache-2.0
//! Other processes, and the times of this machine.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    time::Duration,
};

/// A process that is nobody's child here: readable when it has ended.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// # Errors
    /// ESRCH when there is no such process; ENOSYS before Linux 5.3.
    pub fn open(pid: u32) -> io::Result<Self> {
        // SAFETY: numbers only; the descriptor is new and ours.
        unsafe {
            let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
            match RawFd::try_from(fd) {
                Ok(fd) if fd >= 0 => Ok(Self(OwnedFd::from_raw_fd(fd))),
                _ => Err(io::Error::last_os_error()),
            }
        }
    }
}

impl AsRawFd for PidFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Parts of the local time: year, month (0 is January), day, weekday (0 is Sunday), hour, minute, second.
#[must_use]
pub fn local_time() -> [i32; 7] {
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: the time is written by time(2) and read; the parts are writable, and zeros are valid if it fails.
    let parts = unsafe {
        let now = libc::time(std::ptr::null_mut());
        libc::localtime_r(&raw const now, parts.as_mut_ptr());
        parts.assume_init()
    };
    let (year, month, day) = (parts.tm_year + 1900, parts.tm_mon, parts.tm_mday);
    [year, month, day, parts.tm_wday, parts.tm_hour, parts.tm_min, parts.tm_sec]
}

/// The clock that nobody sets, the same for all processes.
#[must_use]
pub fn monotonic() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable; the clock exists on every Linux.
    let _ = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
