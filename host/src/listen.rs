// SPDX-License-Identifier: MIT OR Apache-2.0
//! The listening socket: descriptor 0, as FastCGI's own rule is (§2.2), one that systemd has passed, or one made by `--listen`.

use std::{
    env, fs,
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
        unix::{
            fs::{FileTypeExt, MetadataExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use crate::sys;

/// FCGI_LISTENSOCK_FILENO, §8.
const STANDARD: RawFd = 0;
/// SD_LISTEN_FDS_START, sd_listen_fds(3).
const FIRST_PASSED: RawFd = 3;
/// Connections that may wait to be taken: enough for a burst, and less than the kernel's own limit of 4096.
const BACKLOG: i32 = 511;

/// Where to listen, by the word of `--listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Unix { path: PathBuf, mode: Option<u32> },
    Internet(String),
}

impl Address {
    /// `unix:PATH[,mode=OCTAL]` or `HOST:PORT`.
    ///
    /// # Errors
    /// What is wrong, with the cure.
    pub(crate) fn parse(word: &str) -> Result<Self, String> {
        let Some(rest) = word.strip_prefix("unix:") else {
            let port = word
                .rsplit_once(':')
                .filter(|(host, _)| !host.is_empty())
                .map(|(_, port)| port.parse::<u16>());
            return match port {
                Some(Ok(_)) => Ok(Self::Internet(word.to_owned())),
                _ if word.starts_with('/') => Err(format!(
                    "\"{word}\" is no address: write unix:{word} for a socket in the file system"
                )),
                _ => Err(format!("\"{word}\" is no address: use unix:/run/blog.sock or 127.0.0.1:9000")),
            };
        };
        let mut parts = rest.split(',');
        let path = parts.next().unwrap_or_default();
        if !path.starts_with('/') {
            return Err(format!("\"{path}\" is no absolute path: use unix:/run/blog.sock"));
        }
        let mut mode = None;
        for part in parts {
            let value = part
                .strip_prefix("mode=")
                .ok_or_else(|| format!("\"{part}\" is not known: use mode=0660"))?;
            let octal = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o777);
            mode = Some(octal.ok_or_else(|| format!("\"{part}\" is no mode: use mode=0660"))?);
        }
        Ok(Self::Unix { path: path.into(), mode })
    }
}

/// A file that this process has made.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    path: PathBuf,
    identity: (u64, i64, i64),
}

/// What tells a file from the next one of the same name, which may have its number.
fn identity(path: &Path) -> Option<(u64, i64, i64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.ino(), found.ctime(), found.ctime_nsec()))
}

/// A socket that connections come to.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: OwnedFd,
    /// Somebody else holds the socket too: connections wait there while no process takes them.
    pub(crate) is_inherited: bool,
    /// What is to be removed at the end, if it is still ours.
    made: Option<Made>,
    was_nonblocking: bool,
}

impl Listener {
    /// The one that there is.
    ///
    /// # Errors
    /// Why there is none, with the cure.
    pub(crate) fn find(address: Option<&Address>) -> Result<Self, String> {
        match address {
            Some(Address::Unix { path, mode }) => Self::make_unix(path, *mode),
            Some(Address::Internet(address)) => Self::make_internet(address),
            None => Self::inherited(),
        }
    }

    fn inherited() -> Result<Self, String> {
        let number = match passed()? {
            Some(number) => number,
            None if is_listening(STANDARD) => STANDARD,
            None => {
                return Err(
                    "there is no socket to listen on: use --listen unix:/run/blog.sock, or start it with a \
                            listening socket as descriptor 0 or by a .socket unit of systemd"
                        .into(),
                );
            }
        };
        let socket =
            sys::take_over(number).map_err(|error| format!("cannot use descriptor {number}: {error}"))?;
        Self::new(socket, true, None)
    }

    /// One that a process manager has made for this process.
    pub(crate) fn of(socket: OwnedFd) -> Result<Self, String> {
        Self::new(socket, true, None)
    }

    fn new(socket: OwnedFd, is_inherited: bool, made: Option<Made>) -> Result<Self, String> {
        let was_nonblocking = sys::set_nonblocking(&socket, true)
            .map_err(|error| format!("cannot use the listening socket: {error}"))?;
        Ok(Self { socket, is_inherited, made, was_nonblocking })
    }

    fn make_unix(path: &Path, mode: Option<u32>) -> Result<Self, String> {
        let shown = path.display();
        remove_stale(path)?;
        let failed = |error: io::Error| format!("cannot listen on unix:{shown}: {}", cure(&error, path));
        let listener = UnixListener::bind(path).map_err(failed)?;
        if let Some(mode) = mode {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
        }
        let made = identity(path).map(|identity| Made { path: path.to_owned(), identity });
        sys::listen(&listener, BACKLOG).map_err(failed)?;
        Self::new(listener.into(), false, made)
    }

