// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs programs for a server without the price of the server's memory, without its rights and without making its
//! event loop wait: a small process, forked off before the server grows, does it. See `process` for who talks to whom.

mod guard;
mod helper;
mod input;
mod launch;
mod process;
mod report;
mod request;
mod seat;
mod signals;
mod socket;
pub mod tree;
mod users;

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::{Mutex, OnceLock},
    time::Duration,
};

pub use input::{InputPart, Pipes};
pub(in crate::sys) use launch::change_user;
pub use process::memory_file;
pub use report::{Exit, Failure, Report, Step};
pub use request::{Run, SpawnRequest, SpawnRequestError, SpawnerCommand, encode_kill};
pub use seat::SpawnerSeat;
pub use socket::maker;
pub use users::{account, is_root, lookup, own_account};

use super::lock;
use crate::{
    error::CGI_SPAWNER,
    log::{self, Level},
    rights::Identity,
};

/// Bytes of a message. Longer ones are in a file of memory.
const INLINE: usize = 64 * 1024;

/// The way to the spawner, held by the server's parent and inherited by its workers.
#[derive(Debug)]
pub struct Spawner {
    socket: OwnedFd,
    /// It runs scripts as users that only the server's parent may become.
    users: bool,
}

impl Spawner {
    /// Forks the spawner and its guardian. The caller has one thread. `begun` runs in the new process, for its title.
    ///
    /// # Errors
    /// What socketpair(2) and fork(2) say.
    pub fn start(identities: &[Identity], begun: impl FnOnce()) -> io::Result<Self> {
        let (here, there) = socket::pair()?;
        process::fork_away(|| {
            begun();
            if let Ok(socket) = process::become_spawner(&there) {
                guard::live(&socket, identities);
            }
        })?;
        Ok(Self { socket: here, users: !identities.is_empty() })
    }

    /// Has a helper made for this process. Answers at once: requests wait until the helper is there.
    ///
    /// Where spawner and guardian were killed together, this process makes others for itself, if they need nobody else's
    /// rights. The caller may have threads then: the C library keeps its memory usable in the child, and the
    /// child uses nothing of the server.
    ///
    /// # Errors
    /// When the spawner has ended and is not replaced, or there are no descriptors.
    pub fn connect(&mut self) -> io::Result<SpawnerClient> {
        match self.ask() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe && !self.users => {
                *self = Self::start(&[], || ())?;
                let text = format_args!(
                    "the processes that start scripts were killed; this process has made others for itself"
                );
                log::coded(Level::Error, CGI_SPAWNER, text);
                self.ask()
            }
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(io::Error::other(
                "the processes that start scripts were killed, and for user= only the server's parent can make others: \
                 reload the server",
            )),
            asked => asked,
        }
    }

    fn ask(&self) -> io::Result<SpawnerClient> {
        let (here, there) = socket::pair()?;
        socket::send(self.socket.as_fd(), b"connect", &[there.as_fd()], false)?;
        Ok(SpawnerClient { socket: here, waiting: Mutex::default() })
    }
}

/// A process' way to its helper. Any thread may send.
#[derive(Debug)]
pub struct SpawnerClient {
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
        let mut fds: Vec<_> = self.fds.iter().map(AsFd::as_fd).collect();
        if self.bytes.len() <= INLINE {
            return socket::send(socket, &self.bytes, &fds, wait);
        }
        let file = memory_file(&self.bytes)?;
        fds.push(file.as_fd());
        socket::send(socket, b"file", &fds, wait)
    }
}

impl SpawnerClient {
    /// Has a script run, with these as its standard input, output and error. `request` is what
    /// [`SpawnRequest::encode`] gave. Never waits: without room the request is sent by [`SpawnerClient::flush`].
    ///
    /// # Errors
    /// When the helper has ended.
    pub fn run(&self, request: Vec<u8>, fds: [OwnedFd; 3]) -> io::Result<()> {
        self.post(Message { bytes: request, fds: fds.into() })
    }

