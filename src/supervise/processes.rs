// SPDX-License-Identifier: MIT OR Apache-2.0
//! The processes of an application as anybody sees them who shares its memory, with what the kernel says of them.

use std::time::Duration;

use super::segment::{Segment, SlotState};
use crate::{status::AppProcess, sys::monotonic};

/// The processes of an application.
#[must_use]
pub fn processes(segment: &Segment) -> Vec<AppProcess> {
    let now = u64::try_from(monotonic().as_millis()).unwrap_or(u64::MAX);
    let process = |slot: u16| {
        let seen = segment.slot(slot);
        if seen.state == SlotState::Vacant || seen.pid == 0 {
            return None;
        }
        let longest =
            segment.oldest_claim(slot).map(|since| Duration::from_millis(now.saturating_sub(since)));
        Some(AppProcess {
            generation: seen.generation,
            requests: seen.served,
            running: seen.claims.into(),
            longest,
            ..AppProcess::of(seen.pid, seen.state.name())
        })
    };
    (0..segment.shape().slots).filter_map(process).collect()
}
