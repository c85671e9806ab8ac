// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request as data of its own, for a server whose requests belong to one thread and whose handlers run on others.

use super::{
    Change, Fact, Number, Relation, RequestPhase, Table,
    mapping::split,
    place::OwnedHandler,
    plan::Handler,
    values::{SnapshotRange, SnapshotValue, SnapshotValues, is_line_of},
};

/// A name and its value.
type SnapshotEntry = (SnapshotValue, SnapshotValue);

/// Facts, numbers and tables of a request, from its first phase with a handler to its end. The server fills in what it knows before
/// each run of handlers, and looks afterwards what they have changed.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What the server has told.
    values: SnapshotValues,
    texts: [Option<SnapshotRange>; Fact::ALL.len()],
    /// Texts that handlers have set and that there was no room for, by their numbers.
    long_texts: Vec<(usize, Vec<u8>)>,
    /// Texts that handlers have set, which are theirs from then on.
    changed: u64,
    numbers: [i64; Number::ALL.len()],
    /// Tables that somebody has changed.
    touched: u64,
    tables: [Vec<SnapshotEntry>; Table::ALL.len()],
    /// What is known of the connection's encryption, by the names that mod_ssl has for it.
    tls: Vec<SnapshotEntry>,
    /// Where the path leads in the file system, and how long the root is, until somebody wants to know what of it is a file.
    mapped: Option<(SnapshotRange, usize)>,
    /// How long the response is, where a handler has said it.
    length: Option<u64>,
    /// The path that is to answer.
    target: Option<Vec<u8>>,
    /// Handlers of later phases, and filters, that others have added.
    added: Vec<OwnedHandler>,
    /// Something is to be done at the end.
    awaits_cleanup: bool,
    /// It is a part of another request, and it was redirected from another path.
    beside: [bool; 2],
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            values: SnapshotValues::default(),
            texts: [None; Fact::ALL.len()],
            long_texts: Vec::new(),
            changed: 0,
            numbers: [0; Number::ALL.len()],
            touched: 0,
            tables: [const { Vec::new() }; Table::ALL.len()],
            tls: Vec::new(),
            mapped: None,
            length: None,
            target: None,
            added: Vec::new(),
            awaits_cleanup: false,
            beside: [false; 2],
        }
    }
}

impl Snapshot {
    /// The server tells a text. Of one that handlers have set theirs stays.
    pub fn tell_text(&mut self, fact: Fact, value: &[u8]) {
        if !self.has_set(fact)
            && let Some(place) = self.texts.get_mut(fact as usize)
        {
            // Most of it is what it was in the phase before.
            if place.map(|place| self.values.slice(place)) != Some(value) {
                *place = self.values.put(value);
            }
        }
    }

    /// The server tells a number.
    pub fn tell_number(&mut self, number: Number, value: i64) {
        if let Some(place) = self.numbers.get_mut(number as usize) {
            *place = value;
        }
    }

    /// The server tells an entry of a table.
    pub fn tell_entry(&mut self, table: Table, name: &[u8], value: &[u8]) {
        if let Some(table) = self.tables.get_mut(table as usize) {
            if table.capacity() == 0 {
                table.reserve(ENTRIES);
            }
            table.push((self.values.tell(name), self.values.tell(value)));
        }
    }

    /// The server tells where the path leads in the file system: FILENAME and PATH_INFO come from that when they are asked for. `root`:
    /// how much of it is no part of the path.
    pub fn tell_path(&mut self, path: &[u8], root: usize) {
        if !self.has_set(Fact::Filename) {
            // Most likely where it led in the phase before.
            let known = self.mapped.map(|(known, _)| known).filter(|known| self.values.slice(*known) == path);
            self.mapped = known.or_else(|| self.values.put(path)).map(|place| (place, root));
        }
    }

    /// The server tells something of the connection's encryption, once; empty where there is nothing of this name.
    pub fn tell_tls(&mut self, name: &[u8], value: &[u8]) {
        self.tls.push((self.values.tell(name), self.values.tell(value)));
    }

