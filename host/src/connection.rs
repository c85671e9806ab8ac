// SPDX-License-Identifier: MIT OR Apache-2.0
//! One connection of a web server: who works on it, what has come, and what waits to leave.
//!
//! An event of the connection is told once, to any thread (epoll's EPOLLET). The thread that gets it *holds* the connection; what
//! other threads are told meanwhile is only noted, and the holder looks again before it lets go. So no system call gives a
//! connection from one thread to another.
//!
//! ```text
//! idle --event--> held --nothing left to do--> idle
//!                 held --event--> noted --the holder looks again--> held
//! ```

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU8, Ordering::SeqCst},
    },
};

use gangway::{
    exchange::{Cause, Exchange},
    supervise::begun::BegunWords,
    sys::{lock, receive_with},
};

use crate::{incoming::Incoming, outgoing::Outgoing, sys};

const IDLE: u8 = 0;
const HELD: u8 = 1;
const NOTED: u8 = 2;

pub(crate) struct Connection {
    socket: OwnedFd,
    token: u64,
    hold: AtomicU8,
    has_left: AtomicBool,
    /// It was closed by us: nothing more is sent.
    is_shut: AtomicBool,
    /// It has its response, and what still comes is thrown away.
    lingers: AtomicBool,
    incoming: Mutex<Incoming>,
    outgoing: Mutex<Outgoing>,
    /// The request whose handler runs or waits.
    exchange: Mutex<Option<Arc<Exchange>>>,
    /// A worker has several requests on it: who they are is known elsewhere.
    has_lanes: AtomicBool,
    /// Something has been received.
    is_known: AtomicBool,
    /// What the worker has sent before it asked for lanes.
    words: Mutex<Option<BegunWords>>,
}

impl Connection {
    pub(crate) fn new(socket: OwnedFd, token: u64) -> Self {
        Self {
            socket,
            token,
            hold: AtomicU8::new(IDLE),
            has_left: AtomicBool::new(false),
            is_shut: AtomicBool::new(false),
            lingers: AtomicBool::new(false),
            incoming: Mutex::new(Incoming::new()),
            outgoing: Mutex::default(),
            exchange: Mutex::default(),
            has_lanes: AtomicBool::new(false),
            is_known: AtomicBool::new(false),
            words: Mutex::default(),
        }
    }

    /// From here on it has several requests at a time.
    pub(crate) fn open_lanes(&self) {
        self.has_lanes.store(true, SeqCst);
    }

    pub(crate) fn has_lanes(&self) -> bool {
        self.has_lanes.load(SeqCst)
    }

    /// Whoever is at the other end is no worker of ours.
    pub(crate) fn expect_no_words(&self) {
        self.is_known.store(true, SeqCst);
    }

