// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a place of the configuration says of handlers, as data of its own: for servers whose handlers run on other threads.

use super::plan::{Handler, RequestPhase, chosen, merge_assignments, merge_handlers};

/// A name and its value.
type OwnedPair = (Vec<u8>, Vec<u8>);

/// Names and their values, as somebody has them.
#[derive(Clone, Copy, Debug)]
pub enum PlaceWords<'w> {
    /// Each borrowed from where it is.
    Lent(&'w [(&'w [u8], &'w [u8])]),
    /// Those of a place.
    Own(&'w [OwnedPair]),
    /// Those of a place that have a value: others only end what places around it say.
    Valued(&'w [OwnedPair]),
}

impl<'w> PlaceWords<'w> {
    /// How many there are at most.
    #[must_use]
    pub fn most(self) -> usize {
        match self {
            Self::Lent(pairs) => pairs.len(),
            Self::Own(pairs) | Self::Valued(pairs) => pairs.len(),
        }
    }

    /// In order.
    pub fn iter(self) -> impl Iterator<Item = (&'w [u8], &'w [u8])> {
        let (lent, own) = match self {
            Self::Lent(pairs) => (pairs, &[][..]),
            Self::Own(pairs) | Self::Valued(pairs) => (&[][..], pairs),
        };
        let own = own.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
        let is_meant = move |value: &[u8]| !matches!(self, Self::Valued(_)) || !value.is_empty();
        lent.iter().copied().chain(own).filter(move |(_, value)| is_meant(value))
    }
}

/// One handler, as [`Handler`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedHandler {
    phase: RequestPhase,
    name: Vec<u8>,
    suffix: Option<Vec<u8>>,
    directory: Vec<u8>,
}

impl OwnedHandler {
    /// A copy.
    #[must_use]
    pub fn of(handler: &Handler<'_>) -> Self {
        Self {
            phase: handler.phase,
            name: handler.name.to_vec(),
            suffix: handler.suffix.map(<[u8]>::to_vec),
            directory: handler.directory.to_vec(),
        }
    }

    pub(super) fn phase(&self) -> RequestPhase {
        self.phase
    }

    /// For a call.
    #[must_use]
    pub fn lend(&self) -> Handler<'_> {
        Handler {
            phase: self.phase,
            name: &self.name,
            suffix: self.suffix.as_deref(),
            directory: &self.directory,
        }
    }
}

/// The handlers of a place, and what they are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandlerPlace {
    handlers: Vec<OwnedHandler>,
    /// Phases of which the handlers of places around it do not count.
    ended: Vec<RequestPhase>,
    settings: Vec<OwnedPair>,
    options: Vec<OwnedPair>,
    /// Whose modules the handlers use.
    interpreter: Option<Vec<u8>>,
    /// What a client is asked to authenticate for.
    realm: Option<Vec<u8>>,
}

impl HandlerPlace {
    /// Adds handlers behind those that are there.
    pub fn add_handlers(&mut self, more: &[Handler<'_>]) {
        self.handlers.extend(more.iter().map(OwnedHandler::of));
    }

    /// Ends what places around it say of a phase.
    pub fn end(&mut self, phase: RequestPhase) {
        self.handlers.retain(|handler| handler.phase != phase);
        self.ended.push(phase);
    }

    /// Sets one of the engine's words.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        assign(&mut self.settings, name, value);
    }

    /// Sets one of the handlers' words.
    pub fn set_option(&mut self, name: &[u8], value: &[u8]) {
        assign(&mut self.options, name, value);
    }

    /// Names the interpreter.
    pub fn set_interpreter(&mut self, name: &[u8]) {
        self.interpreter = Some(name.to_vec());
    }

    /// Names the realm.
    pub fn set_realm(&mut self, realm: &[u8]) {
        self.realm = Some(realm.to_vec());
    }

    /// Whether there are handlers of a phase, for some file or other.
    #[must_use]
    pub fn has(&self, phase: RequestPhase) -> bool {
        self.handlers.iter().any(|handler| handler.phase == phase)
    }

    /// Whether the choice of handlers depends on the file.
    #[must_use]
    pub fn goes_by_suffix(&self) -> bool {
        self.handlers.iter().any(|handler| handler.suffix.is_some())
    }

