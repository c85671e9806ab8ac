// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server's side of a WebSocket: from a client's connection to its [`SocketLink`] and back, without waiting.

use std::{
    cell::RefCell,
    os::fd::RawFd,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{SocketLink, busy, socket::LeaseNews};

/// Bytes that are read in one turn: a client that sends without end does not keep the others waiting.
const MOST: usize = 256 * 1024;

/// How long the last bytes of an end that both sides have agreed on may wait for their client.
const LAST_BYTES_WAIT: Duration = Duration::from_secs(5);

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What reading has given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportRead {
    /// So many bytes.
    Bytes(usize),
    /// Nothing at the moment.
    Later,
    /// Nothing in this turn of the server, in which others come: it is to be asked in the next one.
    NextTurn,
    /// The client has closed its side, or the connection has failed.
    End,
}

/// A client whose messages follow each other for so many turns, none of which is further from the one before or brings more than a little, has
/// its socket read by the handler's thread.
const BUSY_TURNS: u32 = 8;
const BUSY: Duration = Duration::from_millis(50);
/// How often the server looks whether that thread still reads: otherwise it does so itself, for a handler that is busy keeps no ping waiting.
const LEASE: Duration = Duration::from_millis(100);
/// For how long the server reads itself when the handler did not take what came.
const FULL: Duration = Duration::from_secs(1);

/// A client's connection. Nothing here waits.
pub trait Transport {
    /// Bytes that are read from it at a time.
    const PART: usize;

    /// Reads what has come.
    fn receive(&mut self, into: &mut [u8]) -> TransportRead;

    /// Takes bytes for the client; answers how many, 0 at the moment none.
    ///
    /// # Errors
    /// The connection has failed.
    fn transmit(&mut self, bytes: &[u8]) -> Result<usize, ConnectionLost>;

    /// Has what was taken leave. Answers whether all of it has, as it always has where nothing is kept.
    ///
    /// # Errors
    /// The connection has failed.
    fn flush(&mut self) -> Result<bool, ConnectionLost> {
        Ok(true)
    }

    /// The client's socket, if the same bytes may go there without this: nothing stands before it, and it is not closed before the pump of
    /// this connection has ended or has been dropped.
    fn shared(&self) -> Option<RawFd> {
        None
    }

    /// So many bytes have gone there.
    fn count(&mut self, _written: usize) {}

    /// Whether the handler's thread may also read from there, while this side does not watch it for that.
    fn can_lend(&self) -> bool {
        false
    }

    /// So many bytes have been read there.
    fn count_read(&mut self, _read: usize) {}
}

/// The client's connection has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLost;

/// How a WebSocket has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketEnd {
    /// Both sides have said what they had to.
    Agreed,
    /// The connection has failed, or its client takes nothing any more.
    Broken,
}

/// What a WebSocket waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PumpWait {
    /// When it is to be looked at, if nothing happens before.
    pub look_at: Option<Instant>,
    /// Bytes of the client are wanted.
    pub reads: bool,
    /// There may be more of them now.
    pub reads_on: bool,
    /// Something waits for the client to take more.
    pub is_stalled: bool,
    /// The client has taken something this time.
    pub has_progress: bool,
    /// Somebody else reads at the moment: what shows there is not to be looked at.
    pub is_lent: bool,
}

/// One WebSocket of this process.
pub struct SocketPump {
    link: Arc<SocketLink>,
    /// What the client has sent and the application is not ready for.
    unread: Vec<u8>,
    /// When it is closed because the process ends.
    drain: Option<Instant>,
    /// Until when the last bytes may wait.
    last_bytes: Option<Instant>,
    /// The handler's thread writes messages itself where it can.
    is_shared: bool,
    /// Turns in which something has come, one soon after the other, and the last of them.
    busy: u32,
    last_read: Option<Instant>,
    lending: Lending,
}

/// Who reads.
#[derive(Clone, Copy)]
enum Lending {
    /// The server.
    No,
    /// The handler's thread; when to look whether it still does.
    Until(Instant),
    /// The server, until then at least.
    NotBefore(Instant),
}

