// SPDX-License-Identifier: MIT OR Apache-2.0
//! What happens on one connection, between the arrival of bytes and the end of a response. The caller holds the connection.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gangway::{
    error::REQUEST_REFUSED,
    exchange::Cause,
    log::{self, Level},
    protocol::fastcgi,
    supervise::TAKEN_FROM,
    sys::lock,
};

use super::{Job, READ, Server};
use crate::{
    clock::Clock,
    connection::Connection,
    incoming::{Begun, Message},
    outgoing::{Outgoing, Page, Sent},
    port::{HostPort, Outcome},
    sys::{self, Readiness},
    variables::{self, ToldRequest},
};

/// How long a connection that has its response may still send before it is closed.
const LINGER: Duration = Duration::from_secs(5);

impl Server {
    /// Goes on with a connection that the caller holds. Answers a request that is to be run; the connection stays held for it.
    pub(crate) fn advance(&self, connection: &Arc<Connection>, buffer: &mut [u8]) -> Option<Job> {
        loop {
            match self.step(connection, buffer) {
                Step::Run(job) => return Some(job),
                Step::Close => {
                    self.close(connection);
                    return None;
                }
                Step::Again => {}
                Step::Idle => {
                    if self.let_go(connection) {
                        return None;
                    }
                }
            }
        }
    }

    /// Lets go of a connection that has nothing to do. Answers whether that is so.
    pub(super) fn let_go(&self, connection: &Connection) -> bool {
        if self.is_ending() && self.is_idle(connection) {
            self.close(connection);
            return true;
        }
        connection.release()
    }

    /// Whether it may be closed: no request is under way, no record has begun, and nothing waits to leave.
    fn is_idle(&self, connection: &Connection) -> bool {
        let alone = || lock(connection.incoming()).is_idle() && lock(connection.outgoing()).is_empty();
        let table = connection.has_lanes().then(|| self.lanes_of(connection.token())).flatten();
        table.map_or_else(alone, |table| table.is_idle())
    }

    fn step(&self, connection: &Arc<Connection>, buffer: &mut [u8]) -> Step {
        if connection.lingers() {
            // It has its response: what still comes is thrown away.
            return read(connection, buffer, |_| Step::Idle);
        }
        if connection.has_lanes() {
            let table = self.lanes_of(connection.token());
            return table.map_or(Step::Close, |table| self.step_lanes(&table, buffer));
        }
        if !self.flush(connection) {
            return Step::Close;
        }
        if !self.rules.is_managed {
            connection.expect_no_words();
        }
        read(connection, buffer, |bytes| self.take(connection, bytes))
    }

    /// Sends what waits. Answers whether the connection is whole.
    fn flush(&self, connection: &Connection) -> bool {
        let mut outgoing = lock(connection.outgoing());
        if outgoing.is_empty() {
            return !outgoing.ends_connection();
        }
        match outgoing.send(connection) {
            Ok(Sent::Blocked) => true,
            Ok(Sent::All) => {
                let ends = outgoing.ends_connection();
                *outgoing = Outgoing::default();
                drop(outgoing);
                let _ = self.epoll.change(connection, Readiness::Arrivals, connection.token());
                !ends
            }
            Err(_broken) => false,
        }
    }

    /// Decodes what has come.
    fn take(&self, connection: &Arc<Connection>, mut input: &[u8]) -> Step {
        loop {
            let taken = lock(connection.incoming()).take(&mut input);
            let step = match taken {
                Ok(None) => return Step::Idle,
                Ok(Some(Message::Request(begun))) => return self.request(connection, begun, input),
                Ok(Some(Message::TooLarge(begun))) => {
                    self.complain(format_args!("a request is refused: its variables are too large"));
                    self.answer(connection, begun, Page::TooLarge)
                }
                // It gets its end, and nobody reads what stands before that.
                Ok(Some(Message::Aborted(begun))) => self.answer(connection, begun, Page::BadRequest),
                Ok(Some(Message::Lanes(bytes))) => {
                    let outcome = Self::post(connection, Outgoing::bytes(&bytes), true);
                    if self.settle(connection, outcome) {
                        return Step::Close;
                    }
                    self.open_lanes(connection);
                    lock(connection.incoming()).keep(input);
                    Step::Again
                }
                Ok(Some(Message::Reply { bytes, keep_connection })) => {
                    let outcome = Self::post(connection, Outgoing::bytes(&bytes), keep_connection);
                    if self.settle(connection, outcome) { Step::Close } else { Step::Idle }
                }
                Err(error) => {
                    self.complain(format_args!(
                        "a web server broke FastCGI: {error}; its connection is closed"
                    ));
                    Step::Close
                }
            };
            if let Step::Close | Step::Again = step {
                return step;
            }
        }
    }

    /// A request whose variables are whole; `input` is what came behind them.
    fn request(&self, connection: &Arc<Connection>, begun: Begun, mut input: &[u8]) -> Step {
        let mut incoming = lock(connection.incoming());
        let is_whole = incoming.look_ahead(&mut input);
        // Its body, or the next request: both are for later.
        incoming.keep(input);
        let head = variables::head(incoming.variables(), is_whole, self.rules);
        drop(incoming);
        match head {
            Ok(ToldRequest { head, waited }) => {
                let clock = Clock::of_one_that_waited(waited);
                let length = head.content_length;
                if self.rules.is_managed && length.is_none_or(|length| length > TAKEN_FROM) {
                    // What is wrong with the connection is found by who sends the response.
                    Self::post(connection, Outgoing::bytes(&fastcgi::taken(begun.id)), true);
                }
                let port = HostPort::new(connection, begun, length, clock);
                let port = Arc::new(if self.rules.is_managed { port.of_ours() } else { port });
                let job = self.job(head, port);
                connection.begin(&job.exchange);
                Step::Run(job)
            }
            Err(defect) => {
                self.complain(format_args!("a request is refused: {}", defect.text()));
                match self.answer(connection, begun, Page::BadRequest) {
                    Step::Close => Step::Close,
                    // What was kept is looked at in the next round.
                    _ => Step::Again,
                }
            }
        }
    }

