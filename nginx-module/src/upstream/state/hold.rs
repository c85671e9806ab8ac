// SPDX-License-Identifier: MIT OR Apache-2.0
//! The wait of a head for its body.
//!
//! ```text
//! Open    -> Waiting            the head's last byte is kept back
//! Waiting -> Paused             the backend says nothing for as long as gangway_flush_wait
//! Waiting, Paused -> Told       nginx reads the byte again, or the wait is broken off
//! Waiting, Paused -> Broken     the same, and the connection has failed behind the head
//! any but Never   -> Open       another backend is asked
//! ```

use std::cell::{Cell, RefCell};

use nginx_sys::ngx_recv_pt;

use crate::raw::{Connection, Timer, Upstream};

/// Where the wait is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::upstream) enum Wait {
    /// There is no other backend to ask, and no connection whose end says anything: no head waits.
    Never,
    /// No head of this response has waited.
    #[default]
    Open,
    Waiting,
    /// The head waits, and the backend pauses: the next read gives the byte.
    Paused,
    /// The head has waited: no second time.
    Told,
    /// The connection has failed behind the head, which the next read is to say once more.
    Broken,
}

/// What happens to the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum WaitChange {
    Begun,
    Paused,
    Told,
    Broken,
    Restarted,
}

impl Wait {
    /// The state after a change. What means nothing in a state leaves it as it is.
    pub(in crate::upstream) fn after(self, change: WaitChange) -> Self {
        match (self, change) {
            (Self::Never, _) => Self::Never,
            (_, WaitChange::Restarted) => Self::Open,
            (Self::Open, WaitChange::Begun) => Self::Waiting,
            (Self::Waiting, WaitChange::Paused) => Self::Paused,
            (Self::Waiting | Self::Paused, WaitChange::Told) => Self::Told,
            (Self::Waiting | Self::Paused, WaitChange::Broken) => Self::Broken,
            (state, _) => state,
        }
    }

    /// Whether the byte has been kept back once.
    fn was(self) -> bool {
        matches!(self, Self::Waiting | Self::Paused | Self::Told | Self::Broken)
    }
}

/// The byte that is kept back.
#[derive(Clone, Copy)]
pub(in crate::upstream) struct Kept {
    pub(in crate::upstream) byte: u8,
    /// It is of the head, and not of what follows it in the protocol's framing.
    pub(in crate::upstream) in_head: bool,
}

/// The wait of one response.
#[derive(Default)]
pub(in crate::upstream) struct HeadHold {
    wait: Cell<Wait>,
    kept: Cell<Option<Kept>>,
    /// What the connection reads with, while another function is in its place.
    receive: Cell<ngx_recv_pt>,
    timer: RefCell<Option<Timer>>,
}

impl HeadHold {
    pub(in crate::upstream) fn wait(&self) -> Wait {
        self.wait.get()
    }

    /// No head of this request waits.
    pub(in crate::upstream) fn switch_off(&self) {
        self.wait.set(Wait::Never);
    }

    /// Keeps the byte back. Until it is told, the connection reads with `receive`.
    pub(in crate::upstream) fn begin(
        &self,
        kept: Kept,
        connection: Connection,
        receive: ngx_recv_pt,
        timer: Timer,
    ) {
        self.wait.set(self.wait.get().after(WaitChange::Begun));
        self.kept.set(Some(kept));
        self.receive.set(connection.receiver());
        connection.set_receiver(receive);
        self.timer.replace(Some(timer));
    }

    pub(in crate::upstream) fn pause(&self) {
        self.wait.set(self.wait.get().after(WaitChange::Paused));
    }

    /// What the connection read with before, and the byte, while the head waits.
    pub(in crate::upstream) fn waiting(&self) -> Option<(ngx_recv_pt, Kept)> {
        self.kept.get().filter(|_| self.receive.get().is_some()).map(|kept| (self.receive.get(), kept))
    }

    /// Takes the head's last byte once more, if it was kept back. Answers whether the head has waited: it is whole.
    pub(in crate::upstream) fn end(&self, upstream: Upstream) -> bool {
        let was = self.wait.get().was();
        if was && self.kept.get().is_some_and(|kept| kept.in_head) {
            upstream.take(1);
        }
        was
    }

    /// Whether there is nothing to read any more, but an error to tell.
    pub(in crate::upstream) fn is_broken(&self) -> bool {
        self.wait.get() == Wait::Broken
    }

    /// Ends the wait. The connection reads as before, if there still is one.
    pub(in crate::upstream) fn stop(&self, connection: Option<Connection>, change: WaitChange) {
        self.wait.set(self.wait.get().after(change));
        self.timer.replace(None);
        if let Some(receive) = self.receive.take()
            && let Some(connection) = connection
        {
            connection.set_receiver(Some(receive));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_goes_where_the_table_says() {
        use Wait::{Broken, Never, Open, Paused, Told, Waiting};
        const STATES: [Wait; 6] = [Never, Open, Waiting, Paused, Told, Broken];
        // A row for each change, a column for each state.
        for (change, after) in [
            (WaitChange::Begun, [Never, Waiting, Waiting, Paused, Told, Broken]),
            (WaitChange::Paused, [Never, Open, Paused, Paused, Told, Broken]),
            (WaitChange::Told, [Never, Open, Told, Told, Told, Broken]),
            (WaitChange::Broken, [Never, Open, Broken, Broken, Told, Broken]),
            (WaitChange::Restarted, [Never, Open, Open, Open, Open, Open]),
        ] {
            assert_eq!(STATES.map(|state| state.after(change)), after, "{change:?}");
        }
        assert_eq!(STATES.map(Wait::was), [false, false, true, true, true, true]);
    }
}
