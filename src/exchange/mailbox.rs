// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a handler thread has for one server thread that waits for this request alone.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::Instant,
};

use super::Notify;
use crate::{log::Level, sys::lock};

/// Wakes a blocking server thread.
#[derive(Default)]
pub struct Mailbox {
    state: Mutex<Mail>,
    changed: Condvar,
}

#[derive(Default)]
struct Mail {
    posted: bool,
    lines: Vec<(Level, String)>,
}

impl Mailbox {
    /// Waits until something is posted or `deadline` is reached. Answers whether something was posted, and the
    /// log lines since the last call. SERVER.
    pub fn wait(&self, deadline: Option<Instant>) -> (bool, Vec<(Level, String)>) {
        let mut state = lock(&self.state);
        while !state.posted && state.lines.is_empty() {
            state = match deadline {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        (std::mem::take(&mut state.posted), std::mem::take(&mut state.lines))
    }
}

impl Notify for Mailbox {
    fn post(&self, _ticket: u64) {
        lock(&self.state).posted = true;
        self.changed.notify_one();
    }

    fn log(&self, _ticket: u64, level: Level, line: &str) {
        lock(&self.state).lines.push((level, line.to_owned()));
        self.changed.notify_one();
    }
}
