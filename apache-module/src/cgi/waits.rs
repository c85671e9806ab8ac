// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the server's thread waits for a script, its client and the clock at once.

use std::{
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use gangway::{run::Extent, sys::poll};

use super::{
    client::{LOOK_EVERY, entry},
    exchange::{Answer, Ready, ScriptExchange},
};
use crate::raw::OK;

/// How often a stream of HTTP/2, which has no socket to watch, is asked for more.
const ASK_EVERY: Duration = Duration::from_millis(2);

impl ScriptExchange<'_, '_> {
    /// Sleeps until something may have changed. An error says that the client has left.
    pub(super) fn wait(&mut self, wants_client: bool, until: Option<Instant>) -> Result<Ready, Answer> {
        let left = until.map(|at| at.saturating_duration_since(Instant::now()));
        if self.relay.awaits_cause() {
            self.running.end.wait(left.unwrap_or(LOOK_EVERY));
            return Ok(Ready::default());
        }
        let (pipes, socket) = (&self.pipes, self.request.socket());
        let client = socket.filter(|_| wants_client || !self.is_reset);
        let mut entries = [
            entry(Some(pipes.stdout.as_raw_fd())),
            entry(pipes.stderr.as_ref().map(AsRawFd::as_raw_fd)),
            entry(self.feed.waits_for().map(AsRawFd::as_raw_fd)),
            entry(client.map(|socket| socket.descriptor())),
        ];
        entries[2].events = libc::POLLOUT;
        if self.relay.waits_for_end_alone() {
            // Then poll(2) shows only that nobody can write any more.
            entries[0].events = 0;
        }
        // Input of the client matters while its body is wanted; its end only after that.
        let watches = self.abort && self.feed.has_all();
        entries[3].events = match (wants_client, watches) {
            (true, _) => libc::POLLIN,
            (false, true) => libc::POLLRDHUP,
            (false, false) => 0,
        };
        let most = if wants_client && socket.is_none() { ASK_EVERY } else { LOOK_EVERY };
        poll(&mut entries, Some(left.map_or(most, |left| left.min(most))));
        let [stdout, stderr, _, client] = entries;
        // poll(2) shows a reset whether or not it was asked about the client, and would show it at once each time.
        self.is_reset |= client.revents & (libc::POLLHUP | libc::POLLERR) != 0 || self.request.is_aborted();
        let has_closed = watches && client.revents & libc::POLLRDHUP != 0;
        if self.abort && (self.is_reset || has_closed) {
            return Err(Answer { status: OK, extent: Extent::Part });
        }
        let hung_up = stdout.revents & libc::POLLHUP != 0;
        Ok(Ready { stdout: stdout.revents != 0, hung_up, stderr: stderr.revents != 0 })
    }
}
