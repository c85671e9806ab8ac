// SPDX-License-Identifier: MIT OR Apache-2.0
//! What happens on a connection with lanes. The caller holds the connection, as far as it reads.

use std::{
    os::fd::AsFd,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use gangway::{
    exchange::Cause,
    sys::{enlarge, lock},
};

use super::{
    Job, Server,
    talk::{self, Step},
};
use crate::{
    clock::Clock,
    connection::Connection,
    lanes::{LaneMessage, LanePort, LaneRequest, LaneTable},
    outgoing::{Outgoing, Page},
    port::{Outcome, RequestPort},
    variables::{self, ToldRequest},
};

/// Bytes that may be on their way to a worker, where the system allows it: several large responses.
const ROOM: usize = 1024 * 1024;
/// Responses that may wait for each other.
const LATE_MOST: usize = 16;

impl Server {
    /// A worker has several requests on the connection from here on.
    pub(super) fn open_lanes(&self, connection: &Arc<Connection>) {
        let table = Arc::new(LaneTable::new(connection, &self.epoll));
        lock(&self.lanes).insert(connection.token(), table);
        connection.open_lanes();
        enlarge(connection.as_fd(), ROOM);
    }

    /// The requests of a connection that has several.
    pub(super) fn lanes_of(&self, token: u64) -> Option<Arc<LaneTable>> {
        lock(&self.lanes).get(&token).cloned()
    }

    /// Stops the requests of a connection.
    pub(super) fn cancel_lanes(&self, connection: &Connection, cause: Cause) {
        if connection.has_lanes()
            && let Some(table) = self.lanes_of(connection.token())
        {
            table.cancel(cause);
        }
    }

    /// The connection is closed. Who still runs a handler keeps what that needs.
    pub(super) fn close_lanes(&self, connection: &Connection) {
        let table = lock(&self.lanes).remove(&connection.token());
        if let Some(table) = table.filter(|_| connection.has_lanes()) {
            table.clear();
        }
    }

    /// Reads what has come. Requests go into the queue.
    pub(super) fn step_lanes(&self, table: &Arc<LaneTable>, buffer: &mut [u8]) -> Step {
        let connection = table.connection();
        if !table.unblock() {
            return Step::Close;
        }
        talk::read(connection, buffer, |bytes| self.take_lanes(table, bytes))
    }

    fn take_lanes(&self, table: &Arc<LaneTable>, mut input: &[u8]) -> Step {
        let mut jobs = Vec::new();
        let step = loop {
            let taken = lock(table.incoming()).take(&mut input);
            match taken {
                Ok(None) => break Step::Idle,
                Ok(Some(message)) => jobs.extend(self.lane_message(table, message)),
                Err(error) => {
                    self.complain(format_args!("a worker broke FastCGI: {error}; its connection is closed"));
                    break Step::Close;
                }
            }
        };
        self.queue_lanes(jobs);
        step
    }

    fn lane_message(&self, table: &Arc<LaneTable>, message: LaneMessage) -> Option<Job> {
        match message {
            LaneMessage::Request(request) => return self.lane_request(table, request),
            LaneMessage::TooLong(id) => {
                self.complain(format_args!("a request is refused: its body is too long for its connection"));
                refuse(table, id, Page::BadRequest);
            }
            LaneMessage::TooLarge(id) => {
                self.complain(format_args!("a request is refused: its variables are too large"));
                refuse(table, id, Page::TooLarge);
            }
            LaneMessage::Aborted(id) => table.abort(id),
            LaneMessage::Withdrawn(id) => refuse(table, id, Page::BadRequest),
            LaneMessage::Granted(id, bytes) => {
                if let Some(port) = table.port(id) {
                    port.grant(bytes);
                }
            }
            LaneMessage::Reply(bytes) => {
                table.post(Outgoing::bytes(&bytes), false);
            }
        }
        None
    }

    fn lane_request(&self, table: &Arc<LaneTable>, request: LaneRequest) -> Option<Job> {
        let LaneRequest { id, pairs, body, .. } = request;
        let head = variables::head(&pairs, body.is_empty(), self.rules);
        lock(table.incoming()).give_back(pairs);
        match head {
            Ok(ToldRequest { head, waited }) => {
                let port = LanePort::new(table, id, Clock::of_one_that_waited(waited));
                let port = Arc::new(port.with_body(body, head.content_length));
                let job = self.job(head, Arc::<LanePort>::clone(&port));
                table.begin(id, port, &job.exchange);
                Some(job)
            }
            Err(defect) => {
                self.complain(format_args!("a request is refused: {}", defect.text()));
                refuse(table, id, Page::BadRequest);
                None
            }
        }
    }

    /// Lets requests wait for a thread: mostly the one that has read them.
    fn queue_lanes(&self, jobs: Vec<Job>) {
        if jobs.is_empty() {
            return;
        }
        let mut refused = Vec::new();
        let mut waiting = lock(&self.waiting);
        // What a thread without a request takes at once does not wait.
        let idle = self.threads.saturating_sub(self.busy.load(SeqCst));
        let most = self.application.config().queue().saturating_add(idle);
        for job in jobs {
            if waiting.len() < most { waiting.push_back(job) } else { refused.push(job) }
        }
        self.count.store(waiting.len(), SeqCst);
        drop(waiting);
        for job in refused {
            self.tell_full(&job);
            job.port.refuse(Page::Unavailable);
        }
    }

    /// A response has been given. Answers nothing: nobody holds the connection.
    pub(super) fn lane_ended(&self, connection: &Arc<Connection>, is_late: bool) {
        if is_late {
            let mut late = lock(&self.late);
            late.1 += 1;
            if !late.0.contains(&connection.token()) {
                late.0.push(connection.token());
            }
            let is_enough = late.1 >= LATE_MOST;
            drop(late);
            self.has_late.store(true, SeqCst);
            if is_enough || self.is_saturated() {
                self.send_late();
            } else {
                self.pace.look_soon();
            }
        }
        if self.is_ending() && connection.hold() && !self.let_go(connection) {
            // There is something to read, which somebody must do.
            let mut buffer = vec![0; super::READ];
            let _ = self.advance(connection, &mut buffer);
            self.wake_for_waiting();
        }
    }

    /// Sends the responses that wait for each other.
    pub(crate) fn send_late(&self) {
        if !self.has_late.load(SeqCst) || !self.has_late.swap(false, SeqCst) {
            return;
        }
        let mut late = lock(&self.late);
        late.1 = 0;
        let connections = std::mem::take(&mut late.0);
        drop(late);
        for table in connections.into_iter().filter_map(|token| self.lanes_of(token)) {
            table.send();
        }
    }

    /// Whether the response to a request that has just ended may wait for those behind it.
    pub(crate) fn may_be_late(&self) -> bool {
        self.count.load(SeqCst) > 0 && !self.is_saturated()
    }
}

/// Answers a request that no handler gets.
fn refuse(table: &Arc<LaneTable>, id: u16, page: Page) {
    LanePort::new(table, id, Clock::of_one_that_waited(Duration::ZERO)).refuse(page);
}

impl Outcome {
    /// Whether the connection is held for the request.
    pub(crate) fn late_in_lane(self) -> Option<bool> {
        match self {
            Self::InLane { is_late } => Some(is_late),
            Self::Kept | Self::Blocked | Self::Close => None,
        }
    }
}
