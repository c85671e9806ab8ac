// SPDX-License-Identifier: MIT OR Apache-2.0
//! What processes are forked from: each generation has a template, which has loaded the application, as long as there is a
//! process of it or one is wanted.
//!
//! ```text
//! Vacant -> Loading -> Ready -> Ending -> Vacant
//! ```
//!
//! Where it cannot load the application, an older generation that serves stays, and with it its template, from which its processes
//! are replaced. If there is none, processes load the application
//! by themselves, so that somebody answers requests and says why, and the next one that is wanted is another attempt.

use super::{
    Action, GRACE, LifeEvent, Look, Plan, STABLE, Time,
    backoff::Backoff,
    slot::{Phase, PlanSlot},
};

/// Templates of an application at a time: one that loads, and others that have not ended yet.
pub const TEMPLATES: u16 = 3;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Vacant,
    Loading,
    Ready,
    Ending {
        kill_at: Option<Time>,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct PlanTemplate {
    stage: Stage,
    generation: u32,
    since: Time,
}

/// Where a process comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// It loads the application by itself.
    Itself,
    /// From this template.
    Template(u16),
    /// A template is about to be there.
    Later,
}

/// The templates of an application.
#[derive(Clone, Debug, Default)]
pub(super) struct Templates {
    is_on: bool,
    all: [PlanTemplate; TEMPLATES as usize],
    backoff: Backoff,
    /// One of this generation has loaded the application: it is there again when that one has ended.
    has_loaded: bool,
    /// When the next one is to be loaded.
    load_at: Option<Time>,
}

impl Templates {
    fn active(&self, generation: u32) -> Option<(u16, PlanTemplate)> {
        let is_active = |template: &PlanTemplate| {
            template.generation == generation && matches!(template.stage, Stage::Loading | Stage::Ready)
        };
        (0..).zip(self.all).find(|(_, template)| is_active(template))
    }

    /// One that another supervisor has had loaded.
    pub(super) fn adopt(&mut self, number: u16, generation: u32, is_loaded: bool, now: Time) {
        if let Some(place) = self.all.get_mut(usize::from(number)) {
            let stage = if is_loaded { Stage::Ready } else { Stage::Loading };
            *place = PlanTemplate { stage, generation, since: now };
        }
    }

    /// All are known, and which generation is the newest.
    pub(super) fn adopted(&mut self, generation: u32) {
        self.has_loaded = self.active(generation).is_some_and(|(_, template)| template.stage == Stage::Ready);
    }

    pub(super) fn are_on(&self) -> bool {
        self.is_on
    }

    pub(super) fn are_vacant(&self) -> bool {
        self.all.iter().all(|template| template.stage == Stage::Vacant)
    }

    /// Another code: what has failed may be whole now. Answers whether a template has, or gets, what counts no more.
    pub(super) fn restart(&mut self) -> bool {
        (self.backoff, self.has_loaded) = (Backoff::default(), false);
        self.all.iter().any(|template| matches!(template.stage, Stage::Loading | Stage::Ready))
    }

    /// When something has to be looked at again.
    pub(super) fn wakes(&self, boot_timeout: Option<Time>) -> Option<Time> {
        let of_stages = self.all.iter().filter_map(|template| match template.stage {
            Stage::Vacant | Stage::Ready => None,
            Stage::Loading => boot_timeout.map(|limit| template.since + limit),
            Stage::Ending { kill_at } => kill_at,
        });
        of_stages.chain(self.load_at).min()
    }
}

impl Plan {
    /// Whether processes are forked from a template that has loaded the application.
    pub fn set_preload(&mut self, is_on: bool) {
        self.templates.is_on = is_on;
    }

    pub(super) fn template_ready(&mut self, number: u16, now: Time) {
        let Some(template) = self.templates.all.get_mut(usize::from(number)) else { return };
        if template.stage == Stage::Loading {
            (template.stage, template.since) = (Stage::Ready, now);
            self.templates.has_loaded |= template.generation == self.generation;
        }
    }

    pub(super) fn template_ended(&mut self, number: u16, now: Time) {
        let Some(place) = self.templates.all.get_mut(usize::from(number)) else { return };
        let template = std::mem::take(place);
        let is_current = template.generation == self.generation;
        match template.stage {
            Stage::Loading if is_current => self.template_failed(now),
            Stage::Ready if is_current => {
                if now.saturating_sub(template.since) >= STABLE {
                    self.templates.backoff.succeeded();
                }
                self.act(Action::Tell(LifeEvent::TemplateDied));
                self.templates.backoff.failed(now);
            }
            _ => {}
        }
    }

