// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the server's thread waits for a script, its client and the clock at once.

use std::{
    ffi::c_int,
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use gangway::sys::poll;

use super::{
    client::entry,
    exchange::{Exchange, GATHER, Ready},
};

/// How often a silent script's end is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl Exchange<'_, '_> {
    /// Sleeps until something may have changed. An error says that the client has left.
    pub(super) fn wait(&mut self, wants_client: bool) -> Result<Ready, c_int> {
        let now = Instant::now();
        if self.brief_until.take_if(|at| *at <= now).is_some() {
            self.habit.went_on();
            self.judged = true;
        }
        let running = &self.running;
        let client = self.request.socket().filter(|_| wants_client || !self.is_reset);
        let mut entries = [
            entry(Some(running.stdout.as_raw_fd())),
            entry(running.stderr.as_ref().map(AsRawFd::as_raw_fd)),
            entry(running.stdin.as_ref().filter(|_| self.written < self.chunk.len()).map(AsRawFd::as_raw_fd)),
            entry(client.map(|socket| socket.descriptor())),
        ];
        entries[2].events = libc::POLLOUT;
        if self.brief_until.is_some() {
            // Then poll(2) shows only that nobody can write any more.
            entries[0].events = 0;
        }
        // Input of the client matters while its body is wanted; its end only after that.
        let watches = self.cgi.abort() && self.body_ended;
        entries[3].events = match (wants_client, watches) {
            (true, _) => libc::POLLIN,
            (false, true) => libc::POLLRDHUP,
            (false, false) => 0,
        };
        let ends = [self.deadline(), self.gather_until, self.brief_until].into_iter().flatten();
        let first = ends.map(|at| at.saturating_duration_since(now)).min();
        // A stream of HTTP/2 has no socket to watch.
        let most = if wants_client && self.request.socket().is_none() { GATHER } else { LOOK_EVERY };
        poll(&mut entries, Some(first.map_or(most, |first| first.min(most))));
        let [stdout, stderr, _, client] = entries;
        // poll(2) shows a reset whether or not it was asked about the client, and would show it at once each time.
        self.is_reset |= client.revents & (libc::POLLHUP | libc::POLLERR) != 0 || self.request.is_aborted();
        let has_closed = watches && client.revents & libc::POLLRDHUP != 0;
        if self.cgi.abort() && (self.is_reset || has_closed) {
            return Err(self.client_left());
        }
        let hung_up = stdout.revents & libc::POLLHUP != 0;
        Ok(Ready { stdout: stdout.revents != 0, hung_up, stderr: stderr.revents != 0 })
    }
}