    /// As [`SpawnerClient::run`], but waits for room.
    ///
    /// # Errors
    /// When the helper has ended.
    pub fn run_waiting(&self, request: Vec<u8>, fds: [OwnedFd; 3]) -> io::Result<()> {
        Message { bytes: request, fds: fds.into() }.send(self.socket.as_fd(), true)
    }

    /// Ends the script with this number, if it has not ended: TERM to its group, KILL after `grace`.
    ///
    /// # Errors
    /// When the helper has ended, and with it its scripts.
    pub fn kill(&self, id: u32, grace: Duration) -> io::Result<()> {
        let grace = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
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

    /// The reports that are there, a number of them at a time; never waits.
    ///
    /// # Errors
    /// `WouldBlock` when there are none; `UnexpectedEof` when the helper has ended.
    pub fn reports(&self) -> io::Result<Reports> {
        let mut messages = [[0; Report::SIZE]; Reports::MOST];
        let (count, lengths) = socket::receive_many(self.socket.as_fd(), &mut messages)?;
        // Behind the last report there are empty messages, as many as are asked for.
        if lengths.first() == Some(&0) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Reports { messages, lengths, count, next: 0 })
    }
}

/// Reports that came together.
#[derive(Debug)]
pub struct Reports {
    messages: [[u8; Report::SIZE]; Self::MOST],
    lengths: [usize; Self::MOST],
    count: usize,
    next: usize,
}

impl Reports {
    /// The most that come together.
    const MOST: usize = 16;

    /// Whether there were no more: the next ones make the connection readable anew.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.count < Self::MOST
    }
}

impl Iterator for Reports {
    type Item = Report;

    fn next(&mut self) -> Option<Report> {
        while let Some((message, length)) = self.messages.get(self.next).zip(self.lengths.get(self.next)) {
            self.next += 1;
            if let Some(report) = message.get(..*length).and_then(Report::decode) {
                return Some(report);
            }
        }
        None
    }
}

impl AsFd for SpawnerClient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for SpawnerClient {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// A pipe to a script: what it reads, and what is written here, which never waits. No program inherits either.
///
/// # Errors
/// What pipe2(2) and fcntl(2) say.
pub fn pipe_to() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    set_nonblocking(&writer)?;
    Ok((reader.into(), writer.into()))
}

/// A pipe from a script: what is read here, which never waits, and what it writes. No program inherits either.
///
/// # Errors
/// What pipe2(2) and fcntl(2) say.
pub fn pipe_from() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    set_nonblocking(&reader)?;
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
    // A user with many pipes gets small ones: then the bytes would not fit, and nobody reads yet.
    let (reader, writer) = pipe_to()?;
    match std::fs::File::from(writer).write(bytes) {
        Ok(count) if count == bytes.len() => Ok(Some(reader)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Standard input of a script without a body: it ends at once. The process opens the file for the first of them.
///
/// # Errors
/// What open(2) and fcntl(2) say.
pub fn no_input() -> io::Result<OwnedFd> {
    static OPENED: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(file) = OPENED.get() {
        return file.try_clone();
    }
    let file = OwnedFd::from(std::fs::File::open("/dev/null")?);
    OPENED.get_or_init(|| file).try_clone()
}

/// Output that nobody wants.
///
/// # Errors
/// What open(2) says.
pub fn no_output() -> io::Result<OwnedFd> {
    let file = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    Ok(file.into())
}

/// A file that somebody else has open, for reading from its beginning and on its own.
///
/// # Errors
/// What open(2) says.
pub fn reopen(fd: RawFd) -> io::Result<OwnedFd> {
    std::fs::File::open(format!("/proc/self/fd/{fd}")).map(OwnedFd::from)
}

/// Makes one end of a new pipe never wait. A new pipe has no other flags that fcntl(2) could take away.
fn set_nonblocking(end: &impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::fcntl_setfl(end, rustix::fs::OFlags::NONBLOCK)?)
}

#[cfg(test)]
mod tests;
