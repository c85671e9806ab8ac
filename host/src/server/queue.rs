// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests that wait for a thread.

use std::sync::atomic::Ordering::SeqCst;

use gangway::{pool::Refusal, sys::lock};

use super::{Job, Server};
use crate::outgoing::Page;

impl Server {
    /// A request that no thread can run at the moment. It waits, or is refused, and then the next of its connection.
    pub(crate) fn queue(&self, job: Job, buffer: &mut [u8]) {
        let mut next = Some(job);
        while let Some(job) = next.take() {
            next = self.wait_or_refuse(job, buffer);
        }
    }

    fn wait_or_refuse(&self, job: Job, buffer: &mut [u8]) -> Option<Job> {
        let mut waiting = lock(&self.waiting);
        if waiting.len() < self.application.config().queue() {
            waiting.push_back(job);
            self.count.store(waiting.len(), SeqCst);
            drop(waiting);
            self.wake_for_waiting();
            return None;
        }
        drop(waiting);
        self.tell_full(&job);
        self.refuse(&job, Page::Unavailable, buffer)
    }

    /// Wakes a thread for what waits, if one is free.
    pub(super) fn wake_for_waiting(&self) {
        if self.count.load(SeqCst) > 0 && !self.is_saturated() {
            // A thread may have looked just before.
            self.wakeup.signal();
        }
    }

    pub(super) fn tell_full(&self, job: &Job) {
        if let Some(line) = self.application.refusal_line(Refusal::Full) {
            job.exchange.tell(&line);
        }
    }

    /// Answers a request that has waited, or that cannot. Answers the next one of its connection.
    pub(crate) fn refuse(&self, job: &Job, page: Page, buffer: &mut [u8]) -> Option<Job> {
        let outcome = job.port.refuse(page);
        self.ended(job.port.connection(), outcome, buffer)
    }

    /// The request that has waited longest. Where handlers are brisk another thread that runs one takes it next.
    pub(crate) fn next(&self) -> Option<Job> {
        if self.count.load(SeqCst) == 0 {
            return None;
        }
        if self.has_runner() {
            self.pace.look_soon();
            return None;
        }
        self.take_next()
    }

    pub(super) fn take_next(&self) -> Option<Job> {
        let mut waiting = lock(&self.waiting);
        let job = waiting.pop_front();
        self.count.store(waiting.len(), SeqCst);
        let others_wait = !waiting.is_empty();
        drop(waiting);
        self.pace.take();
        if others_wait && self.pace.is_brisk() {
            self.pace.look_soon();
        } else if others_wait && !self.is_saturated() {
            // Handlers that wait for something leave the processor to others.
            self.wakeup.signal();
        }
        job
    }

    /// Whether a thread is at work that is about to take what waits.
    pub(super) fn has_runner(&self) -> bool {
        self.pace.is_brisk() && self.busy.load(SeqCst) > 0
    }

    /// Leaves a request that has just come to the thread that is at work, if that is about to take it.
    pub(super) fn lend(&self, job: Job) -> Option<Job> {
        if !self.has_runner() {
            return Some(job);
        }
        let mut waiting = lock(&self.waiting);
        // There is a thread for it, whatever the one does that is at work: it does not count as one that waits.
        if waiting.len() + self.busy.load(SeqCst) >= self.threads {
            return Some(job);
        }
        waiting.push_back(job);
        self.count.store(waiting.len(), SeqCst);
        drop(waiting);
        self.pace.look_soon();
        None
    }

    /// Takes out of the queue those that the caller wants to end.
    pub(crate) fn take_waiting(&self, mut wanted: impl FnMut(&Job) -> bool) -> Vec<Job> {
        if self.count.load(SeqCst) == 0 {
            return Vec::new();
        }
        let mut waiting = lock(&self.waiting);
        let (out, stay): (Vec<_>, Vec<_>) = waiting.drain(..).partition(|job| wanted(job));
        *waiting = stay.into();
        self.count.store(waiting.len(), SeqCst);
        out
    }
}
