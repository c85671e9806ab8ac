// SPDX-License-Identifier: MIT OR Apache-2.0
//! One response whose body passes filters: what has come, the run that is at work, and what has gone on.
//!
//! ```text
//! bytes come --> input --> a run, one at a time --> output --> nginx's filters
//! ```
//! A run begins when the one before it has ended and most of its output has left, so nothing here grows with the response.

use std::sync::Arc;

use gangway::{
    engine::{FilterChain, FilterErrand, Transit},
    error::SERVER_FAILED,
    exchange::{End, Piece, ROOM},
    phases::HandlerPlace,
    report,
    runtime::Beside,
};
use nginx_sys::{ngx_chain_t, ngx_int_t};

use super::WantedHandlers;
use crate::{
    conf::MainConf,
    raw::{AGAIN, Buffers, ERROR, FilterInput, Mark, OK, Request, Ticket, tag},
    wsgi::{Aside, Listener, send_aside},
};

/// What a run gets at most.
const PIECE_MOST: usize = 64 * 1024;

/// What a filter is to answer.
pub(super) enum FilterAnswer {
    /// Something waits here.
    Waits,
    /// What came has gone on, with this status.
    Went(ngx_int_t),
    /// It cannot go on. `shows_page`: the head has not left.
    Failed { shows_page: bool },
}

/// What becomes of what comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FilterProgress {
    Filters,
    /// No filter wants to see more.
    Passes,
    /// The body has ended.
    Over,
    Failed,
}

struct FilterRun {
    aside: Aside,
    errand: Arc<FilterErrand>,
    flushes: bool,
}

/// One of them.
pub(super) struct Filtering {
    request: Request,
    listener: Listener,
    chain: Arc<FilterChain>,
    input: FilterInput,
    run: Option<FilterRun>,
    output: Buffers,
    /// The weight of what was given to nginx and has not left.
    outstanding: usize,
    is_held: bool,
    progress: FilterProgress,
}

impl Filtering {
    pub(super) fn new(
        request: Request,
        ticket: Ticket,
        transit: Arc<Transit>,
        place: &Arc<HandlerPlace>,
        ready: fn(Ticket),
    ) -> Self {
        Self {
            request,
            listener: Listener { ready, owner: ticket, has_request: true },
            chain: FilterChain::new(transit, place),
            input: FilterInput::default(),
            run: None,
            output: Buffers::new(tag()),
            outstanding: 0,
            is_held: true,
            progress: FilterProgress::Filters,
        }
    }

    pub(super) fn request(&self) -> Request {
        self.request
    }

    pub(super) fn has_failed(&self) -> bool {
        self.progress == FilterProgress::Failed
    }

    /// More has come, or can go.
    ///
    /// # Safety
    /// nginx has called its filter with this chain for this live request.
    pub(super) unsafe fn take_in(&mut self, chain: *mut ngx_chain_t) -> FilterAnswer {
        // SAFETY: the caller promises the chain that nginx has called its filter with, for this live request.
        if self.progress != FilterProgress::Failed && unsafe { self.input.add(self.request, chain) }.is_err()
        {
            self.fail();
        }
        let status = self.step(true);
        match self.progress {
            // Once: the page passes here as well.
            FilterProgress::Failed => FilterAnswer::Failed {
                shows_page: std::mem::take(&mut self.is_held) && self.request.is_main(),
            },
            _ if self.waits() => FilterAnswer::Waits,
            _ => FilterAnswer::Went(if self.output.are_busy() { AGAIN } else { status }),
        }
    }

    fn waits(&self) -> bool {
        self.progress == FilterProgress::Filters && (self.run.is_some() || !self.input.is_empty())
    }

    /// A run has given something.
    pub(super) fn go_on(&mut self) {
        // Whoever writes the response asks how it stands.
        self.step(false);
    }

