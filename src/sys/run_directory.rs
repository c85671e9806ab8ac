// SPDX-License-Identifier: MIT OR Apache-2.0
//! The directory below which processes listen, in parts that are closed to everybody but the user of the workers. It can be
//! read itself: the control socket of each server stands in it.
//!
//! The server's parent makes it and believes nothing that it finds there. What stands in it is made by the supervisor, as the
//! workers' user, so that nothing with more rights works in a directory that somebody else may write to.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    },
    path::{Path, PathBuf},
};

use super::spawner;
use crate::rights::Identity;

const CONTROL: &str = "control";

/// Where it is: `/run/gangway-UID` for a server that root has started, with the user of its workers. Who may not write there has the
/// directory of temporary files, in which others can make a file of that name, but none that [`prepare`] takes.
#[must_use]
pub fn of(worker: &Identity) -> PathBuf {
    let place = if spawner::is_root() { PathBuf::from("/run") } else { std::env::temp_dir() };
    place.join(format!("gangway-{}", worker.user))
}

/// Makes the directory, or looks whether what is there is safe.
///
/// # Errors
/// What is wrong with it, with the cure.
pub fn prepare(path: &Path, user: &Identity) -> io::Result<()> {
    let refused = |why: &str| Err(io::Error::other(format!("\"{}\" {why}", path.display())));
    let parent = fs::metadata(path.parent().unwrap_or_else(|| Path::new("/")))?;
    if parent.mode() & 0o022 != 0 && parent.mode() & 0o1000 == 0 {
        return refused("stands in a directory that others may write to; name another place");
    }
    let made = match DirBuilder::new().mode(0o755).create(path) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => {
            return Err(io::Error::new(
                error.kind(),
                format!("\"{}\" cannot be made: {error}", path.display()),
            ));
        }
    };
    let directory = match open(path) {
        Ok(directory) => directory,
        Err(error) if matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENOTDIR)) => {
            return refused("is a link or no directory; remove it");
        }
        Err(error) => return Err(error),
    };
    if made {
        // Whatever the server's mode mask is.
        directory.set_permissions(fs::Permissions::from_mode(0o755))?;
    }
    // SAFETY: it has no conditions.
    if made && unsafe { libc::geteuid() } == 0 {
        fchown(&directory, Some(user.user), Some(user.group))?;
    }
    let found = directory.metadata()?;
    if found.uid() != user.user {
        return refused(&format!(
            "belongs to user {}, not to the workers' user {}; remove it",
            found.uid(),
            user.user
        ));
    }
    if found.mode() & 0o022 != 0 {
        return refused("may be written to by others than its owner; chmod 755, or remove it");
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(path)
}

/// This server's part of it, held as long as the answer lives.
///
/// # Errors
/// What mkdir(2), open(2) and flock(2) say.
pub fn hold(path: &Path) -> io::Result<File> {
    loop {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let directory = open(path)?;
        // One who has just ended may still be at work here.
        // SAFETY: numbers only.
        if unsafe { libc::flock(directory.as_raw_fd(), libc::LOCK_EX) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let same = fs::symlink_metadata(path)
            .ok()
            .zip(directory.metadata().ok())
            .is_some_and(|(named, held)| (named.dev(), named.ino()) == (held.dev(), held.ino()));
        if same {
            return Ok(directory);
        }
    }
}

/// Where the control socket of the server with this part of the directory stands.
#[must_use]
pub fn control_socket(own: &Path) -> PathBuf {
    let mut path = own.as_os_str().to_owned();
    path.push(".");
    path.push(CONTROL);
    path.into()
}

/// The control sockets in the directory.
#[must_use]
pub fn control_sockets(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == CONTROL)).collect();
    found.sort_unstable();
    found
}

/// Removes what servers that were killed have left: parts that nobody holds and whose server, which the name begins with, is gone.
pub fn sweep(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let server =
            name.to_str().and_then(|name| name.split('.').next()).and_then(|pid| pid.parse::<u32>().ok());
        let Some(server) = server.filter(|pid| !Path::new(&format!("/proc/{pid}")).exists()) else {
            continue;
        };
        let Ok(directory) = open(&entry.path()) else { continue };
        // SAFETY: numbers only.
        if server > 0 && unsafe { libc::flock(directory.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            remove(&entry.path());
        }
    }
    // A socket without the part that it belongs to.
    for socket in control_sockets(path) {
        if !socket.with_extension("").exists() {
            let _ = fs::remove_file(socket);
        }
    }
}

/// Removes a part of it with the sockets in it.
pub fn remove(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let _ = fs::remove_file(entry.path());
    }
    let _ = fs::remove_dir(path);
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn own() -> Identity {
        // SAFETY: neither has conditions.
        let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
        Identity { name: String::new(), user, group, groups: Vec::new() }
    }

    #[test]
    fn it_is_made_closed_and_what_is_open_or_somebody_elses_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        prepare(&path, &own()).unwrap();
        prepare(&path, &own()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o755);
        for (mode, part) in [(0o770, "chmod 755"), (0o757, "chmod 755")] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(prepare(&path, &own()).unwrap_err().to_string().contains(part));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        let other = Identity { user: own().user + 1, ..own() };
        assert!(prepare(&path, &other).unwrap_err().to_string().contains("belongs to user"));
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(prepare(&link, &own()).unwrap_err().to_string().contains("is a link"));
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(prepare(&file, &own()).unwrap_err().to_string().contains("no directory"));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(prepare(&path, &own()).unwrap_err().to_string().contains("others may write"));
    }

    #[test]
    fn each_user_of_workers_has_one() {
        let place = of(&Identity { user: 33, ..own() });
        assert_eq!(place.file_name().unwrap(), "gangway-33");
        assert!(!spawner::is_root() || place.starts_with("/run"));
    }

    #[test]
    fn only_what_dead_servers_have_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let of = |name: &str| folder.path().join(name);
        let held = hold(&of("4194304.1")).unwrap();
        for name in ["4194304.2", "1.1", "other"] {
            fs::create_dir(of(name)).unwrap();
        }
        fs::write(of("4194304.2").join("socket"), "").unwrap();
        for part in ["4194304.1", "4194304.2"] {
            fs::write(control_socket(&of(part)), "").unwrap();
        }
        sweep(folder.path());
        assert!(!of("4194304.2").exists());
        assert_eq!(control_sockets(folder.path()), [of("4194304.1.control")]);
        assert!(of("4194304.1").exists() && of("1.1").exists() && of("other").exists());
        drop(held);
        sweep(folder.path());
        assert!(!of("4194304.1").exists());
    }
}