    /// Takes what has arrived, as [`sys::receive`]. With the first bytes of a worker of ours a descriptor may come.
    pub(crate) fn receive(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        if self.is_known.load(SeqCst) {
            return sys::receive(self, into);
        }
        let (count, descriptor) = match receive_with(self.as_fd(), into) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            received => received?,
        };
        self.is_known.store(true, SeqCst);
        if let Some(words) = descriptor.and_then(|descriptor| BegunWords::open(descriptor).ok()) {
            lock(&self.incoming).set_words();
            *lock(&self.words) = Some(words);
        }
        Ok(Some(count))
    }

    /// The words that have come.
    pub(crate) fn take_words(&self) -> Option<BegunWords> {
        lock(&self.words).take()
    }

    /// Its number in the table, as events carry it.
    pub(crate) fn token(&self) -> u64 {
        self.token
    }

    pub(crate) fn incoming(&self) -> &Mutex<Incoming> {
        &self.incoming
    }

    pub(crate) fn outgoing(&self) -> &Mutex<Outgoing> {
        &self.outgoing
    }

    /// Takes it, or notes for its holder that there is something. Answers whether it was taken.
    pub(crate) fn hold(&self) -> bool {
        loop {
            match self.hold.compare_exchange(IDLE, HELD, SeqCst, SeqCst) {
                Ok(_) => return true,
                Err(HELD) if self.hold.compare_exchange(HELD, NOTED, SeqCst, SeqCst).is_ok() => return false,
                Err(NOTED) => return false,
                Err(_) => {}
            }
        }
    }

    /// Lets go of it. Answers whether that is so: if not, something was noted and the caller still holds it.
    pub(crate) fn release(&self) -> bool {
        let free = self.hold.compare_exchange(HELD, IDLE, SeqCst, SeqCst).is_ok();
        if !free {
            self.hold.store(HELD, SeqCst);
        }
        free
    }

    /// The web server has closed its side: nobody waits for what is under way.
    pub(crate) fn note_left(&self) {
        self.has_left.store(true, SeqCst);
        self.cancel(Cause::ClientGone);
    }

    /// Whether an event has said that the web server has closed its side.
    pub(crate) fn is_left(&self) -> bool {
        self.has_left.load(SeqCst)
    }

    /// Whether the web server has closed its side, asked now.
    pub(crate) fn has_left(&self) -> bool {
        self.has_left.load(SeqCst) || sys::has_left(self)
    }

    /// A request begins, as far as the connection is concerned.
    pub(crate) fn begin(&self, exchange: &Arc<Exchange>) {
        *lock(&self.exchange) = Some(Arc::clone(exchange));
        if self.has_left.load(SeqCst) {
            self.cancel(Cause::ClientGone);
        }
    }

    /// The request has ended.
    pub(crate) fn end(&self) {
        *lock(&self.exchange) = None;
        lock(&self.incoming).end();
    }

    /// Whether a request is under way.
    pub(crate) fn is_busy(&self) -> bool {
        lock(&self.exchange).is_some()
    }

    /// Stops the request that is under way.
    pub(crate) fn cancel(&self, cause: Cause) {
        // The guard must not be held: to cancel is to call the port, which uses this connection.
        let exchange = lock(&self.exchange).clone();
        if let Some(exchange) = exchange {
            exchange.cancel(cause);
        }
    }

    /// Ends the direction to the web server: it has all that it gets.
    pub(crate) fn linger(&self) {
        self.lingers.store(true, SeqCst);
        sys::end_output(self);
    }

    pub(crate) fn lingers(&self) -> bool {
        self.lingers.load(SeqCst)
    }

    /// Ends both directions: the web server sees it at once, whoever else has a copy of the socket.
    pub(crate) fn shut(&self) {
        if !self.is_shut.swap(true, SeqCst) {
            sys::shut(self);
        }
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.is_shut.load(SeqCst)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The connections by their tokens. A token names a place and how often it has been used, so that an event that comes late
/// finds nothing.
#[derive(Default)]
pub(crate) struct Table(Mutex<Places>);

#[derive(Default)]
struct Places {
    places: Vec<Place>,
    free: Vec<usize>,
}

#[derive(Default)]
struct Place {
    uses: u32,
    connection: Option<Arc<Connection>>,
}

impl Table {
    /// Adds the connection of a socket.
    pub(crate) fn add(&self, socket: OwnedFd) -> Arc<Connection> {
        let mut table = lock(&self.0);
        let index = table.free.pop().unwrap_or_else(|| {
            table.places.push(Place::default());
            table.places.len() - 1
        });
        let uses = table.places.get(index).map_or(0, |place| place.uses);
        let connection = Arc::new(Connection::new(socket, u64::from(uses) << 32 | index as u64));
        if let Some(place) = table.places.get_mut(index) {
            place.connection = Some(Arc::clone(&connection));
        }
        connection
    }

    pub(crate) fn get(&self, token: u64) -> Option<Arc<Connection>> {
        let table = lock(&self.0);
        let found = table.places.get((token & 0xffff_ffff) as usize)?.connection.as_ref()?;
        (found.token == token).then(|| Arc::clone(found))
    }

    pub(crate) fn remove(&self, token: u64) {
        let mut table = lock(&self.0);
        let index = (token & 0xffff_ffff) as usize;
        let Some(place) = table.places.get_mut(index) else { return };
        if place.connection.as_ref().is_some_and(|connection| connection.token == token) {
            place.connection = None;
            // The highest token is that of no connection.
            place.uses = place.uses.wrapping_add(1) & 0x7fff_ffff;
            table.free.push(index);
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        let table = lock(&self.0);
        table.places.len() - table.free.len()
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<Connection>> {
        lock(&self.0).places.iter().filter_map(|place| place.connection.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn one_thread_holds_a_connection_and_misses_nothing() {
        let connection = Connection::new(UnixStream::pair().unwrap().0.into(), 1);
        assert!(connection.hold());
        assert!(!connection.hold() && !connection.hold());
        assert!(!connection.release(), "something was noted");
        assert!(connection.release());
        assert!(connection.hold());
    }

    #[test]
    fn a_token_that_is_over_names_nothing() {
        let table = Table::default();
        let add = || table.add(UnixStream::pair().unwrap().0.into()).token();
        let (first, second) = (add(), add());
        assert!(table.get(first).is_some() && table.get(second).is_some() && table.len() == 2);
        table.remove(first);
        table.remove(first);
        let third = add();
        assert!(third != first && third & 0xffff_ffff == first & 0xffff_ffff);
        assert!(table.get(first).is_none() && table.get(third).is_some());
        assert_eq!((table.len(), table.all().len()), (2, 2));
    }
}
