// SPDX-License-Identifier: MIT OR Apache-2.0
//! A connection to a backend: system calls, and nothing else.

use std::{
    cell::Cell,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    time::Duration,
};

use gangway::sys::{Progress, duplicate, has_unread, has_waiting, is_elsewhere, progress, unread};

/// How long a patient connection waits for bytes before it says that there are none: the kernel waits in the same
/// call that reads.
pub const PATIENCE: Duration = Duration::from_millis(5);

/// What sending did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// So many bytes are with the kernel.
    Bytes(usize),
    /// There is no room at present.
    Full,
    /// The backend has closed the connection.
    Broken,
}

/// What receiving gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing at present.
    Nothing,
    /// The backend has closed the connection.
    End,
    /// The backend has reset the connection.
    Broken,
}

/// What may be done without waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Receive from the backend, be it its end.
    pub receive: bool,
    /// Send to the backend.
    pub send: bool,
    /// Read from the client.
    pub client: bool,
    /// The client has closed its side.
    pub client_closed: bool,
    /// The client's connection has been reset: nobody reads an answer.
    pub client_reset: bool,
}

/// What to wait for besides bytes from the backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct Interest {
    /// Room for bytes to the backend.
    pub send: bool,
    /// The client's socket, and whether its bytes are of interest, or only its end.
    pub client: Option<(RawFd, bool)>,
}

/// A connection to a backend.
#[derive(Debug)]
pub struct Wire {
    fd: RawFd,
    /// Ours, blocking, and reading waits for [`PATIENCE`]; otherwise the server closes it.
    owned: Option<OwnedFd>,
    is_unix: bool,
    is_reused: bool,
    is_slow: Cell<bool>,
}

/// Sets how long a call may wait: SO_RCVTIMEO or SO_SNDTIMEO.
fn set_limit(fd: RawFd, option: libc::c_int, limit: Duration) -> io::Result<()> {
    let limit = libc::timeval {
        tv_sec: limit.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_usec: limit.subsec_micros().into(),
    };
    // SAFETY: the option is readable.
    let status = unsafe {
        let size = size_of::<libc::timeval>() as libc::socklen_t;
        libc::setsockopt(fd, libc::SOL_SOCKET, option, (&raw const limit).cast(), size)
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether a socket is one of AF_UNIX.
fn is_unix(fd: RawFd) -> bool {
    let mut domain: libc::c_int = 0;
    let mut size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: so many bytes are writable.
    let status = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_DOMAIN, (&raw mut domain).cast(), &raw mut size)
    };
    status == 0 && domain == libc::AF_UNIX
}

impl Wire {
    /// A socket of the server's, which must outlive this.
    #[must_use]
    pub fn of_server(fd: RawFd) -> Self {
        Self { fd, owned: None, is_unix: false, is_reused: false, is_slow: Cell::default() }
    }