    /// The handlers of a phase for any file.
    pub fn handlers(&self, phase: RequestPhase) -> impl Iterator<Item = Handler<'_>> {
        self.handlers.iter().filter(move |handler| handler.phase == phase).map(OwnedHandler::lend)
    }

    /// The handlers of a phase for a file, in order.
    #[must_use]
    pub fn chosen(&self, phase: RequestPhase, filename: &[u8]) -> Vec<Handler<'_>> {
        if !self.goes_by_suffix() {
            return self.handlers(phase).collect();
        }
        let all: Vec<_> = self.handlers.iter().map(OwnedHandler::lend).collect();
        chosen(&all, phase, filename).copied().collect()
    }

    /// The engine's words.
    #[must_use]
    pub fn settings(&self) -> PlaceWords<'_> {
        PlaceWords::Own(&self.settings)
    }

    /// The handlers' words.
    #[must_use]
    pub fn options(&self) -> PlaceWords<'_> {
        PlaceWords::Valued(&self.options)
    }

    /// Whose modules the handlers use, where it is said.
    #[must_use]
    pub fn interpreter(&self) -> Option<&[u8]> {
        self.interpreter.as_deref()
    }

    /// What a client is asked to authenticate for, where it is said.
    #[must_use]
    pub fn realm(&self) -> Option<&[u8]> {
        self.realm.as_deref()
    }

    /// What an inner place and the one around it say together: of a phase (and a suffix) that the inner one names handlers for, those
    /// count and no others.
    #[must_use]
    pub fn merged(outer: &Self, inner: &Self) -> Self {
        let is_kept = |handler: &&OwnedHandler| !inner.ended.contains(&handler.phase);
        let old: Vec<_> = outer.handlers.iter().filter(is_kept).map(OwnedHandler::lend).collect();
        let new: Vec<_> = inner.handlers.iter().map(OwnedHandler::lend).collect();
        Self {
            handlers: merge_handlers(&old, &new).iter().map(OwnedHandler::of).collect(),
            ended: Vec::new(),
            settings: own(&merge_assignments(&lend(&outer.settings), &lend(&inner.settings))),
            options: own(&merge_assignments(&lend(&outer.options), &lend(&inner.options))),
            interpreter: inner.interpreter.clone().or_else(|| outer.interpreter.clone()),
            realm: inner.realm.clone().or_else(|| outer.realm.clone()),
        }
    }
}

fn assign(pairs: &mut Vec<OwnedPair>, name: &[u8], value: &[u8]) {
    pairs.retain(|(known, _)| known != name);
    pairs.push((name.to_vec(), value.to_vec()));
}

fn lend(pairs: &[OwnedPair]) -> Vec<(&[u8], &[u8])> {
    pairs.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect()
}

fn own(pairs: &[(&[u8], &[u8])]) -> Vec<OwnedPair> {
    pairs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(handlers: &[(RequestPhase, &str)]) -> HandlerPlace {
        let mut place = HandlerPlace::default();
        for (phase, name) in handlers {
            let handler = Handler { phase: *phase, name: name.as_bytes(), suffix: None, directory: b"/srv" };
            place.add_handlers(&[handler]);
        }
        place
    }

    fn names(place: &HandlerPlace, phase: RequestPhase) -> String {
        let found = place.chosen(phase, b"/srv/index.py");
        let names = found.iter().map(|handler| String::from_utf8_lossy(handler.name).into_owned());
        names.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_phase_that_the_inner_place_names_or_ends_is_its_own() {
        use RequestPhase::{Access, Authen, Content};
        let outer = place(&[(Access, "a"), (Authen, "b"), (Content, "c")]);
        let mut inner = place(&[(Content, "d")]);
        inner.end(Authen);
        let merged = HandlerPlace::merged(&outer, &inner);
        let found = [Access, Authen, Content].map(|phase| names(&merged, phase));
        assert_eq!(found, ["a", "", "d"]);
        assert!(merged.has(Access) && !merged.has(Authen));
        let below = HandlerPlace::merged(&merged, &place(&[(Authen, "e")]));
        assert_eq!(names(&below, Authen), "e");
    }

    #[test]
    fn words_are_inherited_by_their_names() {
        let (mut outer, mut inner) = (HandlerPlace::default(), HandlerPlace::default());
        outer.set_option(b"a", b"1");
        outer.set_option(b"b", b"2");
        outer.set_realm(b"Outside");
        inner.set_option(b"b", b"3");
        inner.set_option(b"b", b"4");
        let merged = HandlerPlace::merged(&outer, &inner);
        let options: Vec<_> = merged.options().iter().collect();
        assert_eq!(options, [(&b"a"[..], &b"1"[..]), (b"b", b"4")]);
        let below = HandlerPlace::merged(&merged, &{
            let mut place = HandlerPlace::default();
            place.set_option(b"a", b"");
            place
        });
        assert_eq!((below.options().iter().count(), below.options().most()), (1, 2));
        assert_eq!(merged.realm(), Some(&b"Outside"[..]));
        assert_eq!(merged.interpreter(), None);
    }
}
