// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs programs for a server without the price of the server's memory, without its rights and without making its
//! event loop wait: a small process, forked off before the server grows, does it. See `process` for who talks to whom.

mod launch;
mod process;
mod socket;
mod users;

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::Mutex,
};

pub use process::memory_file;
pub use users::{is_root, lookup};

use super::lock;
use crate::run::{Identity, Report, encode_kill};

/// The way to the spawner, held by the server's parent and inherited by its workers.
#[derive(Debug)]
pub struct Spawner {
    socket: OwnedFd,
}

impl Spawner {
    /// Forks the spawner. The caller has one thread. `begun` runs in the new process, for its title.
    ///
    /// # Errors
    /// What socketpair(2) and fork(2) say.
    pub fn start(identities: &[Identity], begun: impl FnOnce()) -> io::Result<Self> {
        let (here, there) = socket::pair()?;
        // The first child is waited for below; a handler of the server that waits for any child may be first.
        // SAFETY: the caller says that there is one thread.
        let first = unsafe { libc::fork() };
        if first < 0 {
            return Err(io::Error::last_os_error());
        }
        if first == 0 {
            // The second child is nobody's: a server that counts its children does not meet it.
            // SAFETY: as above; _exit(2) runs nothing of the server.
            if unsafe { libc::fork() } == 0 {
                begun();
                if let Ok(socket) = process::become_spawner(&there) {
                    process::serve_workers(&socket, identities);
                }
            }
            // SAFETY: as above.
            unsafe { libc::_exit(0) }
        }
        // SAFETY: nothing is written. An error means that the server has reaped it.
        unsafe { libc::waitpid(first, std::ptr::null_mut(), 0) };
        Ok(Self { socket: here })
    }

    /// Has a helper made for this process. Answers at once: orders wait until the helper is there.
    ///
    /// # Errors
    /// When the spawner has ended, or there are no descriptors.
    pub fn connect(&self) -> io::Result<Connection> {
        let (here, there) = socket::pair()?;
        socket::send(self.socket.as_fd(), b"connect", &[there.as_raw_fd()], false)?;
        Ok(Connection { socket: here, waiting: Mutex::default() })
    }
}

/// A process' way to its helper. Any thread may send.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    /// Messages that found no room.
    waiting: Mutex<VecDeque<Message>>,
}

#[derive(Debug)]
struct Message {
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
}

impl Message {
    fn send(&self, socket: BorrowedFd<'_>, wait: bool) -> io::Result<()> {
        let mut numbers: Vec<RawFd> = self.fds.iter().map(AsRawFd::as_raw_fd).collect();
        if self.bytes.len() <= process::INLINE {
            return socket::send(socket, &self.bytes, &numbers, wait);
        }
        let file = memory_file(&self.bytes)?;
        numbers.push(file.as_raw_fd());
        socket::send(socket, b"file", &numbers, wait)
    }
}

impl Connection {
    /// Has a script run, with these as its standard input, output and error. `order` is what
    /// [`crate::run::Order::encode`] gave. Never waits: without room the order is sent by [`Connection::flush`].
    ///
    /// # Errors
    /// When the helper has ended.
    pub fn run(&self, order: Vec<u8>, fds: [OwnedFd; 3]) -> io::Result<()> {
        self.post(Message { bytes: order, fds: fds.into() })
    }

    /// As [`Connection::run`], but waits for room.
    ///
    /// # Errors
    /// When the helper has ended.
    pub fn run_waiting(&self, order: Vec<u8>, fds: [OwnedFd; 3]) -> io::Result<()> {
        Message { bytes: order, fds: fds.into() }.send(self.socket.as_fd(), true)
    }

    /// Ends the script with this number, if it has not ended: TERM to its group, KILL after `grace` milliseconds.
    ///
    /// # Errors
    /// When the helper has ended, and with it its scripts.
    pub fn kill(&self, id: u32, grace: u32) -> io::Result<()> {
        self.post(Message { bytes: encode_kill(id, grace), fds: Vec::new() })
    }

    fn post(&self, message: Message) -> io::Result<()> {
        let mut waiting = lock(&self.waiting);
        if waiting.is_empty() {
            match message.send(self.socket.as_fd(), false) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
        waiting.push_back(message);
        Ok(())
    }

    /// Whether messages wait for room.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        !lock(&self.waiting).is_empty()
    }

    /// Sends what waits, as far as there is room. Answers whether all has been sent.
    ///
    /// # Errors
    /// When the helper has ended.
    pub fn flush(&self) -> io::Result<bool> {
        let mut waiting = lock(&self.waiting);
        while let Some(message) = waiting.front() {
            match message.send(self.socket.as_fd(), false) {
                Ok(()) => drop(waiting.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// The next report; with `wait` it waits for one.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; `UnexpectedEof` when the helper has ended.
    pub fn report(&self, wait: bool) -> io::Result<Report> {
        let mut message = [0; Report::SIZE];
        loop {
            let received = socket::receive(self.socket.as_fd(), &mut message, wait)?;
            if received.length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(report) = message.get(..received.length).and_then(Report::decode) {
                return Ok(report);
            }
        }
    }
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// A pipe: what reads and what writes. Neither is inherited by programs; both block.
///
/// # Errors
/// What pipe(2) says.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader.into(), writer.into()))
}

/// The most bytes that [`filled`] takes.
pub const PIPE_ROOM: usize = 64 * 1024;

/// A pipe that holds these bytes and then ends. `None` when they are more than a pipe holds.
///
/// # Errors
/// What pipe(2) and write(2) say.
pub fn filled(bytes: &[u8]) -> io::Result<Option<OwnedFd>> {
    use std::io::Write;
    if bytes.len() > PIPE_ROOM {
        return Ok(None);
    }
    let (reader, mut writer) = io::pipe()?;
    // A user with many pipes gets small ones: then the bytes would not fit, and nobody reads yet.
    set_nonblocking(&writer)?;
    match writer.write(bytes) {
        Ok(count) if count == bytes.len() => Ok(Some(reader.into())),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Standard input of a script without a body: it ends at once.
///
/// # Errors
/// What open(2) says.
pub fn null(write: bool) -> io::Result<OwnedFd> {
    let file = std::fs::OpenOptions::new().read(!write).write(write).open("/dev/null")?;
    Ok(file.into())
}

/// A file that somebody else has open, for reading from its beginning and on its own.
///
/// # Errors
/// What open(2) says.
pub fn reopen(fd: RawFd) -> io::Result<OwnedFd> {
    std::fs::File::open(format!("/proc/self/fd/{fd}")).map(OwnedFd::from)
}

/// Makes reading or writing never wait.
///
/// # Errors
/// What fcntl(2) says.
pub fn set_nonblocking(fd: &impl AsRawFd) -> io::Result<()> {
    let fd = fd.as_raw_fd();
    // SAFETY: numbers only.
    let done = unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        flags >= 0 && libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) == 0
    };
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests;
