// SPDX-License-Identifier: MIT OR Apache-2.0
//! Something that went wrong with a process: what it was at, and what it said last.

use std::time::Duration;

use super::super::{
    control::Record,
    segment::{EntryKind, RecorderEntry},
};
use crate::log::escape;

/// The fewest letters of an id that are enough to find it.
const ENOUGH: usize = 6;

/// What was known when it happened.
#[derive(Clone, Debug)]
pub(super) struct Mishap {
    pub(super) at: Duration,
    /// What has happened, after the words "process 12".
    pub(super) what: String,
    pub(super) pid: u32,
    pub(super) generation: u32,
    pub(super) age: Duration,
    /// Requests that it had, or has just lost.
    pub(super) requests: Vec<RecorderEntry>,
    /// What it did before, the oldest first.
    pub(super) events: Vec<RecorderEntry>,
    /// Where the application was, if its host has said so.
    pub(super) stack: Vec<String>,
    /// The last lines of its output.
    pub(super) lines: Vec<String>,
}

impl Mishap {
    /// Whether it is about the request of this id, or the process of this number.
    pub(super) fn is_about(&self, word: &str) -> bool {
        self.pid.to_string() == word || self.requests.iter().any(|note| is_of(note, word))
    }

    /// One record of it, and one of each request that it had.
    pub(super) fn brief(&self, application: &str, now: Duration, records: &mut Vec<Record>) {
        records.push(
            Record::new("incident")
                .text("application", application)
                .number("pid", self.pid.into())
                .number("generation", self.generation.into())
                .number("milliseconds_ago", milliseconds(now.saturating_sub(self.at)))
                .number("age_milliseconds", milliseconds(self.age))
                .text("what", &self.what),
        );
        records.extend(self.requests.iter().map(|note| self.request(note)));
    }

    /// All that is known.
    pub(super) fn whole(&self, application: &str, now: Duration, records: &mut Vec<Record>) {
        self.brief(application, now, records);
        records.extend(self.events.iter().map(|note| self.event(note)));
        let line = |kind: &'static str| move |line: &String| Record::new(kind).text("text", line);
        records.extend(self.stack.iter().map(line("stack")));
        records.extend(self.lines.iter().map(line("line")));
    }

    fn request(&self, note: &RecorderEntry) -> Record {
        named(Record::new("request"), note).number("milliseconds", self.duration(note))
    }

    /// How long it had had a request, in milliseconds.
    pub(super) fn duration(&self, note: &RecorderEntry) -> u64 {
        match note.kind {
            EntryKind::Running => milliseconds(self.at).saturating_sub(note.since),
            _ => note.took.into(),
        }
    }

    fn event(&self, note: &RecorderEntry) -> Record {
        let before = milliseconds(self.at).saturating_sub(note.since + u64::from(note.took));
        let record = Record::new("event").text("what", word(note.kind)).number("milliseconds_before", before);
        let record = named(record, note);
        match note.status {
            0 => record,
            status => record.number("status", status.into()).number("milliseconds", note.took.into()),
        }
    }
}

/// A request that is there now, or was a moment ago.
pub(super) fn seen(application: &str, note: &RecorderEntry, now: Duration) -> Record {
    let ended = note.since + u64::from(note.took);
    let record = Record::new("seen").text("application", application).text("what", word(note.kind));
    named(record, note)
        .number("pid", note.pid.into())
        .number("milliseconds_ago", milliseconds(now).saturating_sub(ended))
        .number("milliseconds", note.took.into())
        .number("status", note.status.into())
}

fn named(record: Record, note: &RecorderEntry) -> Record {
    if note.line.is_empty() {
        return record;
    }
    record.text("id", &escape(&note.id)).text("line", &escape(&note.line))
}

/// Whether this is the request that somebody asks for.
pub(super) fn is_of(note: &RecorderEntry, word: &str) -> bool {
    let id = escape(&note.id);
    !id.is_empty() && (id == word || word.len() >= ENOUGH && id.starts_with(word))
}

/// Of requests in the words of the log, and of processes.
fn word(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Running => "running",
        EntryKind::Answered => "answered",
        EntryKind::Cut => "cut",
        EntryKind::TimedOut => "not answered in time",
        EntryKind::Left => "left by its client",
        EntryKind::Started => "the process began",
        EntryKind::Ready => "it took requests",
        EntryKind::Draining => "it got no more requests",
        EntryKind::Told => "it was told to end",
        EntryKind::Killed => "it was killed",
    }
}

fn milliseconds(time: Duration) -> u64 {
    time.as_millis() as u64
}
