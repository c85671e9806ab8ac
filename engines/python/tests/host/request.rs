// SPDX-License-Identifier: MIT OR Apache-2.0
//! One request of the host in memory: what a test wishes and what came of it.

use std::{
    ptr,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, ThreadId},
};

use gangway_abi::ffi::*;

use super::{breach, lock};

/// What a test wants the host to do with a request.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) variables: Vec<(Vec<u8>, Vec<u8>)>,
    /// Pieces that read_body gives one after the other.
    pub(crate) body: Vec<Vec<u8>>,
    /// Whether the length of the body is told.
    pub(crate) length_known: bool,
    /// The body breaks off after its pieces.
    pub(crate) body_breaks: bool,
    pub(crate) head_request: bool,
    /// Every first call with GW_NOWAIT is answered GW_AGAIN.
    pub(crate) always_again: bool,
    /// From this number of response bytes on, the client is gone.
    pub(crate) leaves_after: Option<usize>,
    /// Blocking calls wait until `Request::open_gate`.
    pub(crate) gate_shut: bool,
    /// Other threads of the application may call, one at a time.
    pub(crate) other_threads: bool,
}

impl Default for Wish {
    fn default() -> Self {
        let variable = |(name, value): (&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        Self {
            variables: [
                ("GATEWAY_INTERFACE", "CGI/1.1"),
                ("SERVER_PROTOCOL", "HTTP/1.1"),
                ("SERVER_SOFTWARE", "fake/1.0"),
                ("SERVER_NAME", "example.test"),
                ("SERVER_PORT", "80"),
                ("REQUEST_METHOD", "GET"),
                ("REQUEST_URI", "/"),
                ("SCRIPT_NAME", ""),
                ("PATH_INFO", "/"),
                ("QUERY_STRING", ""),
                ("REMOTE_ADDR", "127.0.0.1"),
                ("REMOTE_PORT", "4711"),
                ("HTTP_HOST", "example.test"),
            ]
            .map(variable)
            .to_vec(),
            body: Vec::new(),
            length_known: true,
            body_breaks: false,
            head_request: false,
            always_again: false,
            leaves_after: None,
            gate_shut: false,
            other_threads: false,
        }
    }
}

impl Wish {
    pub(crate) fn path(path: &str) -> Self {
        Self::default().with("PATH_INFO", path)
    }

    pub(crate) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.variables.retain(|(known, _)| known != name.as_bytes());
        self.variables.push((name.as_bytes().to_vec(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn post(mut self, pieces: &[&[u8]]) -> Self {
        self.body = pieces.iter().map(|piece| piece.to_vec()).collect();
        let length: usize = self.body.iter().map(Vec::len).sum();
        self.with("REQUEST_METHOD", "POST").with("CONTENT_LENGTH", length.to_string())
    }

    pub(crate) fn chunked(mut self) -> Self {
        self.length_known = false;
        self.variables.retain(|(name, _)| name != b"CONTENT_LENGTH");
        self
    }

    pub(crate) fn head(mut self) -> Self {
        self.head_request = true;
        self.with("REQUEST_METHOD", "HEAD")
    }

    pub(crate) fn again(mut self) -> Self {
        self.always_again = true;
        self
    }

    pub(crate) fn leaves_after(mut self, bytes: usize) -> Self {
        self.leaves_after = Some(bytes);
        self
    }
}

/// What came of a request.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: Option<u16>,
    pub(crate) reason: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// What reached the host, in order: "head", "write 5", "write 5 flush", "file 10 20", "finish 0", "status 0".
    pub(crate) events: Vec<String>,
    /// The argument of finish().
    pub(crate) finished: Option<gw_status>,
    /// What handle() returned.
    pub(crate) returned: gw_status,
    /// Lines of the log with this request's context: level and text.
    pub(crate) log: Vec<(u32, String)>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let wanted = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        wanted.map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn logged(&self, part: &str) -> bool {
        self.log.iter().any(|(_, line)| line.contains(part))
    }
}
/// One request as the host has it; `gw_request` points to it.
pub(crate) struct Request {
    pub(super) wish: Wish,
    pub(super) state: Mutex<State>,
    gate: Condvar,
    pub(super) cancelled: AtomicBool,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) answer: Answer,
    pub(super) thread: Option<ThreadId>,
    pub(super) pieces: Vec<Vec<u8>>,
    pub(super) at: usize,
    pub(super) asked: bool,
    pub(super) limit: Option<u64>,
    pub(super) gate_open: bool,
    pub(super) waiting: bool,
    pub(super) borrows: Vec<Borrow>,
    pub(super) ended: bool,
}

pub(super) struct Borrow {
    pub(super) release: gw_release_fn,
    pub(super) context: usize,
}
impl Request {
    pub(crate) fn new(wish: Wish) -> Box<Self> {
        let pieces = wish.body.clone();
        let state = State { pieces, gate_open: !wish.gate_shut, ..State::default() };
        Box::new(Self {
            wish,
            state: Mutex::new(state),
            gate: Condvar::new(),
            cancelled: AtomicBool::new(false),
        })
    }