    /// Answers a request that no handler gets.
    fn answer(&self, connection: &Connection, begun: Begun, page: Page) -> Step {
        let mut outgoing = Outgoing::default();
        outgoing.page(begun.id, page);
        outgoing.end(begun.id);
        connection.end();
        let outcome = Self::post(connection, outgoing, begun.keep_connection);
        if self.settle(connection, outcome) { Step::Close } else { Step::Idle }
    }

    fn post(connection: &Connection, more: Outgoing, keep_connection: bool) -> Outcome {
        let mut outgoing = lock(connection.outgoing());
        outgoing.append(more);
        match outgoing.send(connection) {
            Ok(Sent::Blocked) => {
                if !keep_connection {
                    outgoing.end_connection();
                }
                Outcome::Blocked
            }
            Ok(Sent::All) if keep_connection => {
                *outgoing = Outgoing::default();
                Outcome::Kept
            }
            Ok(Sent::All) | Err(_) => Outcome::Close,
        }
    }

    /// What becomes of a connection after a response. Answers whether it is to be closed.
    fn settle(&self, connection: &Connection, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Kept | Outcome::InLane { .. } => false,
            Outcome::Blocked => {
                // Told again if there is room by now.
                self.epoll.change(connection, Readiness::Both, connection.token()).is_err()
            }
            Outcome::Close => true,
        }
    }

    /// The response of a request has ended. The caller holds the connection; the answer is as that of [`Server::advance`].
    pub(crate) fn ended(
        &self,
        connection: &Arc<Connection>,
        outcome: Outcome,
        buffer: &mut [u8],
    ) -> Option<Job> {
        if let Some(is_late) = outcome.late_in_lane() {
            self.lane_ended(connection, is_late);
            return None;
        }
        let is_whole = Self::is_whole(connection, buffer);
        connection.end();
        if self.settle(connection, outcome) || connection.is_shut() {
            if is_whole || connection.is_shut() || connection.has_left() {
                self.close(connection);
                return None;
            }
            // To close the socket now would take the response away from a web server that still sends.
            connection.linger();
            lock(&self.lingering).push((connection.token(), Instant::now() + LINGER));
            self.wake_keeper();
        }
        // Most of the time nothing has come behind the request.
        if !connection.is_left() && lock(connection.incoming()).is_idle() && self.let_go(connection) {
            return None;
        }
        self.advance(connection, buffer)
    }

    /// Whether all of a request has come whose handler reads no more: often only the end of the body is left.
    fn is_whole(connection: &Connection, buffer: &mut [u8]) -> bool {
        let mut incoming = lock(connection.incoming());
        if !incoming.is_whole()
            && incoming.kept() < READ
            && let Ok(Some(count)) = sys::receive(connection, buffer)
        {
            incoming.keep(buffer.get(..count).unwrap_or_default());
        }
        // What breaks the protocol is found by who takes it.
        while !incoming.is_whole() && matches!(incoming.body(buffer), Ok(1..)) {}
        incoming.is_whole()
    }

    /// A connection whose request runs has something. Only who knows that its handler reads no more may look what it is.
    pub(super) fn look_for_abort(&self, connection: &Connection, buffer: &mut [u8]) {
        let Ok(mut incoming) = connection.incoming().try_lock() else { return };
        if !incoming.is_whole() || !connection.is_busy() {
            return;
        }
        // What does not fit is looked at when the request has ended: its holder knows that there is something.
        if incoming.kept() < READ
            && let Ok(Some(count)) = sys::receive(connection, buffer)
        {
            incoming.keep(buffer.get(..count).unwrap_or_default());
        }
        let aborted = incoming.is_aborted();
        drop(incoming);
        if aborted {
            connection.cancel(Cause::ClientGone);
        }
    }

    pub(super) fn complain(&self, text: std::fmt::Arguments<'_>) {
        if let Some(held) = self.defects.pass(Instant::now()) {
            let more = if held > 0 {
                format!(" ({held} more lines like this were held back)")
            } else {
                String::new()
            };
            log::coded(Level::Warn, REQUEST_REFUSED, format_args!("{text}{more}"));
        }
    }
}

/// Gives `take` what was kept and what has come, until that is all or `take` has something else to be done.
pub(super) fn read(connection: &Connection, buffer: &mut [u8], mut take: impl FnMut(&[u8]) -> Step) -> Step {
    let rest = lock(connection.incoming()).take_rest();
    if !rest.is_empty() {
        match take(&rest) {
            Step::Idle => {}
            other => return other,
        }
    }
    loop {
        let count = match connection.receive(buffer) {
            Ok(None) => return Step::Idle,
            Ok(Some(0)) | Err(_) => return Step::Close,
            Ok(Some(count)) => count,
        };
        let size = buffer.len();
        match take(buffer.get(..count).unwrap_or_default()) {
            // A socket that gave less than it was asked for has no more but its end, of which there was an event.
            Step::Idle if count < size && !connection.is_left() => return Step::Idle,
            Step::Idle => {}
            other => return other,
        }
    }
}

/// What comes next on a connection.
pub(super) enum Step {
    Run(Job),
    Close,
    /// Something was kept that must be looked at.
    Again,
    Idle,
}
