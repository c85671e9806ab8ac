// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tree of managed processes, as far as it needs the rights of the server's parent.
//!
//! ```text
//! server's parent --fork, twice--> guard --fork--> keeper ("gangway-spawn")     once; outlives reloads
//! keeper --fork--> supervisor                      the user of the workers; decides
//! keeper --vfork, exec--> process                  the application's user; its descriptor 0 is its listening socket
//! keeper --vfork, exec--> template --fork, twice--> process     where an application is loaded once for all of them
//! worker --one end of a socket--> keeper ==> supervisor
//! ```
//!
//! The keeper believes the server's parent, and nobody else: the kernel says who sends a message. What the supervisor asks
//! can only be about applications that the parent has named. All of it ends with the last process that holds the parent's socket.

mod birth;
mod control;
mod guard;
mod keeper;
mod message;
mod parts;
mod processes;
mod room;
mod table;
mod template;
#[cfg(test)]
mod tests;
mod trial;

use std::{
    io::{self, Read, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

pub use control::{Control, ForkReply, ForkRequest};
pub use message::{
    Fact, KeeperCommand, RunningTemplate, TEMPLATES, application, commit, template_of, template_slot,
};
pub use parts::{Composer, Parts};
pub use room::most as most_descriptors;
pub use trial::load_once;

use super::{
    super::{PidFd, poll},
    process, socket,
};
use crate::rights::Identity;

/// Messages with descriptors.
#[derive(Debug)]
pub struct MessageSocket(OwnedFd);

/// What a message brings.
#[derive(Debug)]
pub struct Parcel {
    /// Its bytes; none are the end of the connection.
    pub bytes: Vec<u8>,
    /// Its descriptors.
    pub fds: Vec<OwnedFd>,
    sender: Option<socket::Sender>,
}

/// How long the keeper may take nothing of what the server's parent says, which serves nobody meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest message.
pub const LONGEST: usize = 128 * 1024;

impl MessageSocket {
    /// Two ends.
    ///
    /// # Errors
    /// What socketpair(2) says.
    pub fn pair() -> io::Result<(Self, Self)> {
        socket::pair().map(|(here, there)| (Self(here), Self(there)))
    }

    /// One end that came with a message.
    #[must_use]
    pub fn of(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    /// Sends a message; without `wait`, a full socket is `WouldBlock`.
    ///
    /// # Errors
    /// `BrokenPipe` when nobody holds the other end.
    pub fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>], wait: bool) -> io::Result<()> {
        socket::send(self.0.as_fd(), bytes, fds, wait)
    }

    /// Sends a message, and waits for so long at most until there is room for it.
    ///
    /// # Errors
    /// `TimedOut` when there was none; otherwise as [`MessageSocket::send`].
    pub fn send_within(&self, bytes: &[u8], fds: &[BorrowedFd<'_>], patience: Duration) -> io::Result<()> {
        let until = Instant::now() + patience;
        loop {
            match self.send(bytes, fds, false) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return sent,
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let fd = self.0.as_raw_fd();
            poll(&mut [libc::pollfd { fd, events: libc::POLLOUT, revents: 0 }], Some(left));
        }
    }

    /// Takes a message.
    ///
    /// # Errors
    /// `WouldBlock` when there is none and it is not to be waited for; `UnexpectedEof` at the end of the connection.
    pub fn receive(&self, wait: bool) -> io::Result<Parcel> {
        let mut bytes = vec![0; LONGEST];
        let received = socket::receive(self.0.as_fd(), &mut bytes, wait)?;
        if received.length == 0 && received.fds.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.truncate(received.length);
        // What is remembered of each application is one of these.
        bytes.shrink_to_fit();
        Ok(Parcel { bytes, fds: received.fds, sender: received.sender })
    }

    /// The process and the user that made this pair of ends.
    ///
    /// # Errors
    /// What getsockopt(2) says.
    pub fn maker(&self) -> io::Result<(u32, u32)> {
        socket::maker(self.0.as_fd())
    }
}

impl AsFd for MessageSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The way to the keeper, held by the server's parent and inherited by its workers.
#[derive(Debug)]
pub struct Tree {
    channel: MessageSocket,
    /// Its number, 0 if it is not known, and a way to see whether it lives.
    guard: (u32, Option<PidFd>),
}

impl Tree {
    /// Forks the guard and, through it, the rest. The caller has one thread. `begun` runs in the new process, for its title;
    /// `supervise` is the supervisor's life, as the user `worker`.
    ///
    /// # Errors
    /// What socketpair(2) and fork(2) say.
    pub fn start(
        worker: &Identity,
        begun: impl FnOnce(),
        supervise: &dyn Fn(MessageSocket),
    ) -> io::Result<Self> {
        let (here, there) = socket::pair()?;
        let (mut number, written) = io::pipe()?;
        // Before anything is sent: what came earlier would have no sender.
        socket::tell_senders(there.as_fd())?;
        process::fork_away(|| {
            begun();
            let _ = (&written).write_all(&std::process::id().to_ne_bytes());
            if let Ok(socket) = process::become_spawner(&there) {
                guard::live(MessageSocket(socket), worker, supervise);
            }
        })?;
        drop(written);
        let mut pid = [0; 4];
        let guard = number.read_exact(&mut pid).map_or(0, |()| u32::from_ne_bytes(pid));
        Ok(Self::of(MessageSocket(here), guard))
    }

    /// The one that this end of its socket belongs to ([`Tree::as_fd`]), with the number of its guard.
    #[must_use]
    pub fn of(channel: MessageSocket, guard: u32) -> Self {
        Self {
            channel,
            guard: match PidFd::open(guard) {
                Ok(process) => (guard, Some(process)),
                // It has ended.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => (guard, None),
                // Before Linux 5.3, or without its number, it is taken to live.
                Err(_) => (0, None),
            },
        }
    }

    /// The number of the guard, 0 if it is not known.
    #[must_use]
    pub fn guard(&self) -> u32 {
        self.guard.0
    }

    /// Whether the guard lives, without which nobody makes another keeper.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        let Some(guard) = &self.guard.1 else { return self.guard.0 == 0 };
        let mut entry = [libc::pollfd { fd: guard.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
        poll(&mut entry, Some(Duration::ZERO));
        entry.iter().all(|entry| entry.revents == 0)
    }

    /// Tells the keeper something; only the server's parent is believed.
    ///
    /// # Errors
    /// `BrokenPipe` when the keeper and its guard have ended; `TimedOut` when the keeper takes nothing, for it is stopped.
    pub fn tell(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.channel.send_within(bytes, fds, PATIENCE)
    }

    /// A way to the supervisor for this process. It is there at once; what is sent waits for the supervisor.
    ///
    /// # Errors
    /// As [`Tree::tell`].
    pub fn connect(&self) -> io::Result<MessageSocket> {
        let (here, there) = MessageSocket::pair()?;
        self.channel.send(&message::connect(), &[there.as_fd()], false)?;
        Ok(here)
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}
