// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is known of a request that an application has had, as notes for log formats. Each module has its own.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use gangway::status::Passage;

use crate::{module::Module, request::Request, tree};

const NOTES: [&str; 4] = ["gangway-application", "gangway-queue-time", "gangway-app-time", "gangway-process"];

/// Whether the configuration asks for a note. Children inherit it.
static HAS_NOTES: AtomicBool = AtomicBool::new(false);

/// In the parent, when it has read its configuration: whether requests are to have notes, which costs each of them something.
pub fn look() {
    HAS_NOTES.store(tree::mentions(&NOTES), Ordering::Relaxed);
}

/// Whether they are.
#[must_use]
pub fn are_wanted() -> bool {
    HAS_NOTES.load(Ordering::Relaxed)
}

/// Notes what the application is called, how long the request waited and ran, and which process has answered it, as far as that is known.
pub fn set<M: Module>(request: Request<'_, M>, name: Option<&str>, passage: &Passage, process: Option<u32>) {
    let text = |time: Duration| format!("{:.6}", time.as_secs_f64());
    let (queue, run) = passage.times();
    if let Some(name) = name {
        request.set_note(c"gangway-application", name.as_bytes());
    }
    if let Some(queue) = queue {
        request.set_note(c"gangway-queue-time", text(queue).as_bytes());
    }
    if let Some(run) = run {
        request.set_note(c"gangway-app-time", text(run).as_bytes());
    }
    if let Some(process) = process {
        request.set_note(c"gangway-process", process.to_string().as_bytes());
    }
}