    /// Connects to a unix socket. Waits for a place among those that wait to be accepted, but not longer than `limit`: then
    /// the error is [`io::ErrorKind::WouldBlock`].
    ///
    /// # Errors
    /// What socket(2) and connect(2) say; `InvalidInput` for a path that is too long.
    pub fn to_unix(path: &[u8], limit: Duration) -> io::Result<Self> {
        let mut place =
            libc::sockaddr_un { sun_family: libc::AF_UNIX as libc::sa_family_t, sun_path: [0; 108] };
        // The last byte stays NUL.
        if path.len() >= place.sun_path.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for (slot, byte) in place.sun_path.iter_mut().zip(path) {
            *slot = byte.cast_signed();
        }
        // SAFETY: socket(2) touches no memory; the descriptor is ours alone.
        let owned = unsafe {
            let fd = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        let fd = owned.as_raw_fd();
        set_limit(fd, libc::SO_SNDTIMEO, limit)?;
        set_limit(fd, libc::SO_RCVTIMEO, PATIENCE)?;
        loop {
            // SAFETY: the address is readable.
            let status = unsafe {
                let size = size_of::<libc::sockaddr_un>() as libc::socklen_t;
                libc::connect(fd, (&raw const place).cast(), size)
            };
            if status == 0 {
                return Ok(Self { owned: Some(owned), is_unix: true, ..Self::of_server(fd) });
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }

    /// The number of the socket, to be waited for.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.fd
    }

    /// Tells the backend that nothing more comes.
    pub fn close_sending(&self) {
        // SAFETY: shutdown(2) touches no memory.
        unsafe { libc::shutdown(self.fd, libc::SHUT_WR) };
    }

    /// Whether it has carried a request before.
    #[must_use]
    pub fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// Whether the backend is known to begin with its response later than a read waits: that read would only end in vain.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.is_slow.get() && self.owned.is_some()
    }

    /// Notes it for the next request.
    pub fn set_slow(&self, is_slow: bool) {
        self.is_slow.set(is_slow);
    }

    /// Makes a connection that outlives the request: blocking, with a limit for each wait.
    ///
    /// # Errors
    /// What fcntl(2) and setsockopt(2) say.
    pub fn into_kept(self) -> io::Result<Self> {
        if self.owned.is_some() {
            return Ok(Self { is_reused: true, ..self });
        }
        let owned = duplicate(self.fd)?;
        let fd = owned.as_raw_fd();
        set_limit(fd, libc::SO_RCVTIMEO, PATIENCE)?;
        // SAFETY: a descriptor of ours.
        if unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_RDWR) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { fd, owned: Some(owned), is_unix: is_unix(fd), is_reused: true, is_slow: self.is_slow })
    }

    /// Whether an idle connection can carry a request: the backend has neither closed it nor sent anything.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let mut byte = 0u8;
        // SAFETY: one writable byte.
        let count =
            unsafe { libc::recv(self.fd, (&raw mut byte).cast(), 1, libc::MSG_PEEK | libc::MSG_DONTWAIT) };
        count < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock
    }

    /// Whether a request of so many bytes on this new connection may be waiting for a process of the backend. Over a unix
    /// socket: nobody has read it, nor, when the wait is young, accepted the connection (a backend of threads may accept it long before one of
    /// them is free). Over TCP: somebody waits to be accepted there, or nobody here can tell.
    #[must_use]
    pub fn may_wait(&self, is_unix: bool, is_young: bool, sent: u64) -> bool {
        if !is_unix {
            return has_waiting(self.fd).unwrap_or(true);
        }
        match progress(self.fd, sent) {
            Progress::Read => false,
            Progress::Accepted => !is_young,
            Progress::Queued => true,
        }
    }

    /// Whether the backend has left something unread of what was sent. `None`: nobody here sees what it reads.
    #[must_use]
    pub fn has_unread(&self, is_unix: bool) -> Option<bool> {
        has_unread(self.fd, is_unix)
    }

    /// Whether the backend has not begun to read a request of so many bytes.
    #[must_use]
    pub fn is_unread(&self, sent: u64) -> bool {
        sent > 0 && unread(self.fd).is_some_and(|count| count as u64 >= sent)
    }

    /// Whether the backend is on another machine, or seems to be.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        is_elsewhere(self.fd)
    }

    /// Sends what fits. Never waits.
    pub fn send(&self, bytes: &[u8]) -> Sent {
        loop {
            // SAFETY: the bytes are readable.
            let count = unsafe {
                let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
                libc::send(self.fd, bytes.as_ptr().cast(), bytes.len(), flags)
            };
            match usize::try_from(count) {
                Ok(count) => return Sent::Bytes(count),
                Err(_) => match io::Error::last_os_error().kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => return Sent::Full,
                    _ => return Sent::Broken,
                },
            }
        }
    }

    /// Receives what is there. Never waits.
    pub fn receive(&self, buffer: &mut [u8]) -> Received {
        self.receive_with(buffer, libc::MSG_DONTWAIT)
    }

    /// Receives what is there or comes soon. `likely`: it is probably there.
    pub fn receive_soon(&self, buffer: &mut [u8], soon: Duration, likely: bool) -> Received {
        // A thread that sleeps in recv(2) on a unix socket is woken already when the other side reads what it was sent, and sleeps again; one in
        // poll(2) sleeps until there is something.
        let is_woken_early = self.is_unix && !likely;
        if self.owned.is_some() && soon == PATIENCE && !is_woken_early {
            return self.receive_with(buffer, 0);
        }
        if likely {
            let received = self.receive(buffer);
            if received != Received::Nothing {
                return received;
            }
        }
        if self.wait(Interest::default(), soon).receive { self.receive(buffer) } else { Received::Nothing }
    }

    fn receive_with(&self, buffer: &mut [u8], flags: libc::c_int) -> Received {
        loop {
            // SAFETY: the buffer is writable.
            let count = unsafe { libc::recv(self.fd, buffer.as_mut_ptr().cast(), buffer.len(), flags) };
            match usize::try_from(count) {
                Ok(0) => return Received::End,
                Ok(count) => return Received::Bytes(count),
                Err(_) => match io::Error::last_os_error().kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => return Received::Nothing,
                    _ => return Received::Broken,
                },
            }
        }
    }

    /// Waits for bytes from the backend or for what else is of interest. Nothing is ready when the time is over.
    pub fn wait(&self, interest: Interest, time: Duration) -> Readiness {
        let own = libc::POLLIN | if interest.send { libc::POLLOUT } else { 0 };
        let (client, reads) = interest.client.unwrap_or((-1, false));
        let of_client = libc::POLLRDHUP | if reads { libc::POLLIN } else { 0 };
        let mut polls = [
            libc::pollfd { fd: self.fd, events: own, revents: 0 },
            // poll(2) passes over negative numbers.
            libc::pollfd { fd: client, events: of_client, revents: 0 },
        ];
        let count = if client < 0 { 1 } else { 2 };
        let limit = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: so many entries are readable and writable. An interruption is a wait that ended early.
        if unsafe { libc::poll(polls.as_mut_ptr(), count, limit) } <= 0 {
            return Readiness::default();
        }
        let [own, client] = polls.map(|poll| poll.revents);
        let failed = libc::POLLERR | libc::POLLHUP | libc::POLLNVAL;
        Readiness {
            receive: own & (libc::POLLIN | failed) != 0,
            send: own & libc::POLLOUT != 0,
            client: client & (libc::POLLIN | failed) != 0,
            client_closed: client & libc::POLLRDHUP != 0,
            client_reset: client & failed != 0,
        }
    }
}
