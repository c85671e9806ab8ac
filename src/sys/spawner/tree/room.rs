// SPDX-License-Identifier: MIT OR Apache-2.0
//! How many descriptors those who look after processes may have: each application and each process takes some, and the usual limit of
//! 1024 is a service's, not the machine's. Processes of applications get the limit that the server has.

use std::mem::MaybeUninit;

/// What this process may have: now, and at most.
fn limits() -> Option<libc::rlimit> {
    let mut limit = MaybeUninit::<libc::rlimit>::zeroed();
    // SAFETY: the structure is writable, and is written where the call succeeds.
    unsafe { (libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()) == 0).then(|| limit.assume_init()) }
}

/// Takes as much room as this process may have. Answers what it was, 0 if that is not known.
pub(super) fn widen() -> u64 {
    let Some(before) = limits() else { return 0 };
    let wider = libc::rlimit { rlim_cur: before.rlim_max, rlim_max: before.rlim_max };
    // SAFETY: one structure is readable. Where it fails there is as much room as before.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wider) };
    before.rlim_cur
}

/// The most that this process, and what it starts, may have.
pub fn most() -> u64 {
    limits().map_or(u64::MAX, |limit| limit.rlim_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_there_may_be_is_taken() {
        let before = limits().unwrap();
        assert_eq!(widen(), before.rlim_cur);
        let after = limits().unwrap();
        assert_eq!((after.rlim_cur, after.rlim_max), (before.rlim_max, before.rlim_max));
        assert_eq!(most(), before.rlim_max);
    }
}
