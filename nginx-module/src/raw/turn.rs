// SPDX-License-Identifier: MIT OR Apache-2.0
//! How much of a turn of the event loop WebSockets may take: nginx does all that has happened behind each other before it looks at what is
//! new, and many clients at once may each have sent a message that takes its time, such as one to decompress.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use super::Msec;

/// So long all of them together, and one message more.
const SHARE: Duration = Duration::from_millis(10);

thread_local! {
    static TURN: Cell<Option<Turn>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
struct Turn {
    /// nginx's clock stands still within a turn.
    number: u64,
    since: Instant,
    spent: Duration,
    /// The present work, on one connection.
    begun: Instant,
}

/// Reading of one connection in this turn, until this is dropped.
pub(crate) struct TurnWork(());

impl TurnWork {
    pub(crate) fn begin() -> Self {
        let (number, begun) = (Msec::now().number(), Instant::now());
        // With `timer_resolution` the clock stands still over many turns: then this is half of the time.
        let is_same = |turn: &Turn| {
            turn.number == number && begun.duration_since(turn.since) < 2 * turn.spent.max(SHARE)
        };
        let turn = TURN.get().filter(is_same);
        let turn = turn.unwrap_or(Turn { number, since: begun, spent: Duration::ZERO, begun });
        TURN.set(Some(Turn { begun, ..turn }));
        Self(())
    }
}

impl Drop for TurnWork {
    fn drop(&mut self) {
        if let Some(turn) = TURN.get() {
            TURN.set(Some(Turn { spent: turn.spent + turn.begun.elapsed(), ..turn }));
        }
    }
}

/// Whether the rest is for the next turn.
pub(super) fn is_over() -> bool {
    TURN.get().is_some_and(|turn| turn.spent + turn.begun.elapsed() >= SHARE)
}
