// SPDX-License-Identifier: MIT OR Apache-2.0
//! Descriptors that a process is started with, and what reads its standard error.

use std::{
    fs::File,
    io,
    mem::MaybeUninit,
    os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd},
};

use super::checked;

/// Takes over a descriptor that this process was started with, under another number that programs of the application do not
/// inherit. The number itself refers to nothing of value from now on.
pub(crate) fn take_over(number: RawFd) -> io::Result<OwnedFd> {
    let own = gangway::sys::duplicate(number)?;
    let nothing = File::options().read(true).write(true).open("/dev/null")?.into_raw_fd();
    // SAFETY: dup2(2) touches no memory; the number was given to this process for its own use, and nobody has an object
    // that owns it.
    checked(unsafe { libc::dup2(nothing, number) })?;
    if nothing != number {
        // SAFETY: it was opened here, and its object has been given up.
        drop(unsafe { OwnedFd::from_raw_fd(nothing) });
    }
    Ok(own)
}

/// What standard error leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// A file or a terminal: nobody else says when a line was written.
    Plain,
    /// A pipe or a socket: its reader has a clock.
    Piped,
}

impl Output {
    pub(crate) fn of_errors() -> (Self, (u64, u64)) {
        let mut found = MaybeUninit::<libc::stat>::zeroed();
        // SAFETY: `found` is writable, and all zero is a value of it where fstat(2) fails.
        let found = unsafe {
            libc::fstat(libc::STDERR_FILENO, found.as_mut_ptr());
            found.assume_init()
        };
        let kind = found.st_mode & libc::S_IFMT;
        let output = if kind == libc::S_IFIFO || kind == libc::S_IFSOCK { Self::Piped } else { Self::Plain };
        (output, (found.st_dev, found.st_ino))
    }
}

/// Names the calling thread, and with it the process where it is the first one.
pub(crate) fn name_thread(name: &std::ffi::CStr) {
    // SAFETY: PR_SET_NAME reads a C string.
    let _ = unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid(2) touches no memory.
    unsafe { libc::geteuid() == 0 }
}

/// The time of day here: year, month, day, hour, minute, second.
pub(crate) fn local_time() -> [i32; 6] {
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: time(2) may be given no place; localtime_r(3) reads the number and fills the struct, which was zeroed, so
    // that it is a value in any case.
    let parts = unsafe {
        let now = libc::time(std::ptr::null_mut());
        libc::localtime_r(&raw const now, parts.as_mut_ptr());
        parts.assume_init()
    };
    [parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec]
}

/// Removes variables that speak to this process alone: a program of the application would take them for its own. For a process
/// that has no thread yet besides the first.
pub(crate) fn forget_environment(names: &[&str]) {
    for name in names {
        // SAFETY: the caller, which is the start of the program, has begun no thread that could read the environment.
        unsafe { std::env::remove_var(name) };
    }
}

/// Ends this process without destructors, for one in which a thread still runs the application.
pub(crate) fn exit_now(code: u8) -> ! {
    // SAFETY: _exit(2) touches no memory.
    unsafe { libc::_exit(code.into()) }
}
