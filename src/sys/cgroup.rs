// SPDX-License-Identifier: MIT OR Apache-2.0
//! Control groups of Linux, version 2: an application's processes are in one of their own, below one that somebody else bounds.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{Access, access, statfs};

/// f_type of the file system, of version 2 alone.
const CGROUP2: rustix::fs::FsWord = 0x6367_7270;

/// Whether groups can be made below this one.
///
/// # Errors
/// Why they cannot, with the cure.
pub fn check(parent: &Path) -> Result<(), String> {
    let shown = parent.display();
    let kind = statfs(parent)
        .map_err(|error| format!("\"{shown}\" cannot be looked at: {}", io::Error::from(error)))?;
    if kind.f_type != CGROUP2 {
        return Err(format!(
            "\"{shown}\" is no control group of version 2: name a directory below the mount of cgroup2, such as /sys/fs/cgroup/sites"
        ));
    }
    access(parent, Access::WRITE_OK).map_err(|error| {
        format!(
            "groups cannot be made in \"{shown}\": {}; start the server as root, or have the group delegated to its user (systemd: Delegate=yes)",
            io::Error::from(error)
        )
    })
}

/// The group of an application below another one.
#[must_use]
pub fn group_of(parent: &Path, name: &str) -> PathBuf {
    // Files of the kernel stand beside it, none of which begins so.
    parent.join(format!("gangway-{}", name.replace('/', "_")))
}

/// Makes a group, unless it is there, and opens what a process enters it by.
pub(super) fn open(group: &Path) -> io::Result<OwnedFd> {
    match fs::create_dir(group) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::OpenOptions::new().write(true).open(group.join("cgroup.procs")).map(OwnedFd::from)
}

/// Removes a group in which nothing is left.
pub(super) fn remove(group: &Path) {
    let _ = fs::remove_dir(group);
}

/// What the processes of a group have used, as far as the kernel counts it there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupUse {
    /// Memory, in bytes.
    pub memory: Option<u64>,
    /// Processor time.
    pub cpu: Option<Duration>,
    /// Processes that were killed because memory was short.
    pub killed: Option<u64>,
}

/// Asks what a group has used.
#[must_use]
pub fn used(group: &Path) -> GroupUse {
    let read = |name: &str| fs::read_to_string(group.join(name)).unwrap_or_default();
    let (cpu, events) = (read("cpu.stat"), read("memory.events"));
    GroupUse {
        memory: read("memory.current").trim().parse().ok(),
        cpu: value_of(&cpu, "usage_usec").map(Duration::from_micros),
        killed: value_of(&events, "oom_kill"),
    }
}

/// A number of a file of lines with a key and a number.
fn value_of(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_control_group_is_refused_with_the_cure() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check(folder.path()).unwrap_err().contains("below the mount of cgroup2"));
        assert!(check(&folder.path().join("none")).unwrap_err().contains("cannot be looked at"));
    }

    #[test]
    fn what_was_used_is_read_where_it_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(used(folder.path()), GroupUse::default());
        for (name, text) in [
            ("memory.current", "4096\n"),
            ("cpu.stat", "usage_usec 1500000\nuser_usec 1000000\n"),
            ("memory.events", "low 0\noom 1\noom_kill 2\noom_group_kill 0\n"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let all = GroupUse { memory: Some(4096), cpu: Some(Duration::from_millis(1500)), killed: Some(2) };
        assert_eq!(used(folder.path()), all);
        assert_eq!(group_of(Path::new("/g"), "/srv/a.py:app"), Path::new("/g/gangway-_srv_a.py:app"));
    }
}