impl SocketPump {
    /// One whose answer to the handshake is on its way. `unread`: what has been read of the client behind that.
    #[must_use]
    pub fn new(link: Arc<SocketLink>, unread: Vec<u8>) -> Self {
        Self {
            link,
            unread,
            drain: None,
            last_bytes: None,
            is_shared: false,
            busy: 0,
            last_read: None,
            lending: Lending::No,
        }
    }

    /// Reads and writes what can be read and written now. Answers what it waits for.
    ///
    /// # Errors
    /// It has ended. Nobody else writes to the client's socket any more.
    pub fn step<T: Transport>(&mut self, transport: &mut T) -> Result<PumpWait, SocketEnd> {
        transport.count(self.link.look());
        let result = self.go_on(transport);
        if result.is_err() {
            self.keep(transport);
        }
        result
    }

    /// The socket is about to be closed.
    fn keep<T: Transport>(&self, transport: &mut T) {
        self.link.take_back();
        transport.count_read(self.link.ask(false).0);
        self.link.keep();
        transport.count(self.link.look());
    }

    fn go_on<T: Transport>(&mut self, transport: &mut T) -> Result<PumpWait, SocketEnd> {
        let read = self.read(transport);
        if read.is_err() {
            // This is the last turn: what the handler's thread is writing comes back, and what is behind it leaves now.
            self.link.keep();
        }
        self.look_at_time();
        let mut has_progress = false;
        let written =
            self.link.write(|bytes| transport.transmit(bytes).inspect(|count| has_progress |= *count > 0));
        let written = written.and_then(|is_all| Ok((is_all, transport.flush()?)));
        // A client may send its close frame and close its side at once: it has got the answer now.
        let (Ok(reads_on), Ok((is_written, has_left))) = (read, written) else {
            self.link.handle_end();
            return Err(SocketEnd::Broken);
        };
        let mut look_at = self.next_look();
        let is_over = self.link.is_over();
        if is_over {
            let now = Instant::now();
            let until = *self.last_bytes.get_or_insert(now + LAST_BYTES_WAIT);
            // A client that takes nothing has had its time to close.
            if !is_written || has_left || now >= until {
                return Err(SocketEnd::Agreed);
            }
            look_at = Some(until);
        }
        if !self.is_shared && is_written && has_left {
            // Once: what stands before it does not change.
            self.is_shared = true;
            if let Some(socket) = transport.shared() {
                self.link.share(socket);
            }
        }
        let reads = !is_over && self.link.wants_input();
        let mut wait = PumpWait {
            look_at,
            reads,
            reads_on: reads && reads_on,
            is_stalled: !(is_written && has_left),
            has_progress,
            is_lent: false,
        };
        self.lend(transport, &wait);
        if let Lending::Until(at) = self.lending {
            wait.is_lent = true;
            wait.look_at = wait.look_at.into_iter().chain([at]).min();
        }
        Ok(wait)
    }

    /// Lends reading to the handler's thread, where the client is busy and nothing is left of what it has said.
    fn lend<T: Transport>(&mut self, transport: &T, wait: &PumpWait) {
        let is_quiet = wait.reads && !wait.reads_on && !wait.is_stalled && self.unread.is_empty();
        if self.busy < BUSY_TURNS || !is_quiet || self.drain.is_some() {
            return;
        }
        let now = Instant::now();
        match self.lending {
            Lending::Until(_) => return,
            Lending::NotBefore(at) if now < at => return,
            Lending::NotBefore(_) | Lending::No => {}
        }
        if transport.can_lend() && self.link.lend() {
            self.lending = Lending::Until(now + LEASE);
        }
    }

