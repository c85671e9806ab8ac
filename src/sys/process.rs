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

/// Resident memory of a process, in bytes. Any process may be asked about, unless /proc is closed to others.
#[must_use]
pub fn resident(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    // SAFETY: it has no conditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.checked_mul(u64::try_from(size).ok()?)
}

/// Whether a process has something to do when this signal comes, as far as /proc says.
#[must_use]
pub fn catches(pid: u32, signal: i32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = text.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    u32::try_from(signal - 1).is_ok_and(|bit| mask.checked_shr(bit).unwrap_or(0) & 1 == 1)
}

/// Its share of the memory that it uses, in bytes: only of processes that this one may look into.
#[must_use]
pub fn proportional(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// USER_HZ, which is a part of the kernel's interface.
const TICKS: u64 = 100;

/// A number of ticks in /proc/PID/stat, by the number of its field as proc(5) counts them.
fn ticks(stat: &str, field: usize) -> Option<Duration> {
    // The name, field 2, stands in brackets and may hold anything.
    let ticks: u64 = stat.rsplit_once(") ")?.1.split(' ').nth(field.checked_sub(3)?)?.parse().ok()?;
    Some(Duration::from_millis(ticks.checked_mul(1000 / TICKS)?))
}

/// When a process began, on the clock of [`monotonic`] if the machine has never slept.
#[must_use]
pub fn start_time(pid: u32) -> Option<Duration> {
    begun(pid).map(|(_, time)| time)
}

/// When a process began that has not ended, if nobody has collected it yet.
#[must_use]
pub fn alive_since(pid: u32) -> Option<Duration> {
    begun(pid).filter(|(state, _)| !matches!(state, 'Z' | 'X')).map(|(_, time)| time)
}

/// The state of a process, and when it began.
fn begun(pid: u32) -> Option<(char, Duration)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let state = text.rsplit_once(") ")?.1.chars().next()?;
    Some((state, ticks(&text, 22)?))
}

/// Whether a process has ended, or is about to: the kernel closes its sockets before it counts as ended. 0 is none.
#[must_use]
pub fn is_ending(pid: u32) -> bool {
    /// PF_EXITING of the kernel's flags in /proc/PID/stat.
    const EXITING: u64 = 4;
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return !exists(pid) };
    let mut fields = text.rsplit(") ").next().unwrap_or_default().split(' ');
    let (state, flags) = (fields.next().unwrap_or_default(), fields.nth(5));
    let flags: u64 = flags.and_then(|flags| flags.parse().ok()).unwrap_or(0);
    matches!(state, "Z" | "X") || flags & EXITING != 0
}

/// Whether there is a process with this number, also where /proc is closed to others.
fn exists(pid: u32) -> bool {
    let Some(pid) = libc::pid_t::try_from(pid).ok().filter(|pid| *pid > 0) else { return false };
    // SAFETY: numbers only, and 0 is no signal.
    let status = unsafe { libc::kill(pid, 0) };
    status == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

/// The processor time that a process has used.
#[must_use]
pub fn cpu_time(pid: u32) -> Option<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(ticks(&text, 14)? + ticks(&text, 15)?)
}

/// The user of this process.
#[must_use]
pub fn own_user() -> u32 {
    // SAFETY: it has no conditions.
    unsafe { libc::geteuid() }
}

/// The group of this process.
#[must_use]
pub fn own_group() -> u32 {
    // SAFETY: it has no conditions.
    unsafe { libc::getegid() }
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

/// The same clock as [`monotonic`], in nanoseconds: it ends in the year 2554 of a machine that never sleeps.
#[must_use]
pub(crate) fn nanoseconds() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable; the clock exists on every Linux.
    let _ = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

/// The clock that nobody sets, the same for all processes.
#[must_use]
pub fn monotonic() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable; the clock exists on every Linux.
    let _ = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_caught_by_who_has_a_handler() {
        // The standard library looks for overflows of stacks.
        assert!(catches(std::process::id(), libc::SIGSEGV));
        assert!(!catches(std::process::id(), libc::SIGURG) && !catches(std::process::id(), 0));
        assert!(!catches(u32::MAX, libc::SIGSEGV));
    }

    #[test]
    fn the_end_of_a_process_is_seen_before_it_is_collected() {
        assert!(!is_ending(std::process::id()) && exists(std::process::id()));
        assert!(is_ending(0) && is_ending(u32::MAX));
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        while !is_ending(child.id()) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(is_ending(child.id()));
    }
}
