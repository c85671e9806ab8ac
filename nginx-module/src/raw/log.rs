// SPDX-License-Identifier: MIT OR Apache-2.0
//! nginx's error logs, which the event loop alone writes to.

use std::{
    cell::Cell,
    sync::{Arc, OnceLock},
};

use gangway::{
    exchange::Outbox,
    log::{self, Level, Sink},
};
use nginx_sys::{ngx_cycle, ngx_log_error_core, ngx_log_t, ngx_uint_t};

/// Where lines of other threads wait for the event loop.
static OTHER_THREADS: OnceLock<Arc<Outbox>> = OnceLock::new();

thread_local! {
    /// Whether this is nginx's own thread. It stays that in processes which nginx forks.
    static IS_NGINX: Cell<bool> = const { Cell::new(false) };
}

/// The core's lines about the process.
struct ServerLog;

impl Sink for ServerLog {
    fn write(&self, level: Level, line: &str) {
        match OTHER_THREADS.get() {
            _ if IS_NGINX.get() => process_log(level, line),
            Some(outbox) => Sink::write(&**outbox, level, line),
            None => eprintln!("gangway: {line}"),
        }
    }
}

/// Sends the core's lines about the process to nginx's log. Called by nginx's own thread; the first call counts.
pub(crate) fn install_log() {
    IS_NGINX.set(true);
    log::install(Box::new(ServerLog));
}

/// Has lines of other threads wait here for the event loop. The first call counts.
pub(crate) fn log_of_other_threads(outbox: Arc<Outbox>) {
    let _ = OTHER_THREADS.set(outbox);
}

/// nginx's number for a level.
pub(super) fn level_number(level: Level) -> ngx_uint_t {
    let number = match level {
        Level::Error | Level::Further => nginx_sys::NGX_LOG_ERR,
        Level::Warn => nginx_sys::NGX_LOG_WARN,
        Level::Notice => nginx_sys::NGX_LOG_NOTICE,
        Level::Info => nginx_sys::NGX_LOG_INFO,
        Level::Debug => nginx_sys::NGX_LOG_DEBUG,
    };
    number as ngx_uint_t
}

/// Writes a line to a log of nginx; a long one in parts, because nginx cuts lines at 2048 bytes.
///
/// # Safety
/// `log` is a live log of this process and the calling thread is the event loop's.
pub(super) unsafe fn write_log(log: *mut ngx_log_t, level: Level, line: &str) {
    const PART: usize = 1600;
    let number = level_number(level);
    // SAFETY: the caller's log is live.
    if unsafe { (*log).log_level } < number {
        return;
    }
    // The handler is what writes the context of a request behind a line.
    // SAFETY: the caller's log is live, and this thread alone uses it.
    let handler = unsafe { (*log).handler };
    if level == Level::Further {
        // SAFETY: the caller's log is live, and this thread alone uses it.
        unsafe { (*log).handler = None };
    }
    let mut rest = line;
    loop {
        let mut at = rest.len().min(PART);
        while !rest.is_char_boundary(at) {
            at -= 1;
        }
        let (part, more) = rest.split_at(at);
        // SAFETY: the caller's log is live; "%*s" takes a size_t and that many bytes.
        unsafe { ngx_log_error_core(number, log, 0, c"%*s".as_ptr(), part.len(), part.as_ptr()) };
        if more.is_empty() {
            break;
        }
        rest = more;
    }
    // SAFETY: the caller's log is live, and this thread alone uses it.
    unsafe { (*log).handler = handler };
}

/// Writes a line about the process.
pub(crate) fn process_log(level: Level, line: &str) {
    // SAFETY: ngx_cycle and its log are set before any module code runs.
    unsafe { write_log((*ngx_cycle).log, level, line) }
}
