// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the log says of requests that no process takes, in both servers.

use std::time::Duration;

use crate::{
    config::Managed,
    error::{DEADLINE, NO_PROCESS, NO_SOCKETS, QUEUE_DEADLINE, QUEUE_FULL},
    log::{Level, Line},
    protocol::websocket::Handshake,
};

/// So many wait already. `held`: refusals since the last line.
#[must_use]
pub fn full_line(managed: &Managed, held: u64) -> Line {
    let (name, queue, most, threads) =
        (managed.name(), managed.queue(), managed.life().most, managed.threads());
    let each = if threads > 1 { format!(" of threads={threads}") } else { String::new() };
    let more = more(held);
    let text = format!(
        "{name}: the request is refused, for queue={queue} requests wait for processes={most}{each}{more}; raise queue= or processes=, or make the application faster"
    );
    Line::error(QUEUE_FULL, text)
}

/// No process runs, and none could be started. `held`: refusals since the last line.
#[must_use]
pub fn down_line(managed: &Managed, held: u64) -> Line {
    let text = format!(
        "{}: the request is refused, for no process runs and the last ones did not start{}; lines before this one say why",
        managed.name(),
        more(held)
    );
    Line::error(NO_PROCESS, text)
}

/// Whether a request asks for a WebSocket of an application that has none here, and would have in the server's own processes.
pub fn asks_in_vain<'a>(managed: &Managed, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> bool {
    managed.misses_sockets() && Handshake::is_asked_for(fields)
}

/// It is served as one of plain HTTP, as RFC 9110 §7.8 has it. `held`: such requests since the last line.
#[must_use]
pub fn no_sockets_line(managed: &Managed, held: u64) -> Line {
    let more =
        if held > 0 { format!(" ({held} more have asked since the last line)") } else { String::new() };
    let text = format!(
        "{}: the client asks for a WebSocket, which an application in processes of its own cannot have: it gets the answer to a plain \
         GET{more}; remove processes= and user=, so that the application runs in the server's own processes",
        managed.name()
    );
    Line { level: Level::Warn, code: NO_SOCKETS, text }
}

/// The request has waited for so long.
#[must_use]
pub fn late_line(managed: &Managed, waited: Duration) -> Line {
    let text = format!(
        "{}: the request waited {}s for a process; raise processes= or timeout=",
        managed.name(),
        waited.as_secs()
    );
    Line::error(QUEUE_DEADLINE, text)
}

/// The process has given nothing for its timeout.
#[must_use]
pub fn silent_line(managed: &Managed, pid: u32) -> Line {
    let seconds = managed.timeout().unwrap_or_default().as_secs_f32();
    let text = format!(
        "{}: process {pid} gave no output for {seconds} seconds; it is ended. Raise timeout=, or look what it does",
        managed.name()
    );
    Line::error(DEADLINE, text)
}

fn more(held: u64) -> String {
    if held > 0 { format!(" ({held} more were refused since the last line)") } else { String::new() }
}
