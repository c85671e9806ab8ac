// SPDX-License-Identifier: MIT OR Apache-2.0
//! Blocks of a response that follow each other closely share packets, and none is held back for longer than a moment.
//!
//! PEP 3333 wants every block transmitted before the next one is asked for, or while the application makes it. A packet for
//! each costs more than all the rest of a small block. So a block that comes right after another one is given to the
//! kernel as ever, but with TCP_CORK set, and a thread of ours takes that back a moment later, whatever the application
//! does meanwhile: what has gathered leaves then. A block that comes after a pause leaves at once.

use std::{
    sync::{Arc, Condvar, Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use gangway::{
    engine::fence,
    error::THREADS_FAILED,
    log::{self, Level},
    sys::{self, lock},
};

use crate::raw::Socket;

/// Blocks that come within this time after the last one wait for each other, for as long at most.
const MOMENT: Duration = Duration::from_millis(1);
/// Stack of the thread.
const STACK: usize = 256 * 1024;

/// The blocks of one response.
pub(super) struct Cork {
    stream: Option<Arc<Stream>>,
}

struct Stream {
    socket: Socket,
    state: Mutex<CorkState>,
}

#[derive(Default)]
struct CorkState {
    /// When the last block came.
    last: Option<Instant>,
    corked: bool,
    /// The thread will come and look.
    watched: bool,
}

impl Cork {
    /// `socket`: none where several responses share a connection; then nothing is gathered.
    pub(super) fn new(socket: Option<Socket>) -> Self {
        Self { stream: socket.map(|socket| Arc::new(Stream { socket, state: Mutex::default() })) }
    }

    /// A block is about to leave.
    pub(super) fn block(&self) {
        let Some(stream) = &self.stream else { return };
        let now = Instant::now();
        let mut state = lock(&stream.state);
        let soon = state.last.replace(now).is_some_and(|last| now.duration_since(last) < MOMENT);
        if !soon || state.corked {
            return;
        }
        let Some(watch) = Watch::get() else { return };
        state.corked = stream.socket.cork(true);
        if state.corked && !state.watched {
            state.watched = true;
            watch.add(Arc::clone(stream));
        }
    }

    /// The response has ended, and with it the use of the socket.
    pub(super) fn end(&self) {
        if let Some(stream) = &self.stream {
            stream.release();
        }
    }
}

impl Stream {
    /// Lets everything leave.
    fn release(&self) {
        let mut state = lock(&self.state);
        if std::mem::take(&mut state.corked) {
            self.socket.cork(false);
        }
    }
}

/// The thread's list.
struct Watch {
    streams: Mutex<Vec<Arc<Stream>>>,
    /// The list has got its first stream.
    filled: Condvar,
}

static WATCH: OnceLock<Option<&'static Watch>> = OnceLock::new();

impl Watch {
    /// `None`: there is no thread, so nothing may be held back.
    fn get() -> Option<&'static Self> {
        *WATCH.get_or_init(|| {
            let watch: &'static Self =
                Box::leak(Box::new(Self { streams: Mutex::default(), filled: Condvar::new() }));
            let started =
                sys::spawn("gw-stream", STACK, || fence("the thread of streams", (), || watch.run()));
            if let Err(error) = &started {
                let text = format_args!("cannot start a thread for streamed responses: {error}");
                log::coded(Level::Error, THREADS_FAILED, text);
            }
            started.is_ok().then_some(watch)
        })
    }

    fn add(&self, stream: Arc<Stream>) {
        let mut streams = lock(&self.streams);
        streams.push(stream);
        if streams.len() == 1 {
            self.filled.notify_one();
        }
    }

    fn run(&self) {
        let mut due = Vec::new();
        loop {
            let mut streams = lock(&self.streams);
            while streams.is_empty() {
                streams = self.filled.wait(streams).unwrap_or_else(PoisonError::into_inner);
            }
            drop(streams);
            thread::sleep(MOMENT);
            std::mem::swap(&mut due, &mut *lock(&self.streams));
            for stream in due.drain(..) {
                lock(&stream.state).watched = false;
                stream.release();
            }
        }
    }
}
