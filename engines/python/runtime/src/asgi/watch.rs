// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tells when an event loop does not go on: a thread asks it to look, now and then while there is something to do, and names what it runs if
//! it does not get to that.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::Relaxed},
    },
    thread::Builder,
    time::Duration,
};

use gangway_abi::Level;
use gangway_python_shared::{codes::Code, fence::fence, log::log};
use pyo3::Python;

use super::queue::LoopQueue;
use crate::{cold::Cold, errors_stream::log_lines};

/// A loop that has taken nothing for so long is stuck: what it runs does not give it back.
pub(super) const BLOCKED: Duration = Duration::from_secs(1);
/// How often it is asked.
const EVERY: Duration = Duration::from_millis(500);
/// So often it is asked after the last event: tasks may go on without one.
const QUIET: u32 = 20;
const STACK: usize = 512 * 1024;

/// A loop as those see it who watch it.
pub(super) struct Watched {
    pub(super) name: String,
    pub(super) queue: Arc<LoopQueue>,
    /// As `threading.get_ident()` has it; 0 before the thread has begun.
    pub(super) ident: AtomicU64,
    /// As the kernel has it.
    pub(super) thread: AtomicI32,
    /// It has been named since it has looked for the last time.
    is_named: AtomicBool,
}

impl Watched {
    pub(super) fn new(name: String, queue: Arc<LoopQueue>) -> Self {
        Self {
            name,
            queue,
            ident: AtomicU64::new(0),
            thread: AtomicI32::new(0),
            is_named: AtomicBool::new(false),
        }
    }

    /// Names it with its stack, once until it goes on.
    pub(super) fn name(&self) {
        if self.is_named.swap(true, Relaxed) {
            return;
        }
        Python::attach(|py| {
            if let Some(stack) = Cold::get(py).stack(py, self.ident.load(Relaxed)) {
                log_lines(std::ptr::null_mut(), &stack);
            }
        });
        log(
            Level::Error,
            Code::LoopBlocked,
            format_args!(
                "the event loop of application {:?} has not gone on for {}s, and none of its requests can; the lines before \
                 are where it was: use asyncio.to_thread() for what blocks",
                self.name,
                BLOCKED.as_secs()
            ),
        );
    }

    /// Whether it has been named, and has not gone on since.
    pub(super) fn is_named(&self) -> bool {
        self.is_named.load(Relaxed)
    }

    /// Begins to watch it, until its queue is closed.
    pub(super) fn begin(self: &Arc<Self>) -> io::Result<()> {
        let watched = Arc::clone(self);
        let body = move || fence("the watch over an event loop", (), || watched.run());
        Builder::new().name("gw-watch".to_owned()).stack_size(STACK).spawn(body).map(drop)
    }

    fn run(&self) {
        let mut quiet = 0;
        let mut pushed = 0;
        while self.queue.rest(EVERY, quiet >= QUIET) {
            let Some(probe) = self.queue.probe() else { continue };
            quiet = if probe.pushed == pushed { quiet + 1 } else { 0 };
            pushed = probe.pushed;
            let mut before = self.processor_time();
            while !self.queue.has_passed(probe.passes, BLOCKED) {
                let now = self.processor_time();
                if is_blocked(before, now) {
                    self.name();
                }
                before = now;
            }
            self.is_named.store(false, Relaxed);
        }
    }

    /// What its thread has had of the processors, in hundredths of a second, and whether it sleeps.
    fn processor_time(&self) -> Option<(u64, bool)> {
        let text =
            std::fs::read_to_string(format!("/proc/self/task/{}/stat", self.thread.load(Relaxed))).ok()?;
        // The name stands in parentheses, and may have any in it.
        let mut fields = text.rsplit_once(')')?.1.split_whitespace();
        let sleeps = fields.next()? != "R";
        let mut times = fields.skip(10).map_while(|field| field.parse::<u64>().ok());
        Some((times.next()? + times.next()?, sleeps))
    }
}

/// Whether a loop that does not look is held by what it runs, and not by a machine that has no time for it. It has been told that there is
/// something to do, so where it sleeps is not where it waits for that.
fn is_blocked(before: Option<(u64, bool)>, now: Option<(u64, bool)>) -> bool {
    const HALF: u64 = 100 * BLOCKED.as_millis() as u64 / 1000 / 2;
    match (before, now) {
        (Some((before, _)), Some((now, sleeps))) => sleeps || now.saturating_sub(before) >= HALF,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_without_processor_time_is_not_blocked() {
        assert!(!is_blocked(Some((10, false)), Some((20, false))));
        assert!(is_blocked(Some((10, false)), Some((90, false))));
        assert!(is_blocked(Some((10, false)), Some((10, true))));
        assert!(is_blocked(None, None));
    }
}
