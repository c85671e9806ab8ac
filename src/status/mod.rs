// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is counted of applications, in memory that all processes of a server share, and what a page shows of it.
//!
//! ```text
//! board      the memory: a block for each application, kept over reloads
//! roll       the applications that a configuration names
//! block      what stands there of one; what its supervisor says of it
//! reason     why processes end, and why they are replaced
//! words      texts in it, and why an application cannot run
//! lane       what one worker counts; histogram: how long something took
//! passage    a request on its way, which counts each of its steps once
//! snapshot   all of it at once, with what the kernel says of processes
//! choice     which form of it a request wants: html, json, metrics
//! ```
//! Who counts adds to words of its own worker, and never waits. Who asks sums them.

mod block;
mod board;
mod choice;
mod histogram;
mod html;
mod json;
mod lane;
mod metrics;
mod passage;
mod reason;
mod roll;
mod snapshot;
mod words;

pub use block::{AppKind, AppLife, Block, FailedDeploy, LifeReport};
pub use board::{Announced, AppFigures, StatusBoard, Unwell, WorkerFigures, WorkerMark};
pub use choice::StatusForm;
pub use histogram::{BOUNDS, BUCKETS, Histogram};
pub use html::html;
pub use json::json;
pub use lane::{CodeClass, Figures, Incident};
pub use metrics::metrics;
pub use passage::{Passage, Tally};
pub use reason::{ExitReason, RestartReason};
pub use roll::Roll;
pub use snapshot::{AppProcess, AppSnapshot, ServerSnapshot, StatusDetail, numbers};

/// A form of the status.
#[must_use]
pub fn write(form: StatusForm, status: &ServerSnapshot) -> String {
    match form {
        StatusForm::Html => html(status),
        StatusForm::Json => json(status),
        StatusForm::Metrics => metrics(status),
    }
}
