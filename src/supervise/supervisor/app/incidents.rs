// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is kept of what goes wrong: frozen when it happens, and shown when somebody asks why.

use std::{collections::VecDeque, time::Duration};

use super::{
    super::{
        super::{
            control::Record,
            message::Trouble,
            plan::LifeEvent,
            segment::{EntryKind, RecorderEntry},
        },
        incident::{self, Mishap},
        process::Process,
    },
    Supervised,
};
use crate::{
    log::escape,
    sys::{monotonic, spawner::Exit},
};

/// Incidents of an application that are kept.
const MOST: usize = 8;
/// How long a worker may have been faster to see that a process has ended.
const JUST_LOST: Duration = Duration::from_secs(2);
/// Lines of a stack.
const STACK: usize = 100;

#[derive(Default)]
pub(super) struct Incidents {
    /// The oldest first.
    all: VecDeque<Mishap>,
    /// Of a process that has just ended: whether that went wrong the plan says.
    frozen: Option<Mishap>,
}

impl Supervised {
    /// What is known of the process of a slot.
    fn look_back(&self, slot: u16, what: String) -> Mishap {
        let seen = self.segment.slot(slot);
        let own = |note: &RecorderEntry| note.pid == seen.pid;
        let process = self.processes.get(&slot);
        // What was lost before has another cause.
        let begin = monotonic().saturating_sub(JUST_LOST).as_millis() as u64;
        let is_of_now = |note: &RecorderEntry| {
            own(note) && (note.kind == EntryKind::Running || note.since + u64::from(note.took) >= begin)
        };
        Mishap {
            requests: self.segment.requests(slot).into_iter().filter(is_of_now).collect(),
            events: self.segment.events(slot).into_iter().filter(own).collect(),
            ..look_back_at(process, seen.pid, seen.generation, what)
        }
    }

    /// A process has ended: what is known of it is forgotten next.
    pub(super) fn freeze(&mut self, slot: u16, exit: Exit) {
        self.incidents.frozen = Some(self.look_back(slot, words_of(exit)));
    }

    /// The same for a template.
    pub(in super::super) fn freeze_template(&mut self, template: &Process, exit: Exit) {
        let what = match &template.reason {
            Some(reason) => format!("a template, could not load the application ({reason})"),
            None => format!("a template, {}", words_of(exit)),
        };
        self.incidents.frozen =
            Some(look_back_at(Some(template), template.pid, self.plan.generation(), what));
    }

    /// Keeps what the plan says to have gone wrong.
    pub(super) fn keep_incident(&mut self, what: LifeEvent) {
        let frozen = &mut self.incidents.frozen;
        let incident = match what {
            LifeEvent::Died(_)
            | LifeEvent::TemplateDied
            | LifeEvent::TemplateFailed
            | LifeEvent::RestartFailed(_) => frozen.take(),
            LifeEvent::BootFailed(_) => frozen
                .take()
                .map(|frozen| Mishap { what: format!("{} before it took requests", frozen.what), ..frozen }),
            LifeEvent::BootTimeout(slot) => {
                Some(self.look_back(slot, "took no requests within boot_timeout=, and was killed".into()))
            }
            LifeEvent::DrainTimeout(slot) => {
                Some(self.look_back(slot, "did not end its requests within drain_timeout=".into()))
            }
            LifeEvent::Stuck(slot) => {
                Some(self.look_back(slot, "did not answer a request within timeout=".into()))
            }
            _ => None,
        };
        self.add_incident(incident);
    }

    fn add_incident(&mut self, incident: Option<Mishap>) {
        let all = &mut self.incidents.all;
        all.extend(incident);
        while all.len() > MOST {
            all.pop_front();
        }
    }

    /// The process was whatever the plan says: nothing is to be kept of its end.
    pub(in super::super) fn thaw(&mut self) {
        self.incidents.frozen = None;
    }

    /// A worker tells of a request that was not answered in time.
    pub(in super::super) fn hear_trouble(&mut self, trouble: &Trouble) {
        let mut incident = self.look_back(trouble.slot, "did not answer a request within timeout=".into());
        if incident.pid != trouble.pid {
            // It has ended meanwhile, which is told of as well.
            return;
        }
        let lines = trouble.text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        incident.stack = lines.take(STACK).map(escape).collect();
        self.add_incident(Some(incident));
    }

    /// The requests that the last process that ended had, for the line about it.
    pub(super) fn lost_requests(&self) -> String {
        let Some(last) = self.incidents.all.back() else { return String::new() };
        let Some(longest) = last.requests.iter().max_by_key(|note| last.duration(note)) else {
            return String::new();
        };
        let others = match last.requests.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        let age = Duration::from_millis(last.duration(longest));
        format!(
            "; it had \"{}\" for {:.1} s{others}: gangway why {}",
            escape(&longest.line),
            age.as_secs_f64(),
            escape(&longest.id)
        )
    }

    /// Adds what is known of the last things that went wrong, or of those that a request or a process had a part in. Answers
    /// whether there was something.
    pub(in super::super) fn why(&self, word: Option<&str>, now: Duration, records: &mut Vec<Record>) -> bool {
        let before = records.len();
        for incident in self.incidents.all.iter().rev() {
            match word {
                None => incident.brief(self.name(), now, records),
                Some(word) if incident.is_about(word) => incident.whole(self.name(), now, records),
                Some(_) => {}
            }
        }
        records.len() > before
    }

    /// A request that a process has now, or had a moment ago.
    pub(in super::super) fn seen(&self, word: &str, now: Duration) -> Option<Record> {
        let slots = || 0..self.segment.shape().slots;
        let running = slots().flat_map(|slot| self.segment.requests(slot));
        let ended = slots().flat_map(|slot| self.segment.events(slot));
        let found = running.chain(ended).find(|note| incident::is_of(note, word))?;
        Some(incident::seen(self.name(), &found, now))
    }

    pub(super) fn note_process(&self, slot: u16, kind: EntryKind) {
        self.segment.note_process(slot, kind, monotonic().as_millis() as u64);
    }
}

fn look_back_at(process: Option<&Process>, pid: u32, generation: u32, what: String) -> Mishap {
    let now = monotonic();
    Mishap {
        at: now,
        what,
        pid,
        generation,
        age: process.map(|process| now.saturating_sub(process.began)).unwrap_or_default(),
        requests: Vec::new(),
        events: Vec::new(),
        stack: Vec::new(),
        lines: process.map(|process| process.last_lines.iter().cloned().collect()).unwrap_or_default(),
    }
}

fn words_of(exit: Exit) -> String {
    let text = exit.to_string();
    text.strip_prefix("it ").unwrap_or(&text).to_owned()
}
