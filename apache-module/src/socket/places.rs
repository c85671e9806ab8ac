// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads of httpd that serve WebSockets: three of four may, so that there are others for requests that end.
//!
//! Streams of HTTP/2 have threads of their own, which mod_http2 keeps. Threads of one process are counted in it. Processes that serve one connection each, as those of prefork, note themselves in memory that
//! they share: one that is killed leaves a note behind, which the next one to look for a place finds.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
};

use gangway::{
    error::SERVER_FAILED,
    log::{self, Level},
    sys::{self, explain, lock, shared::SharedWords},
};

use crate::raw::{self, Request};

/// Threads of this process that serve a WebSocket, httpd's own and those of mod_http2.
static TAKEN: AtomicUsize = AtomicUsize::new(0);
static STREAMS_TAKEN: AtomicUsize = AtomicUsize::new(0);

/// The notes of processes, made before there are any. Those of the configuration before keep the old ones.
static NOTES: Mutex<Option<Arc<SharedWords>>> = Mutex::new(None);

const CURE: &str = "use the event MPM, where none holds a thread, or raise MaxRequestWorkers";

/// A thread that may serve a WebSocket.
pub(crate) struct Place(Kind);

enum Kind {
    Thread(&'static AtomicUsize),
    Process(Arc<SharedWords>, usize),
}

/// No place is free.
pub(super) struct Taken {
    /// How many there are.
    pub(super) most: usize,
    /// Of what.
    pub(super) whose: &'static str,
    /// What the administrator can do.
    pub(super) cure: &'static str,
}

/// In the parent, before it makes children.
pub(crate) fn prepare() {
    let notes =
        (!raw::is_threaded()).then(|| SharedWords::create(c"gangway-sockets", most(raw::most_processes())));
    *lock(&NOTES) = match notes {
        Some(Ok(notes)) => Some(Arc::new(notes)),
        Some(Err(error)) => {
            let text = format_args!("WebSockets are refused: {}", explain(&error));
            log::coded(Level::Warn, SERVER_FAILED, text);
            None
        }
        None => None,
    };
}

fn most(all: u32) -> usize {
    (all as usize * 3 / 4).max(1)
}

impl Place {
    /// Takes one.
    pub(super) fn take(request: Request<'_>) -> Result<Self, Taken> {
        if request.is_stream() {
            let all = raw::stream_threads(request).unwrap_or_else(raw::threads_per_process);
            let whose = "the threads that mod_http2 has in this process";
            Self::of_thread(&STREAMS_TAKEN, Taken { most: most(all), whose, cure: "raise H2MaxWorkers" })
        } else if raw::is_threaded() {
            let most = most(raw::threads_per_process());
            Self::of_thread(&TAKEN, Taken { most, whose: "the threads of this process", cure: CURE })
        } else {
            Self::of_process()
        }
    }

    fn of_thread(count: &'static AtomicUsize, all: Taken) -> Result<Self, Taken> {
        let taken = count.fetch_update(SeqCst, SeqCst, |taken| (taken < all.most).then_some(taken + 1));
        taken.map(|_| Self(Kind::Thread(count))).map_err(|_| all)
    }

    fn of_process() -> Result<Self, Taken> {
        let notes = lock(&NOTES).clone();
        let most = notes.as_ref().map_or(0, |notes| notes.words().len());
        let found =
            notes.and_then(|notes| note(notes.words()).map(|number| Self(Kind::Process(notes, number))));
        found.ok_or(Taken { most, whose: "the processes of this server", cure: CURE })
    }
}

/// Notes this process; answers where.
fn note(words: &[AtomicU64]) -> Option<usize> {
    let own = u64::from(raw::process_id());
    let claim = |word: &AtomicU64, from| word.compare_exchange(from, own, SeqCst, SeqCst).is_ok();
    words.iter().position(|word| claim(word, 0)).or_else(|| {
        words.iter().position(|word| {
            let holder = word.load(SeqCst);
            let is_dead = u32::try_from(holder).is_ok_and(|holder| sys::alive_since(holder).is_none());
            is_dead && claim(word, holder)
        })
    })
}

impl Drop for Place {
    fn drop(&mut self) {
        match &self.0 {
            Kind::Thread(count) => {
                count.fetch_sub(1, SeqCst);
            }
            Kind::Process(notes, number) => {
                if let Some(word) = notes.words().get(*number) {
                    word.store(0, SeqCst);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_of_four_and_never_none() {
        assert_eq!([1, 2, 4, 25, 400].map(most), [1, 1, 3, 18, 300]);
    }

    #[test]
    fn a_process_that_has_died_has_no_place() {
        let words = [const { AtomicU64::new(0) }; 2];
        assert_eq!(note(&words), Some(0));
        assert_eq!(note(&words), Some(1));
        assert_eq!(note(&words), None);
        // No process has such a number.
        words[0].store(u64::from(u32::MAX - 1), SeqCst);
        assert_eq!(note(&words), Some(0));
    }
}