    /// Whether the server has told something of the connection's encryption.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        !self.tls.is_empty()
    }

    /// What the server has told of the connection's encryption by this name.
    pub(super) fn tls(&self, name: &[u8]) -> Option<&[u8]> {
        let mut all = self.tls.iter().map(|(name, value)| (self.values.get(name), self.values.get(value)));
        all.find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The server tells whether it is a part of another request, and whether another path has sent it here.
    pub fn tell_beside(&mut self, is_part: bool, is_redirected: bool) {
        self.beside = [is_part, is_redirected];
    }

    /// Whether there is no such transaction beside it.
    pub(super) fn has_none_beside(&self, which: Relation) -> bool {
        let [is_part, is_redirected] = self.beside;
        match which {
            Relation::Main => !is_part,
            Relation::Prev => !is_redirected,
            // It would have ended.
            Relation::Next => true,
            Relation::Connection => false,
        }
    }

    /// A text. May ask the file system.
    pub fn text(&mut self, fact: Fact) -> Option<&[u8]> {
        if matches!(fact, Fact::Filename | Fact::CanonicalFilename | Fact::PathInfo)
            && let Some((place, root)) = self.mapped.take()
        {
            let path = self.values.slice(place).to_vec();
            let (filename, rest) = split(&path, root);
            self.tell_text(Fact::Filename, filename);
            self.tell_text(Fact::CanonicalFilename, filename);
            self.tell_text(Fact::PathInfo, rest);
        }
        self.pathless(fact)
    }

    /// A text that does not come from the path in the file system.
    pub(crate) fn pathless(&self, fact: Fact) -> Option<&[u8]> {
        match self.texts.get(fact as usize)? {
            Some(place) => Some(self.values.slice(*place)),
            None => {
                let mut long = self.long_texts.iter();
                long.find(|(number, _)| *number == fact as usize).map(|(_, value)| value.as_slice())
            }
        }
    }

    /// Sets a text for handlers, or takes it away. Answers whether it can be set.
    pub fn set_text(&mut self, fact: Fact, value: Option<&[u8]>) -> bool {
        use Fact::{
            ApAuthType, Args, CanonicalFilename, ContentEncoding, ContentType, Filename, Handler, PathInfo,
            StatusLine, Uri, User,
        };
        match fact {
            Uri | Filename if value.is_none() => return false,
            Uri | Filename | CanonicalFilename | PathInfo | Args | ContentType | ContentEncoding
            | Handler | User | ApAuthType | StatusLine => {}
            _ => return false,
        }
        if matches!(fact, Uri | Filename | CanonicalFilename | PathInfo) {
            // What is asked for later is not made from the path once a part of it is set.
            let _ = self.text(Filename);
        }
        let range = value.and_then(|value| self.values.put_in_room(value));
        self.place_text(fact, range);
        if let (None, Some(value)) = (range, value) {
            self.long_texts.push((fact as usize, value.to_vec()));
        }
        self.changed |= 1 << (fact as u32);
        true
    }

    /// Whether handlers have set a text.
    #[must_use]
    pub fn has_set(&self, fact: Fact) -> bool {
        self.changed & 1 << (fact as u32) != 0
    }

    /// A text is the server's again.
    pub fn forget_text(&mut self, fact: Fact) {
        self.changed &= !(1 << (fact as u32));
        self.place_text(fact, None);
    }

    /// A text stands there from now on.
    fn place_text(&mut self, fact: Fact, range: Option<SnapshotRange>) {
        if let Some(place) = self.texts.get_mut(fact as usize) {
            *place = range;
        }
        self.long_texts.retain(|(number, _)| *number != fact as usize);
    }

    /// A number.
    #[must_use]
    pub fn number(&self, number: Number) -> i64 {
        self.numbers.get(number as usize).copied().unwrap_or_default()
    }

    /// Sets a number for handlers. Answers whether it can be set to that.
    pub fn set_number(&mut self, number: Number, value: i64) -> bool {
        use Number::{Allowed, Assbackwards, Mtime, NoCache, NoLocalCopy, Proxyreq, Status, UsedPathInfo};
        match number {
            Status => {
                // That of another status would be sent instead.
                if !self.pathless(Fact::StatusLine).is_some_and(|line| is_line_of(line, value)) {
                    self.forget_text(Fact::StatusLine);
                }
            }
            // The server has no such responses.
            Assbackwards | Proxyreq if value != 0 => return false,
            Assbackwards | Proxyreq | Mtime | NoCache | NoLocalCopy | Allowed | UsedPathInfo => {}
            _ => return false,
        }
        self.tell_number(number, value);
        true
    }

    /// The entries of a table in order.
    pub fn entries(&self, table: Table) -> impl Iterator<Item = (&[u8], &[u8])> {
        let entries = self.tables.get(table as usize).map_or(&[][..], Vec::as_slice);
        entries.iter().map(|(name, value)| (self.values.get(name), self.values.get(value)))
    }

    /// The first value of a name in a table, in any case.
    #[must_use]
    pub fn entry(&self, table: Table, name: &[u8]) -> Option<&[u8]> {
        self.entries(table).find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Changes a table.
    pub fn change(&mut self, table: Table, change: Change<'_>) {
        let Some(entries) = self.tables.get_mut(table as usize) else { return };
        self.touched |= 1 << (table as u32);
        match change {
            Change::Set(name, value) => {
                let entry = (self.values.set(name), self.values.set(value));
                let is_it = |known: &SnapshotEntry| self.values.is(&known.0, name);
                // In its place, as httpd's tables do it: the order of headers stays.
                let at = entries.iter().position(is_it);
                match at.and_then(|at| entries.get_mut(at)) {
                    Some(place) => *place = entry,
                    None => entries.push(entry),
                }
                let mut is_first = true;
                entries.retain(|known| !is_it(known) || std::mem::replace(&mut is_first, false));
            }
            Change::Add(name, value) => entries.push((self.values.set(name), self.values.set(value))),
            Change::Unset(name) => entries.retain(|known| !self.values.is(&known.0, name)),
            Change::Clear => entries.clear(),
        }
    }

    /// Whether a table has been changed.
    #[must_use]
    pub fn has_changed(&self, table: Table) -> bool {
        self.touched & 1 << (table as u32) != 0
    }

    /// Declares how long the response is.
    pub fn set_length(&mut self, length: u64) {
        self.length = Some(length);
        self.tell_number(Number::Clength, i64::try_from(length).unwrap_or(i64::MAX));
    }

    /// The head has been made: how long the response is to be is what it says.
    pub(super) fn settle_length(&mut self) {
        let said = || {
            [Table::HeadersOut, Table::ErrHeadersOut]
                .iter()
                .find_map(|table| self.entry(*table, b"content-length"))
        };
        if self.length.is_none()
            && let Some(length) = said().and_then(|said| std::str::from_utf8(said).ok()?.parse().ok())
        {
            self.set_length(length);
        }
    }

    /// How long a handler says that the response is.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Has another path answer.
    pub fn set_target(&mut self, target: &[u8]) {
        self.target = Some(target.to_vec());
    }

    /// The path that is to answer, once.
    pub fn take_target(&mut self) -> Option<Vec<u8>> {
        self.target.take()
    }

    /// Whether another path is to answer.
    #[must_use]
    pub fn has_target(&self) -> bool {
        self.target.is_some()
    }

    /// Has a handler run in a later phase, or for the response's body.
    pub fn add_handler(&mut self, handler: &Handler<'_>) {
        self.added.push(OwnedHandler::of(handler));
    }

    /// Whether there are handlers of a phase that others have added.
    #[must_use]
    pub fn has_added(&self, phase: RequestPhase) -> bool {
        self.added.iter().any(|handler| handler.phase() == phase)
    }

    /// The handlers of a phase that others have added, in order.
    #[must_use]
    pub fn added(&self, phase: RequestPhase) -> Vec<OwnedHandler> {
        self.added.iter().filter(|handler| handler.phase() == phase).cloned().collect()
    }

    /// Something is to be done at the end of the request.
    pub fn await_cleanup(&mut self) {
        self.awaits_cleanup = true;
    }

    /// Whether something is to be done at the end of the request.
    #[must_use]
    pub fn awaits_cleanup(&self) -> bool {
        self.awaits_cleanup
    }

    /// Whether something is to be done after the response.
    #[must_use]
    pub fn has_afterwards(&self) -> bool {
        use RequestPhase::{Cleanup, Log};
        self.awaits_cleanup || [Log, Cleanup].into_iter().any(|phase| self.has_added(phase))
    }

    /// The server tells all of a table.
    pub fn tell_table<'e>(&mut self, table: Table, entries: impl Iterator<Item = (&'e [u8], &'e [u8])>) {
        if let Some(known) = self.tables.get_mut(table as usize) {
            known.clear();
            known.extend(entries.map(|(name, value)| (self.values.tell(name), self.values.tell(value))));
        }
    }

    /// The request has been sent to another place of the server: what leaves with errors, too, stays with it, and everything else begins
    /// anew.
    pub fn begin_anew(&mut self) {
        let kept = [Table::ErrHeadersOut, Table::ConnectionNotes];
        let mut fresh = Self::default();
        for table in kept {
            if let Some(new) = fresh.tables.get_mut(table as usize) {
                let old = self.entries(table);
                new.extend(old.map(|(name, value)| {
                    (SnapshotValue::Own(name.to_vec()), SnapshotValue::Own(value.to_vec()))
                }));
            }
        }
        *self = fresh;
    }
}

