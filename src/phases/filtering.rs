// SPDX-License-Identifier: MIT OR Apache-2.0
//! One run of a filter on another thread than its server's: a piece of a body in, and what the filter makes of it out.

use std::{cell::RefCell, sync::Mutex};

use super::{
    FilterRead, PhaseAnswer, RequestFacts, RequestPhase, SnapshotVisit, Transaction, snapshot::Snapshot,
};
use crate::exchange::{Exchange, Piece, Stop, Wait};

/// What a run may write where another filter is to read it.
const BETWEEN_MOST: usize = 16 * 1024 * 1024;

/// Where the bytes go.
pub enum FilterSink<'r> {
    /// To the server, which may make the filter wait.
    Server(&'r Exchange),
    /// To the filter behind it.
    Memory(Vec<u8>),
}

struct FilterFlow<'r> {
    piece: &'r [u8],
    is_last: bool,
    out: FilterSink<'r>,
    is_closed: bool,
    passes_always: bool,
}

/// What a handler gets for a run.
pub struct FilterVisit<'r> {
    facts: SnapshotVisit<'r>,
    flow: RefCell<FilterFlow<'r>>,
}

impl<'r> FilterVisit<'r> {
    /// For a run on the calling thread. `piece` is what has come, with `is_last` the last of it.
    #[must_use]
    pub fn new(
        snapshot: &'r Mutex<Snapshot>,
        exchange: &'r Exchange,
        (piece, is_last): (&'r [u8], bool),
        out: FilterSink<'r>,
    ) -> Self {
        let flow = FilterFlow { piece, is_last, out, is_closed: false, passes_always: false };
        Self {
            facts: SnapshotVisit::new(snapshot, exchange, RequestPhase::OutputFilter),
            flow: RefCell::new(flow),
        }
    }

    /// The run is over. Answers what was written to memory, whether the filter has ended the body, and whether it is not to be called again.
    #[must_use]
    pub fn end(self) -> (Vec<u8>, bool, bool) {
        let FilterFlow { out, is_closed, passes_always, .. } = self.flow.into_inner();
        let written = match out {
            FilterSink::Memory(bytes) => bytes,
            FilterSink::Server(_) => Vec::new(),
        };
        (written, is_closed, passes_always)
    }

    fn with<R>(&self, body: impl FnOnce(&mut FilterFlow<'r>) -> Result<R, Stop>) -> Result<R, Stop> {
        if !self.facts.is_here() {
            return Err(Stop::Misuse);
        }
        let mut flow = self.flow.try_borrow_mut().map_err(|_| Stop::Misuse)?;
        body(&mut flow)
    }
}

impl FilterFlow<'_> {
    fn write(&mut self, bytes: Vec<u8>, flush: bool) -> Result<(), Stop> {
        if self.is_closed {
            return Err(Stop::Invalid);
        }
        match &mut self.out {
            FilterSink::Server(exchange) if bytes.is_empty() => {
                if flush {
                    exchange.flush(Wait::Yes)
                } else {
                    Ok(())
                }
            }
            FilterSink::Server(exchange) => {
                exchange.write(Piece::Copied(bytes), flush, Wait::Yes).map_err(|(stop, _)| stop)
            }
            FilterSink::Memory(known) if known.len().saturating_add(bytes.len()) > BETWEEN_MOST => {
                Err(Stop::Failed)
            }
            FilterSink::Memory(known) => {
                known.extend(bytes);
                Ok(())
            }
        }
    }
}

impl Transaction for FilterVisit<'_> {
    fn facts(&self) -> &dyn RequestFacts {
        &self.facts
    }

    fn filter_read(&self, out: &mut [u8]) -> Result<FilterRead, Stop> {
        self.with(|flow| {
            let count = out.len().min(flow.piece.len());
            if count == 0 {
                return Ok(if flow.is_last { FilterRead::End } else { FilterRead::Nothing });
            }
            let (given, rest) = flow.piece.split_at_checked(count).ok_or(Stop::Failed)?;
            out.get_mut(..count).ok_or(Stop::Failed)?.copy_from_slice(given);
            flow.piece = rest;
            Ok(FilterRead::Bytes(count))
        })
    }

    fn filter_write(&self, bytes: &[u8], flush: bool) -> Result<(), Stop> {
        self.with(|flow| flow.write(bytes.to_vec(), flush))
    }

    fn filter_close(&self) -> Result<(), Stop> {
        self.with(|flow| {
            flow.is_closed = true;
            Ok(())
        })
    }

    fn filter_pass(&self, always: bool) -> Result<(), Stop> {
        self.with(|flow| {
            flow.passes_always |= always;
            let rest = std::mem::take(&mut flow.piece).to_vec();
            if rest.is_empty() { Ok(()) } else { flow.write(rest, false) }
        })
    }

    fn meets_conditions(&self) -> Result<PhaseAnswer, Stop> {
        self.facts.meets_conditions()
    }

    fn await_cleanup(&self) -> Result<(), Stop> {
        self.facts.await_cleanup()
    }
}