    /// Does what can be done now. `pushes`: what nginx's filters have is to go on as well. Answers their status.
    fn step(&mut self, pushes: bool) -> ngx_int_t {
        let mut status = OK;
        let is_behind = self.output.are_busy() || self.request.later_filters_wait();
        if pushes && !self.is_held && self.progress != FilterProgress::Failed && is_behind {
            // First of all, for it makes room.
            status = self.push(Vec::new(), Mark::Nothing);
        }
        while self.progress == FilterProgress::Filters {
            let Ok(went) = self.take_output() else {
                self.fail();
                break;
            };
            if let Some(went) = went {
                status = went;
            }
            if self.run.is_some() || self.progress != FilterProgress::Filters || self.input.is_empty() {
                break;
            }
            if self.outstanding >= ROOM {
                break;
            }
            if self.begin_run().is_none() {
                self.fail();
            }
        }
        if matches!(self.progress, FilterProgress::Passes | FilterProgress::Over)
            && let Some(went) = self.pass_rest()
        {
            status = went;
        }
        if status == ERROR {
            self.fail();
        }
        if self.progress == FilterProgress::Failed {
            self.input.discard(self.request);
        }
        self.request.set_filter_waits(self.waits());
        status
    }

    fn fail(&mut self) {
        self.progress = FilterProgress::Failed;
        self.run = None;
    }

    /// Gives on what the run has given. Answers nginx's status, if something went.
    fn take_output(&mut self) -> Result<Option<ngx_int_t>, ()> {
        let Some(run) = &mut self.run else { return Ok(None) };
        let (delivery, flushes) = (run.aside.take(), run.flushes);
        let mark = match delivery.end {
            None => Mark::Nothing,
            Some(End::Complete) => {
                let outcome = run.errand.outcome().unwrap_or_default();
                self.run = None;
                if outcome.is_over {
                    self.progress = FilterProgress::Over;
                } else if outcome.passes_always {
                    self.progress = FilterProgress::Passes;
                }
                if outcome.is_over {
                    Mark::End
                } else if flushes {
                    Mark::Flush
                } else {
                    Mark::Nothing
                }
            }
            Some(End::Failed | End::Passed) => return Err(()),
        };
        if delivery.pieces.is_empty() && mark != Mark::End {
            return Ok(None);
        }
        self.send_head()?;
        Ok(Some(self.push(delivery.pieces, mark)))
    }

    /// Has the head leave, once.
    fn send_head(&mut self) -> Result<(), ()> {
        if !std::mem::take(&mut self.is_held) {
            return Ok(());
        }
        match self.request.run_next_filtered_head() {
            status if status == ERROR || status > OK => Err(()),
            _ => Ok(()),
        }
    }

    fn push(&mut self, pieces: Vec<Piece>, mark: Mark) -> ngx_int_t {
        let request = self.request;
        self.outstanding += pieces.iter().map(Piece::weight).sum::<usize>();
        let (status, sent) = self.output.pass(request, pieces, mark, |chain| {
            // SAFETY: `pass` has made the chain in the request's pool.
            unsafe { request.run_next_body_filter(chain) }
        });
        self.outstanding = self.outstanding.saturating_sub(sent);
        if let Some(run) = &self.run {
            run.aside.sent(sent);
        }
        status
    }

    fn begin_run(&mut self) -> Option<()> {
        let Some(taken) = self.input.take(self.request, PIECE_MOST) else {
            report!(
                self.request,
                Error,
                SERVER_FAILED,
                "a part of the response is not in memory: filters cannot see it"
            );
            return None;
        };
        if taken.bytes.is_empty() && !taken.is_last {
            // A flush alone: what there is has gone on.
            return Some(());
        }
        let errand = self.chain.run(taken.bytes, taken.is_last);
        let main = self.request.http::<MainConf>();
        let mounted = main.kinds.get::<WantedHandlers>().and_then(|wanted| wanted.mounted.as_ref());
        let head = Arc::clone(&errand).for_head();
        let aside = send_aside(self.request, mounted, Beside::Filters, head, self.listener).ok()?;
        self.run = Some(FilterRun { aside, errand, flushes: taken.flushes });
        Some(())
    }

    /// What comes when no filter wants to see it. Answers nginx's status, if something went.
    fn pass_rest(&mut self) -> Option<ngx_int_t> {
        if self.input.is_empty() {
            return None;
        }
        if self.progress == FilterProgress::Over {
            self.input.discard(self.request);
            return None;
        }
        if self.send_head().is_err() {
            return Some(ERROR);
        }
        let chain = self.input.take_chain();
        // SAFETY: the chain of copies in the request's pool, whose buffers nginx has given to this place of the request.
        Some(unsafe { self.request.run_next_body_filter(chain) })
    }
}
