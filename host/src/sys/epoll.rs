// SPDX-License-Identifier: MIT OR Apache-2.0
//! epoll(7), one event at a time: a thread that takes an event may be busy with it for long, and another thread takes the next.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
    time::Duration,
};

use super::{checked, uninterrupted};

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Bytes that arrive, each time that they do, and the end of the peer's side.
    Arrivals,
    /// The same, and room for more output.
    Both,
}

/// A descriptor has something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Woken {
    /// Of the descriptor, as it was added.
    pub(crate) token: u64,
    /// The peer has closed its side, or the connection is broken.
    pub(crate) has_left: bool,
}

#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: epoll_create1(2) touches no memory.
        let fd = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(crate) fn add(&self, fd: &impl AsFd, readiness: Readiness, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, readiness, token)
    }

    /// What is watched of a descriptor from now on. What it shows already is told once more.
    pub(crate) fn change(&self, fd: &impl AsFd, readiness: Readiness, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, readiness, token)
    }

    /// Forgets a descriptor, also where a forked process has a copy of it.
    pub(crate) fn remove(&self, fd: &impl AsFd) {
        // The error is that it was not there.
        let _ = self.control(libc::EPOLL_CTL_DEL, fd, Readiness::Arrivals, 0);
    }

    /// Adds one of our own eventfds: each signal wakes one thread.
    pub(crate) fn add_event(&self, event: &gangway::sys::EventFd, token: u64) -> io::Result<()> {
        // SAFETY: the borrow ends with this call, for which `event` lives.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(event.as_raw_fd()) };
        self.add(&fd, Readiness::Arrivals, token)
    }

    fn control(&self, what: libc::c_int, fd: &impl AsFd, readiness: Readiness, token: u64) -> io::Result<()> {
        let mut events = libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET;
        if readiness == Readiness::Both {
            events |= libc::EPOLLOUT;
        }
        // The highest bit is a sign in C's int alone.
        let mut event = libc::epoll_event { events: events.cast_unsigned(), u64: token };
        let fd = fd.as_fd().as_raw_fd();
        // SAFETY: both descriptors are open while they are borrowed, and `event` is readable.
        checked(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), what, fd, &raw mut event) }).map(drop)
    }

    /// Waits for the next event, for ever without a time.
    pub(crate) fn wait(&self, time: Option<Duration>) -> io::Result<Option<Woken>> {
        let whole = time.map_or(-1, |left| i32::try_from(left.as_millis()).unwrap_or(i32::MAX));
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: there is room for one event.
        let wait = || checked(unsafe { libc::epoll_wait(self.0.as_raw_fd(), &raw mut event, 1, whole) });
        if uninterrupted(wait)? == 0 {
            return Ok(None);
        }
        let left = libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR;
        let (events, token) = (event.events, event.u64);
        Ok(Some(Woken { token, has_left: events & left.cast_unsigned() != 0 }))
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}