    fn make_internet(address: &str) -> Result<Self, String> {
        let failed = |error: io::Error| match error.kind() {
            ErrorKind::AddrInUse => {
                format!("cannot listen on {address}: another process does; end it or choose another port")
            }
            ErrorKind::PermissionDenied => {
                format!("cannot listen on {address}: {error}; choose a port above 1023")
            }
            _ => format!("cannot listen on {address}: {error}"),
        };
        let addresses: Vec<SocketAddr> = address.to_socket_addrs().map_err(failed)?.collect();
        let listener = TcpListener::bind(addresses.as_slice()).map_err(failed)?;
        sys::listen(&listener, BACKLOG).map_err(failed)?;
        Self::new(listener.into(), false, None)
    }

    /// Whether it can be reached from other machines.
    pub(crate) fn is_public(address: Option<&Address>) -> bool {
        let Some(Address::Internet(address)) = address else { return false };
        address.to_socket_addrs().is_ok_and(|mut all| all.any(|one| !one.ip().is_loopback()))
    }

    /// Gives it back as it was, or removes what was made.
    pub(crate) fn finish(socket: &impl AsFd, made: Option<&Made>, was_nonblocking: bool) {
        if !was_nonblocking {
            // Another program may be started with it.
            let _ = sys::set_nonblocking(socket, false);
        }
        if let Some(made) = made
            && identity(&made.path) == Some(made.identity)
        {
            let _ = fs::remove_file(&made.path);
        }
    }

    /// What [`Listener::finish`] wants to know.
    pub(crate) fn origin(&self) -> (Option<Made>, bool) {
        (self.made.clone(), self.was_nonblocking)
    }
}

fn is_listening(number: RawFd) -> bool {
    gangway::sys::duplicate(number).is_ok_and(|copy| sys::is_listening(&copy))
}

/// The descriptor that systemd has passed.
fn passed() -> Result<Option<RawFd>, String> {
    let number = |name| env::var(name).ok().and_then(|value| value.parse::<u32>().ok());
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Ok(None);
    }
    match number("LISTEN_FDS") {
        None | Some(0) => Ok(None),
        Some(1) if is_listening(FIRST_PASSED) => Ok(Some(FIRST_PASSED)),
        Some(1) => {
            Err("the socket unit passes something that does not listen: use ListenStream= and Accept=no"
                .into())
        }
        Some(count) => {
            Err(format!("the socket unit passes {count} sockets: one ListenStream= is what can be used"))
        }
    }
}

/// Removes a socket whose process is gone.
fn remove_stale(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(format!("{shown} is there and is no socket: remove it or choose another path"));
    }
    if UnixStream::connect(path).is_ok() {
        return Err(format!("another process listens on unix:{shown}: end it or choose another path"));
    }
    fs::remove_file(path).map_err(|error| format!("cannot remove the old socket {shown}: {error}"))
}

fn cure(error: &io::Error, path: &Path) -> String {
    let folder = path.parent().unwrap_or(path).display();
    match error.kind() {
        ErrorKind::NotFound => format!("there is no folder {folder}; create it (systemd: RuntimeDirectory=)"),
        ErrorKind::PermissionDenied => {
            format!("this user may not write to {folder}; choose another folder (systemd: RuntimeDirectory=)")
        }
        _ => error.to_string(),
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood() {
        let unix = |path: &str, mode| Ok(Address::Unix { path: path.into(), mode });
        assert_eq!(Address::parse("unix:/run/a.sock"), unix("/run/a.sock", None));
        assert_eq!(Address::parse("unix:/run/a.sock,mode=0660"), unix("/run/a.sock", Some(0o660)));
        for word in ["127.0.0.1:9000", "[::1]:9000", "localhost:9000"] {
            assert_eq!(Address::parse(word), Ok(Address::Internet(word.into())));
        }
    }

    #[test]
    fn each_mistake_has_its_cure() {
        for (word, cure) in [
            ("/run/a.sock", "write unix:/run/a.sock"),
            ("unix:a.sock", "use unix:/run/blog.sock"),
            ("unix:/a,mode=9", "use mode=0660"),
            ("unix:/a,mode=07777", "use mode=0660"),
            ("unix:/a,user=b", "\"user=b\" is not known"),
            ("9000", "127.0.0.1:9000"),
            (":9000", "127.0.0.1:9000"),
            ("host:port", "127.0.0.1:9000"),
            ("host:99999", "127.0.0.1:9000"),
            ("", "unix:/run/blog.sock"),
        ] {
            let error = Address::parse(word).unwrap_err();
            assert!(error.contains(cure), "{word}: {error}");
        }
    }

    #[test]
    fn a_socket_that_is_in_use_stays_and_a_stale_one_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let address = Address::Unix { path: path.clone(), mode: Some(0o600) };
        let listener = Listener::find(Some(&address)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Listener::find(Some(&address)).unwrap_err().contains("another process listens"));
        let (made, was) = listener.origin();
        drop(listener);
        let again = Listener::find(Some(&address)).unwrap();
        // What another process has made since is not removed.
        Listener::finish(&again.socket, made.as_ref(), was);
        assert!(path.exists());
        let (made, was) = again.origin();
        Listener::finish(&again.socket, made.as_ref(), was);
        assert!(!path.exists());
        fs::write(&path, "").unwrap();
        assert!(Listener::find(Some(&address)).unwrap_err().contains("is no socket"));
        let missing = Address::Unix { path: folder.path().join("none/a.sock"), mode: None };
        assert!(Listener::find(Some(&missing)).unwrap_err().contains("create it"));
    }
}