    /// It could not load the application.
    fn template_failed(&mut self, now: Time) {
        let wait = self.templates.backoff.failed(now);
        self.templates.has_loaded = false;
        if self.old_serves() {
            self.act(Action::Tell(LifeEvent::RestartFailed(self.generation)));
            self.act(Action::Tell(LifeEvent::Waits(wait, self.templates.backoff.failures())));
        } else {
            self.act(Action::Tell(LifeEvent::TemplateFailed));
        }
    }

    /// The generation before this one, as long as it is the one that serves: what is made of it is wanted.
    pub(super) fn kept(&self) -> Option<u32> {
        self.serving.filter(|serving| *serving != self.generation)
    }

    /// Whether an older generation serves, or can.
    pub(super) fn old_serves(&self) -> bool {
        !self.old_open().is_empty() || self.kept_template().is_some()
    }

    /// Whether the process of this slot, which begins, is to take the place of those of an older generation that serves.
    pub fn would_replace(&self, slot: u16) -> bool {
        let is_new = |slot: &PlanSlot| slot.generation == self.generation && slot.phase == Phase::Starting;
        self.slots.get(usize::from(slot)).is_some_and(is_new) && self.old_serves()
    }

    /// The template of an older generation that serves, which is the last that has loaded its code.
    pub(super) fn kept_template(&self) -> Option<u16> {
        let found = self.kept().and_then(|generation| self.templates.active(generation));
        found.filter(|(_, template)| template.stage == Stage::Ready).map(|(number, _)| number)
    }

    /// Where the next process of this generation comes from.
    pub(super) fn source(&self) -> Source {
        if !self.templates.is_on {
            return Source::Itself;
        }
        // One after the other has ended, perhaps because it was forked.
        if self.templates.backoff.failures() > 1 && !self.old_serves() {
            return Source::Itself;
        }
        match self.templates.active(self.generation) {
            Some((number, template)) if template.stage == Stage::Ready => Source::Template(number),
            Some(_) => Source::Later,
            None if self.templates.backoff.failures() == 0 || self.old_serves() => Source::Later,
            None => Source::Itself,
        }
    }

    /// Loads one that is wanted, and ends those that are not.
    pub(super) fn keep_templates(&mut self, now: Time, look: &impl Look) {
        let missing = self.retired.is_none_or(|_| look.waiting() > 0) && self.missing(look) > 0;
        let current = |phase: Phase, generation| phase.is_alive() && generation == self.generation;
        let is_there = self.slots.iter().any(|slot| current(slot.phase, slot.generation));
        let is_wanted = self.templates.is_on && !self.stopped && (missing || is_there);
        for number in 0..TEMPLATES {
            self.keep_template(number, is_wanted, now);
        }
        self.templates.load_at = None;
        if !is_wanted || self.templates.active(self.generation).is_some() {
            return;
        }
        let templates = &mut self.templates;
        let vacant = (0..).zip(&mut templates.all).find(|(_, template)| template.stage == Stage::Vacant);
        let is_tried = templates.backoff.failures() == 0 || templates.has_loaded || missing;
        match (templates.backoff.next(now), vacant) {
            (_, None) => {}
            _ if !is_tried => {}
            (Some(at), _) => templates.load_at = Some(at),
            (None, Some((number, template))) => {
                *template = PlanTemplate { stage: Stage::Loading, generation: self.generation, since: now };
                self.act(Action::Load(number, self.generation));
            }
        }
    }

    fn keep_template(&mut self, number: u16, is_wanted: bool, now: Time) {
        let is_kept = is_wanted && self.retired.is_none() && self.kept_template() == Some(number);
        let Some(template) = self.templates.all.get_mut(usize::from(number)) else { return };
        let is_current = template.generation == self.generation;
        if is_current && template.stage == Stage::Ready && now.saturating_sub(template.since) >= STABLE {
            self.templates.backoff.succeeded();
        }
        let is_late = self.life.boot_timeout.is_some_and(|limit| now.saturating_sub(template.since) >= limit);
        match template.stage {
            Stage::Ready if is_kept => {}
            Stage::Loading | Stage::Ready if !is_current || !is_wanted => {
                template.stage = Stage::Ending { kill_at: Some(now + GRACE) };
                self.act(Action::TermTemplate(number));
            }
            Stage::Loading if is_late => {
                template.stage = Stage::Ending { kill_at: None };
                self.act(Action::Tell(LifeEvent::TemplateTimeout));
                self.act(Action::KillTemplate(number));
                self.template_failed(now);
            }
            Stage::Ending { kill_at: Some(at) } if at <= now => {
                template.stage = Stage::Ending { kill_at: None };
                self.act(Action::KillTemplate(number));
            }
            _ => {}
        }
    }
}