/// Entries of a table that has some, mostly at most.
const ENTRIES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_handlers_set_stays_theirs() {
        let mut snapshot = Snapshot::default();
        snapshot.tell_text(Fact::Uri, b"/a");
        snapshot.tell_text(Fact::Uri, b"/b");
        assert_eq!(snapshot.text(Fact::Uri), Some(&b"/b"[..]));
        assert!(snapshot.set_text(Fact::Uri, Some(b"/c")));
        snapshot.tell_text(Fact::Uri, b"/d");
        assert_eq!(snapshot.text(Fact::Uri), Some(&b"/c"[..]));
        assert!(snapshot.has_set(Fact::Uri) && !snapshot.has_set(Fact::Args));
        assert!(!snapshot.set_text(Fact::Uri, None) && !snapshot.set_text(Fact::Protocol, Some(b"x")));
        snapshot.forget_text(Fact::Uri);
        assert_eq!(snapshot.text(Fact::Uri), None);
    }

    #[test]
    fn what_has_no_part_in_the_path_does_not_ask_the_file_system() {
        let mut snapshot = Snapshot::default();
        snapshot.tell_path(b"/nowhere/page", 8);
        assert!(snapshot.set_text(Fact::ContentType, Some(b"text/plain")) && snapshot.mapped.is_some());
        assert!(snapshot.set_text(Fact::PathInfo, Some(b"/more")) && snapshot.mapped.is_none());
        assert_eq!(snapshot.text(Fact::Filename), Some(&b"/nowhere/page"[..]));
        assert_eq!(snapshot.text(Fact::PathInfo), Some(&b"/more"[..]));
    }

    #[test]
    fn tables_have_names_in_any_case_and_several_values() {
        let mut snapshot = Snapshot::default();
        let shown = |snapshot: &Snapshot| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let all =
                snapshot.entries(Table::HeadersOut).map(|(name, value)| text(name) + "=" + &text(value));
            all.collect::<Vec<_>>().join(" ")
        };
        for change in [Change::Set(b"A", b"1"), Change::Add(b"a", b"2"), Change::Add(b"B", b"3")] {
            snapshot.change(Table::HeadersOut, change);
        }
        assert_eq!(shown(&snapshot), "A=1 a=2 B=3");
        snapshot.change(Table::HeadersOut, Change::Set(b"a", b"4"));
        assert_eq!(shown(&snapshot), "a=4 B=3");
        snapshot.change(Table::HeadersOut, Change::Unset(b"b"));
        assert_eq!(snapshot.entry(Table::HeadersOut, b"A"), Some(&b"4"[..]));
        snapshot.change(Table::HeadersOut, Change::Clear);
        assert_eq!(shown(&snapshot), "");
    }

    #[test]
    fn another_place_begins_anew_but_for_what_leaves_with_errors() {
        let mut snapshot = Snapshot::default();
        assert!(snapshot.set_text(Fact::User, Some(b"anna")) && snapshot.set_number(Number::Status, 404));
        assert!(!snapshot.set_number(Number::Proxyreq, 1) && !snapshot.set_number(Number::LocalPort, 1));
        snapshot.change(Table::HeadersOut, Change::Set(b"A", b"1"));
        snapshot.change(Table::ErrHeadersOut, Change::Set(b"B", b"1"));
        snapshot.begin_anew();
        assert_eq!(snapshot.text(Fact::User), None);
        assert_eq!(snapshot.number(Number::Status), 0);
        assert_eq!(snapshot.entries(Table::HeadersOut).count(), 0);
        assert_eq!(snapshot.entry(Table::ErrHeadersOut, b"b"), Some(&b"1"[..]));
    }
}
