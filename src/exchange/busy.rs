// SPDX-License-Identifier: MIT OR Apache-2.0
//! WebSockets that the thread of their handlers reads from itself, as long as they are busy.

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    os::fd::{AsRawFd, RawFd},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::sys::{
    epoll::{Epoll, Interest, Shown},
    lock,
};

/// Bytes that are read of one of them before the next has its turn. Who says more at a time is read by the server, whose thread has no lock of an
/// interpreter while it copies and decompresses.
pub(super) const PART: usize = 16 * 1024;
/// So many are read from in one call: those whose messages have come get on in between.
const MOST: usize = 32;
const READS: Interest = Interest { reads: true, writes: false };

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One of them.
pub(super) trait BusySocket: Send + Sync {
    /// Its client's socket has shown something. What is shown may be of a time before this.
    fn read(&self, shown: &Shown, buffer: &mut [u8]);
}

/// The busy WebSockets of one application, in one set of the kernel's that its event loop can wait for.
///
/// A client's socket leaves it before the server reads from it again, or closes it. Each time that it comes into it, it gets a number of its own,
/// so that what was shown of it before is not taken for one that has come after it.
pub struct BusySockets {
    epoll: Epoll,
    sockets: Mutex<HashMap<u64, Weak<dyn BusySocket>>>,
    last: AtomicU64,
}

impl BusySockets {
    /// An empty one.
    ///
    /// # Errors
    /// When no descriptor can be made.
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: Epoll::new()?, sockets: Mutex::default(), last: AtomicU64::new(0) })
    }

    /// The descriptor to watch for reading, not edge-triggered.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Reads what has come of some of them: the descriptor stays readable while there is more. HANDLER, one thread at a time.
    pub fn read(&self) {
        self.epoll.wait_for(MOST, Some(Duration::ZERO), |shown| {
            if let Some(socket) = self.socket(shown.number) {
                with_buffer(|buffer| socket.read(&shown, buffer));
            }
        });
    }

    fn socket(&self, number: u64) -> Option<Arc<dyn BusySocket>> {
        lock(&self.sockets).get(&number).and_then(Weak::upgrade)
    }

    /// Watches a socket. Answers its number; `None`: it cannot be watched.
    pub(super) fn add(&self, socket: RawFd, reader: Weak<dyn BusySocket>) -> Option<u64> {
        let number = self.last.fetch_add(1, Relaxed) + 1;
        lock(&self.sockets).insert(number, reader);
        if self.epoll.add(socket, number, READS).is_ok() {
            return Some(number);
        }
        lock(&self.sockets).remove(&number);
        None
    }

    /// Watches it no more. Before the socket is closed: a child that the application has forked may have it still.
    pub(super) fn remove(&self, socket: RawFd, number: u64) {
        self.epoll.remove(socket);
        let mut sockets = lock(&self.sockets);
        sockets.remove(&number);
        if sockets.is_empty() {
            // There may have been many.
            *sockets = HashMap::new();
        }
    }
}

/// A loop that reads in the middle of reading, which none does, gets nothing then.
fn with_buffer(act: impl FnOnce(&mut [u8])) {
    let _ended = BUFFER.try_with(|buffer| {
        if let Ok(mut buffer) = buffer.try_borrow_mut() {
            buffer.resize(PART, 0);
            act(&mut buffer);
        }
    });
}
