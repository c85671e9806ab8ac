// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mode mask of files that applications make. A server that makes itself a daemon sets its own to 0 and gives its files
//! their modes itself; what an application writes, or a program that it starts, could then be written by everybody.

use std::{
    fs,
    sync::atomic::{AtomicU32, Ordering},
};

/// The mask that the server was started with; 0 if that is not known.
static STARTED_WITH: AtomicU32 = AtomicU32::new(0);
/// The one of shells.
const USUAL: libc::mode_t = 0o022;

/// Notes the mask while the configuration is read, which is before the server becomes a daemon.
pub fn note() {
    if STARTED_WITH.load(Ordering::Relaxed) == 0
        && let Some(mask) = current()
    {
        STARTED_WITH.store(mask, Ordering::Relaxed);
    }
}

/// Gives this thread and all that it starts from now on the mask that the server was started with, if its own is none.
/// Their working directory is their own as well then; the server's threads keep theirs.
pub fn restore() {
    if current() != Some(0) {
        return;
    }
    let mask = match STARTED_WITH.load(Ordering::Relaxed) {
        0 => USUAL,
        noted => noted,
    };
    // SAFETY: both calls touch no memory; what is unshared is a copy of the process's, so nothing changes for the server.
    unsafe {
        if libc::unshare(libc::CLONE_FS) == 0 {
            libc::umask(mask);
        }
    }
}

/// Read without a change, which another thread could see.
fn current() -> Option<u32> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(mask.trim(), 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_gets_a_mask_of_its_own() {
        std::thread::spawn(|| {
            // SAFETY: this thread's own copy.
            unsafe {
                assert_eq!(libc::unshare(libc::CLONE_FS), 0);
                libc::umask(0);
            }
            restore();
            assert_eq!(current(), Some(USUAL));
            std::thread::spawn(|| assert_eq!(current(), Some(USUAL))).join().expect("no panic");
        })
        .join()
        .expect("no panic");
    }
}