    pub(crate) fn raw(&self) -> *mut gw_request {
        ptr::from_ref(self).cast_mut().cast()
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        self.open_gate();
    }

    pub(crate) fn open_gate(&self) {
        lock(&self.state).gate_open = true;
        self.gate.notify_all();
    }

    /// Waits until the engine waits inside a blocking call.
    pub(crate) fn wait_until_waiting(&self) {
        let mut state = lock(&self.state);
        while !state.waiting {
            state = self.gate.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until this condition holds of the answer so far.
    pub(crate) fn events(&self) -> Vec<String> {
        lock(&self.state).answer.events.clone()
    }

    /// The beginning of every host call: checks the thread, and waits at the gate where the call may wait.
    pub(super) fn call(&self, flags: u32) -> Result<MutexGuard<'_, State>, gw_status> {
        let mut state = lock(&self.state);
        if state.ended {
            breach("a call for a request whose handle() has returned");
        }
        if state.waiting {
            breach("two calls at the same time");
        }
        if state.thread != Some(thread::current().id()) && !self.wish.other_threads {
            breach("a call from another thread than that of handle()");
        }
        if self.wish.always_again && flags & GW_NOWAIT != 0 && !state.asked {
            state.asked = true;
            return Err(GW_AGAIN);
        }
        state.asked = false;
        if !state.gate_open {
            if flags & GW_NOWAIT != 0 {
                return Err(GW_AGAIN);
            }
            state.waiting = true;
            self.gate.notify_all();
            while !state.gate_open {
                state = self.gate.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.waiting = false;
        }
        if self.cancelled.load(Ordering::SeqCst) {
            return Err(GW_CANCELLED);
        }
        Ok(state)
    }

    /// Takes a block of the response.
    pub(super) fn put(&self, state: &mut State, data: &[u8], event: &str, flags: u32) -> gw_status {
        if state.answer.status.is_none() || state.answer.finished.is_some() {
            breach(format!("{event} before start() or after finish()"));
            return GW_MISUSE;
        }
        let flush = if flags & GW_FLUSH != 0 { " flush" } else { "" };
        state.answer.events.push(format!("{event} {}{flush}", data.len()));
        let allowed = state.limit.map_or(data.len(), |limit| {
            let left = limit.saturating_sub(state.answer.body.len() as u64);
            data.len().min(usize::try_from(left).unwrap_or(usize::MAX))
        });
        if !self.wish.head_request {
            state.answer.body.extend_from_slice(&data[..allowed]);
        }
        if self.wish.leaves_after.is_some_and(|limit| state.answer.body.len() >= limit) {
            self.cancelled.store(true, Ordering::SeqCst);
        }
        if allowed < data.len() { GW_INVALID } else { GW_OK }
    }
}
