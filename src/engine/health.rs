// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether an application can run, as its engine says: one that cannot be loaded answers its requests with errors, and may heal. And what its
//! event loop can wait for, if it has one.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock},
};

use crate::{exchange::BusySockets, sys::lock};

/// The longest reason that is kept, in bytes.
const REASON_MOST: usize = 1024;

/// Is told of each change: the reason why the application cannot run, which is empty when it can.
type Listener = dyn Fn(&str) + Send + Sync;

/// What an engine says of one application.
#[derive(Default)]
pub struct Health {
    /// Empty: it runs, or nothing else is known.
    reason: Mutex<String>,
    listener: OnceLock<Box<Listener>>,
    /// Once the engine has asked for it. Without a descriptor there is none.
    busy: OnceLock<Option<Arc<BusySockets>>>,
}

impl Health {
    /// Has each change told, and what is known now if the application cannot run. The first who asks for it is told.
    pub fn listen(&self, listener: impl Fn(&str) + Send + Sync + 'static) {
        let reason = lock(&self.reason);
        if self.listener.set(Box::new(listener)).is_ok() && !reason.is_empty() {
            self.tell(&reason);
        }
    }

    /// It cannot run for this reason, or, if that is empty, it can.
    pub fn say(&self, reason: &str) {
        let end = (0..=REASON_MOST).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or_default();
        let reason = if reason.len() > REASON_MOST { reason.get(..end).unwrap_or_default() } else { reason };
        let mut known = lock(&self.reason);
        if *known != reason {
            reason.clone_into(&mut known);
            self.tell(&known);
        }
    }

    /// The WebSockets that the thread of its event loop reads from, which it has asked for.
    pub fn busy_sockets(&self) -> Option<&Arc<BusySockets>> {
        self.busy.get()?.as_ref()
    }

    /// The same, for the event loop that asks for it.
    pub(super) fn watch_busy_sockets(&self) -> Option<&Arc<BusySockets>> {
        self.busy.get_or_init(|| BusySockets::new().ok().map(Arc::new)).as_ref()
    }

    /// With the lock, so that changes are told in their order.
    fn tell(&self, reason: &str) {
        if let Some(listener) = self.listener.get() {
            listener(reason);
        }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("reason", &lock(&self.reason)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn changes_are_told_once_and_what_is_known_to_who_comes_late() {
        let (health, told) = (Health::default(), Arc::new(Mutex::new(Vec::new())));
        health.say("");
        health.say("first");
        let heard = Arc::clone(&told);
        health.listen(move |reason| lock(&heard).push(reason.to_owned()));
        for reason in ["first", "second", "second", "", "", &"\u{e9}".repeat(600)] {
            health.say(reason);
        }
        assert_eq!(*lock(&told), ["first", "second", "", &"\u{e9}".repeat(512)]);
    }
}
