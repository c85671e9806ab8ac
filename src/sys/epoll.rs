// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many descriptors for one thread: epoll(7).

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    time::Duration,
};

use rustix::event::{
    Timespec,
    epoll::{CreateFlags, Event, EventData, EventFlags, add, create, delete, modify, wait},
};

/// Events that are taken at a time.
const EVENTS: usize = 256;

/// What a descriptor is watched for. That it has failed is told in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// There is something to read, or its end.
    pub reads: bool,
    /// Something can be written.
    pub writes: bool,
}

/// A descriptor shows something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What it was added with.
    pub number: u64,
    /// It has failed, or both sides are closed.
    pub has_failed: bool,
}

/// A set of descriptors, each with a number.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

impl Epoll {
    /// An empty one, which is not inherited.
    ///
    /// # Errors
    /// What `epoll_create1(2)` says.
    pub fn new() -> io::Result<Self> {
        Ok(Self(create(CreateFlags::CLOEXEC)?))
    }

    /// Watches a descriptor that nobody reads, for each time that it becomes readable.
    ///
    /// # Errors
    /// What `epoll_ctl(2)` says.
    pub fn add_signal(&self, descriptor: impl AsFd, number: u64) -> io::Result<()> {
        add(&self.0, descriptor, EventData::new_u64(number), EventFlags::IN | EventFlags::ET)?;
        Ok(())
    }

    /// Watches a descriptor of somebody else's, until it is removed.
    ///
    /// # Errors
    /// What `epoll_ctl(2)` says.
    pub fn add(&self, descriptor: RawFd, number: u64, interest: Interest) -> io::Result<()> {
        add(&self.0, borrow(&descriptor), EventData::new_u64(number), flags(interest))?;
        Ok(())
    }

    /// Watches it for something else.
    ///
    /// # Errors
    /// What `epoll_ctl(2)` says.
    pub fn change(&self, descriptor: RawFd, number: u64, interest: Interest) -> io::Result<()> {
        modify(&self.0, borrow(&descriptor), EventData::new_u64(number), flags(interest))?;
        Ok(())
    }

    /// Watches it no more.
    pub fn remove(&self, descriptor: RawFd) {
        // The only error is that it is not there.
        let _ = delete(&self.0, borrow(&descriptor));
    }

    /// Waits until something shows, or the time is over. An interruption counts as the end of the time.
    pub fn wait(&self, timeout: Option<Duration>, told: impl FnMut(Shown)) {
        self.wait_for(EVENTS, timeout, told);
    }

    /// The same for some of those that show something, `most` at a time: the others come first the next time.
    pub fn wait_for(&self, most: usize, timeout: Option<Duration>, mut told: impl FnMut(Shown)) {
        let timeout = timeout.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        let mut events = [const { MaybeUninit::<Event>::uninit() }; EVENTS];
        let room = events.get_mut(..most.clamp(1, EVENTS)).unwrap_or_default();
        let Ok((events, _)) = wait(&self.0, room, timeout.as_ref()) else { return };
        for event in events {
            let (flags, data) = (event.flags, event.data);
            let has_failed = flags.intersects(EventFlags::ERR | EventFlags::HUP);
            told(Shown { number: data.u64(), has_failed });
        }
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

fn flags(interest: Interest) -> EventFlags {
    let reads = if interest.reads { EventFlags::IN | EventFlags::RDHUP } else { EventFlags::empty() };
    reads | if interest.writes { EventFlags::OUT } else { EventFlags::empty() }
}

/// For one call: who has the number may close it after that.
fn borrow(descriptor: &RawFd) -> BorrowedFd<'_> {
    // SAFETY: it is not -1, which no caller has; the kernel looks a number up that is none, and says so.
    unsafe { BorrowedFd::borrow_raw((*descriptor).max(0)) }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::{fd::AsRawFd, unix::net::UnixStream},
    };

    use super::*;
    use crate::sys::EventFd;

    const NOW: Option<Duration> = Some(Duration::ZERO);

    fn shown(epoll: &Epoll) -> Vec<Shown> {
        let mut found = Vec::new();
        epoll.wait(NOW, |one| found.push(one));
        found.sort_by_key(|one| one.number);
        found
    }

    #[test]
    fn it_tells_what_it_is_asked_for() {
        let epoll = Epoll::new().unwrap();
        let (mut one, mut other) = UnixStream::pair().unwrap();
        let reads = Interest { reads: true, writes: false };
        epoll.add(one.as_raw_fd(), 7, reads).unwrap();
        assert_eq!(shown(&epoll), []);
        other.write_all(b"x").unwrap();
        let seven = Shown { number: 7, has_failed: false };
        assert_eq!(shown(&epoll), [seven]);
        epoll.change(one.as_raw_fd(), 7, Interest::default()).unwrap();
        assert_eq!(shown(&epoll), []);
        epoll.change(one.as_raw_fd(), 7, Interest { reads: false, writes: true }).unwrap();
        assert_eq!(shown(&epoll), [seven]);
        epoll.change(one.as_raw_fd(), 7, Interest::default()).unwrap();
        one.read_exact(&mut [0]).unwrap();
        drop(other);
        assert_eq!(shown(&epoll), [Shown { number: 7, has_failed: true }]);
        epoll.remove(one.as_raw_fd());
        assert_eq!(shown(&epoll), []);
    }

    #[test]
    fn a_signal_is_told_each_time() {
        let epoll = Epoll::new().unwrap();
        let signal = EventFd::new().unwrap();
        epoll.add_signal(&signal, 0).unwrap();
        for _ in 0..2 {
            signal.signal();
            assert_eq!(shown(&epoll).len(), 1);
            assert_eq!(shown(&epoll), []);
        }
    }
}