    /// Whether the handler's thread goes on to read.
    fn is_lent<T: Transport>(&mut self, transport: &mut T) -> bool {
        let Lending::Until(at) = self.lending else { return false };
        let now = Instant::now();
        let is_due = now >= at;
        if self.link.deadline().is_some_and(|deadline| now >= deadline) {
            // What has come by then comes first.
            self.link.take_back();
        }
        let (count, news) = self.link.ask(is_due);
        transport.count_read(count);
        match news {
            LeaseNews::GoesOn if is_due => self.lending = Lending::Until(now + LEASE),
            LeaseNews::GoesOn => {}
            LeaseNews::Back(rest) => {
                self.busy = 0;
                self.lending = if rest.is_empty() { Lending::No } else { Lending::NotBefore(now + FULL) };
                self.unread = rest;
                return false;
            }
        }
        true
    }

    /// The connection has failed, which this side sees first: it reads again.
    pub fn take_back(&self) {
        self.link.take_back();
    }

    /// So much has come in this turn.
    fn note_read(&mut self, count: usize) {
        let now = Instant::now();
        let is_soon = self.last_read.replace(now).is_some_and(|last| now - last < BUSY);
        self.busy = if is_soon && count < busy::PART { self.busy.saturating_add(1) } else { 0 };
    }

    /// The client has taken nothing for too long, or cannot any more.
    pub fn give_up(&self) {
        self.link.handle_end();
        self.link.keep();
    }

    fn look_at_time(&self) {
        if self.drain.is_some_and(|at| Instant::now() >= at) {
            self.link.restart();
        }
        // Asked for again when everything has been done.
        let _ = self.link.handle_time();
    }

    /// Nothing is done here: it would not be written.
    fn next_look(&self) -> Option<Instant> {
        let drain = self.drain.filter(|_| !self.link.is_closed());
        self.link.deadline().into_iter().chain(drain).min()
    }

    /// Gives the core what the client has sent. Answers whether more may be there.
    fn read<T: Transport>(&mut self, transport: &mut T) -> Result<bool, ConnectionLost> {
        if self.is_lent(transport) {
            return Ok(false);
        }
        if !self.unread.is_empty() {
            let taken = self.link.handle_bytes(&self.unread);
            self.unread.drain(..taken.min(self.unread.len()));
            if !self.unread.is_empty() {
                return Ok(false);
            }
            self.unread = Vec::new();
        }
        let mut read = 0_usize;
        let result = BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(T::PART, 0);
            for _ in 0..MOST / T::PART {
                if !self.link.wants_input() {
                    // What the connection has decrypted already does not make its descriptor readable.
                    return Ok(true);
                }
                match transport.receive(buffer) {
                    TransportRead::Later => return Ok(false),
                    TransportRead::NextTurn => return Ok(true),
                    TransportRead::End => return Err(ConnectionLost),
                    TransportRead::Bytes(count) => {
                        read = read.saturating_add(count);
                        let bytes = buffer.get(..count).unwrap_or_default();
                        let taken = self.link.handle_bytes(bytes);
                        if taken < count {
                            // It comes before all that is still to be read.
                            self.unread.extend_from_slice(bytes.get(taken..).unwrap_or_default());
                            return Ok(true);
                        }
                    }
                }
            }
            Ok(true)
        });
        if read > 0 {
            self.note_read(read);
        }
        result
    }

    /// The process ends: when it is closed, spread over `most` by `number`.
    pub fn drain(&mut self, most: Duration, number: u64) {
        // Fibonacci hashing: numbers that follow each other are far apart.
        let share = (number as u32).wrapping_mul(0x9e37_79b9);
        let after = most.mul_f64(f64::from(share) / f64::from(u32::MAX));
        self.drain.get_or_insert_with(|| Instant::now() + after);
    }

    /// Says that the service ends, as far as that can be said at once.
    pub fn end_now(&self, transport: &mut impl Transport) {
        self.link.keep();
        self.link.restart();
        // It ends in any case.
        let _ = self.link.write(|bytes| transport.transmit(bytes));
        let _ = transport.flush();
    }
}

impl Drop for SocketPump {
    fn drop(&mut self) {
        self.link.keep();
    }
}
