// SPDX-License-Identifier: MIT OR Apache-2.0
//! The processes of an application as anybody sees them who shares its memory, with what the kernel says of them.

use std::time::Duration;

use super::segment::{Segment, SlotState};
use crate::{log::escape, status::AppProcess, sys::monotonic};

/// The processes of an application. `measure` is called where there are some into which this process may not look: what was seen of
/// their memory last stands for them, and it asks for more.
pub fn processes(segment: &Segment, measure: impl FnOnce()) -> Vec<AppProcess> {
    let mut is_blind = false;
    let now = u64::try_from(monotonic().as_millis()).unwrap_or(u64::MAX);
    let mut process = |slot: u16| {
        let seen = segment.slot(slot);
        if seen.state == SlotState::Vacant || seen.pid == 0 {
            return None;
        }
        let longest =
            segment.oldest_claim(slot).map(|since| Duration::from_millis(now.saturating_sub(since)));
        let longest_line =
            segment.running(slot).into_iter().min_by_key(|note| note.since).map(|note| note.line);
        let of_kernel = AppProcess::of(seen.pid, seen.state.name());
        is_blind |= of_kernel.pss.is_none();
        Some(AppProcess {
            generation: seen.generation,
            requests: seen.served,
            running: seen.claims.into(),
            longest,
            request: longest_line.map(|line| escape(&line)),
            pss: of_kernel.pss.or(seen.memory),
            ..of_kernel
        })
    };
    let found = (0..segment.shape().slots).filter_map(&mut process).collect();
    if is_blind {
        measure();
    }
    found
}
