// SPDX-License-Identifier: MIT OR Apache-2.0
//! The applications of this process.

use std::sync::{Arc, OnceLock};

use gangway::runtime::{Application, Runtime};

/// What a child process runs.
pub(crate) struct Process {
    pub(crate) id: u32,
    pub(crate) runtime: Runtime,
    /// By the numbers that the configuration uses.
    pub(crate) applications: Vec<Arc<Application>>,
}

static PROCESS: OnceLock<Process> = OnceLock::new();

/// The application of this number in this process.
pub(crate) fn application(number: usize) -> Option<&'static Arc<Application>> {
    PROCESS.get()?.applications.get(number)
}

/// All of them.
pub(crate) fn applications() -> &'static [Arc<Application>] {
    PROCESS.get().map_or(&[], |process| &process.applications)
}

/// All that this process runs, once it has begun.
pub(crate) fn process() -> Option<&'static Process> {
    PROCESS.get()
}

/// The process begins.
pub(crate) fn keep(process: Process) {
    // Nobody else sets it: httpd calls child_init once, on one thread.
    let _ = PROCESS.set(process);
}
