// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the supervisor says of an application where all processes of the server can read it.

use std::{
    rc::Rc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    super::super::plan::{LifeEvent, Wear},
    Supervised,
};
use crate::{
    status::{AppKind, AppLife, Block, ExitReason, FailedDeploy, StatusBoard},
    sys::monotonic,
};

/// What was said.
#[derive(Default)]
pub(super) struct FiguresTold {
    pub(super) board: Option<Rc<StatusBoard>>,
    last: Option<(AppLife, u32, Option<String>)>,
}

impl Supervised {
    pub(in super::super) fn set_figures(&mut self, board: Option<Rc<StatusBoard>>) {
        self.figures = FiguresTold { board, last: None };
    }

    fn with_block(&self, tell: impl FnOnce(&Block<'_>)) -> bool {
        let board = self.figures.board.as_ref();
        let block = board.and_then(|board| board.find(AppKind::Managed, &self.about.name));
        block.map(|block| tell(&block)).is_some()
    }

    /// Says how it does, if that is news.
    pub(super) fn say(&mut self) {
        self.see_unwell();
        let why = self.unwell.as_ref().map(|(_, why)| why.clone());
        let now = (self.life(), self.plan.generation(), why);
        if self.figures.last.as_ref() == Some(&now) {
            return;
        }
        let unwell = self.unwell.as_ref().map(|(since, why)| (since.as_secs(), why.as_str()));
        let tell = |block: &Block<'_>| {
            block.say_unwell(unwell);
            block.say(now.0, now.1);
        };
        if self.with_block(tell) {
            self.figures.last = Some(now);
        }
    }

    /// Why the application cannot run in a process that has said so to the supervisor before this one, and since when.
    pub(super) fn recall_unwell(&mut self) -> String {
        let mut known = None;
        self.with_block(|block| known = block.said_unwell());
        let (since, why) = known.map_or_else(
            || (monotonic(), "its output says why".to_owned()),
            |(since, why)| (Duration::from_secs(since), why),
        );
        self.unwell = Some((since, why.clone()));
        why
    }

    /// Counts what has happened.
    pub(super) fn count(&self, what: &LifeEvent) {
        self.with_block(|block| match what {
            LifeEvent::RestartBegun(_, reason) => block.restart_begun(*reason),
            LifeEvent::RestartDone(_) => block.restarted(),
            LifeEvent::RestartFailed(generation) => {
                let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
                let reason = self.reason.clone();
                block.restart_failed(&FailedDeploy { generation: *generation, at, reason });
            }
            other => reason(other).iter().for_each(|reason| block.count_exit(*reason)),
        });
    }
}

/// Why a process ends or is replaced, if that is what has happened.
fn reason(what: &LifeEvent) -> Option<ExitReason> {
    Some(match what {
        LifeEvent::Died(_) => ExitReason::Died,
        LifeEvent::BootFailed(_) => ExitReason::BootFailed,
        LifeEvent::BootTimeout(_) => ExitReason::BootTimeout,
        LifeEvent::Stuck(_) => ExitReason::Deadline,
        LifeEvent::DrainTimeout(_) => ExitReason::DrainTimeout,
        LifeEvent::Killed(_) => ExitReason::Killed,
        LifeEvent::Worn(_, Wear::Requests(_)) => ExitReason::MaxRequests,
        LifeEvent::Worn(_, Wear::Resident(_)) => ExitReason::MaxRss,
        LifeEvent::Worn(_, Wear::Age) => ExitReason::Lifetime,
        LifeEvent::Idle(_) => ExitReason::Idle,
        LifeEvent::Finished(_) => ExitReason::Finished,
        _ => return None,
    })
}
