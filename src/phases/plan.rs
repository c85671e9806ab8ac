// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which handlers run in which phase: the words and rules of their oldest engine, which unchanged configurations rely on.
//!
//! Plain data that borrows from the configuration, so that an adapter can keep it in memory of its server.

use gangway_abi::ffi as abi;

/// A phase of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum RequestPhase {
    /// The head has been read.
    PostReadRequest = abi::GW_PHASE_POST_READ_REQUEST,
    /// The first phase that knows the place of the handler.
    Init = abi::GW_PHASE_INIT,
    /// The path becomes a file.
    Trans = abi::GW_PHASE_TRANS,
    /// The place is known.
    HeaderParser = abi::GW_PHASE_HEADER_PARSER,
    /// Who may come from where.
    Access = abi::GW_PHASE_ACCESS,
    /// Who it is.
    Authen = abi::GW_PHASE_AUTHEN,
    /// What they may.
    Authz = abi::GW_PHASE_AUTHZ,
    /// What kind of document it is.
    Type = abi::GW_PHASE_TYPE,
    /// Last changes.
    Fixup = abi::GW_PHASE_FIXUP,
    /// The response.
    Content = abi::GW_PHASE_CONTENT,
    /// The response has ended.
    Log = abi::GW_PHASE_LOG,
    /// The end of the request.
    Cleanup = abi::GW_PHASE_CLEANUP,
    /// A piece of the request's body passes.
    InputFilter = abi::GW_PHASE_INPUT_FILTER,
    /// A piece of the response's body passes.
    OutputFilter = abi::GW_PHASE_OUTPUT_FILTER,
    /// A connection has begun, and there is no request.
    Connection = abi::GW_PHASE_CONNECTION,
}

impl RequestPhase {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::PostReadRequest,
        Self::Init,
        Self::Trans,
        Self::HeaderParser,
        Self::Access,
        Self::Authen,
        Self::Authz,
        Self::Type,
        Self::Fixup,
        Self::Content,
        Self::Log,
        Self::Cleanup,
        Self::InputFilter,
        Self::OutputFilter,
        Self::Connection,
    ];

    /// The one with this number.
    #[must_use]
    pub fn from_abi(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| *phase as u32 == number)
    }

    /// Whether handlers of it may read the request's body and write a response.
    #[must_use]
    pub fn has_bodies(self) -> bool {
        !matches!(self, Self::Log | Self::Cleanup) && !self.is_filter()
    }

    /// Whether a body passes.
    #[must_use]
    pub fn is_filter(self) -> bool {
        matches!(self, Self::InputFilter | Self::OutputFilter)
    }
}

/// One handler that a section of the configuration names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handler<'c> {
    /// When it runs.
    pub phase: RequestPhase,
    /// The word for the engine.
    pub name: &'c [u8],
    /// For files with this suffix alone, with its dot; of a filter its name, in lower case.
    pub suffix: Option<&'c [u8]>,
    /// The directory of the section; empty for a section without one.
    pub directory: &'c [u8],
}

/// Names with values; each name once.
pub type Assignments<'c> = Vec<(&'c [u8], &'c [u8])>;

/// The words of a handler directive: `HANDLER ... [| .SUFFIX ...]`. With several suffixes each handler is one of each.
///
/// # Errors
/// What is wrong, with the cure.
pub fn parse_handlers<'c>(
    phase: RequestPhase,
    words: &[&'c [u8]],
    directory: &'c [u8],
) -> Result<Vec<Handler<'c>>, String> {
    let mut parts = words.splitn(2, |word| *word == b"|");
    let (names, suffixes) = (parts.next().unwrap_or_default(), parts.next());
    if names.is_empty() {
        return Err("needs a handler: MODULE or MODULE::OBJECT".into());
    }
    if let Some(wrong) = names.iter().find(|name| name.is_empty() || name.contains(&b'|')) {
        let wrong = crate::log::escape(wrong);
        return Err(format!(
            "has \"{wrong}\" as a handler; write MODULE or MODULE::OBJECT, with blanks around \"|\""
        ));
    }
    let handler = |name: &&'c [u8], suffix| Handler { phase, name, suffix, directory };
    let Some(suffixes) = suffixes else {
        return Ok(names.iter().map(|name| handler(name, None)).collect());
    };
    let is_suffix = |suffix: &&&[u8]| suffix.len() > 1 && suffix.starts_with(b".");
    if suffixes.is_empty() || !suffixes.iter().all(|suffix| is_suffix(&suffix)) {
        return Err("needs suffixes with their dot after \"|\", such as \".py\"".into());
    }
    Ok(suffixes.iter().flat_map(|suffix| names.iter().map(move |name| handler(name, Some(suffix)))).collect())
}

/// What an inner section and the one around it say together: of a phase (and a suffix) that the inner one names handlers for,
/// those count and no others.
#[must_use]
pub fn merge_handlers<'c>(outer: &[Handler<'c>], inner: &[Handler<'c>]) -> Vec<Handler<'c>> {
    let is_replaced =
        |old: &&Handler<'c>| inner.iter().any(|new| new.phase == old.phase && new.suffix == old.suffix);
    outer.iter().filter(|old| !is_replaced(old)).chain(inner).copied().collect()
}

/// As [`merge_handlers`], for names with values: those of the inner section count.
#[must_use]
pub fn merge_assignments<'c>(
    outer: &[(&'c [u8], &'c [u8])],
    inner: &[(&'c [u8], &'c [u8])],
) -> Assignments<'c> {
    let is_replaced = |(name, _): &&(&[u8], &[u8])| inner.iter().any(|(known, _)| known == name);
    outer.iter().filter(|old| !is_replaced(old)).chain(inner).copied().collect()
}

/// The handlers of a phase for a file, in order: those of its suffix, and where there are none those without a suffix.
pub fn chosen<'h, 'c>(
    handlers: &'h [Handler<'c>],
    phase: RequestPhase,
    filename: &[u8],
) -> impl Iterator<Item = &'h Handler<'c>> + use<'h, 'c> {
    let suffix = suffix_of(filename);
    let of_phase = || handlers.iter().filter(move |handler| handler.phase == phase);
    let found = of_phase().find_map(|handler| handler.suffix.filter(|known| Some(*known) == suffix));
    of_phase().filter(move |handler| handler.suffix == found)
}

/// From the last dot of the last part of a path on.
fn suffix_of(filename: &[u8]) -> Option<&[u8]> {
    let name = filename.rsplit(|byte| *byte == b'/').next()?;
    name.get(name.iter().rposition(|byte| *byte == b'.')?..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &'static str) -> Result<Vec<Handler<'static>>, String> {
        let words: Vec<_> = words.split(' ').filter(|word| !word.is_empty()).map(str::as_bytes).collect();
        parse_handlers(RequestPhase::Content, &words, b"/srv/")
    }

    fn shown(handlers: &[Handler<'_>]) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let one = |handler: &Handler<'_>| text(handler.name) + &handler.suffix.map(text).unwrap_or_default();
        handlers.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn handlers_stand_before_their_suffixes() {
        for (words, handlers) in [
            ("a", "a"),
            ("a b::c", "a b::c"),
            ("a | .py", "a.py"),
            ("a b | .py .psp", "a.py b.py a.psp b.psp"),
        ] {
            assert_eq!(shown(&parse(words).unwrap()), handlers, "{words}");
        }
        for (wrong, cure) in [
            ("", "needs a handler"),
            ("| .py", "needs a handler"),
            ("a|b", "with blanks around"),
            ("a |", "needs suffixes"),
            ("a | py", "needs suffixes"),
            ("a | .", "needs suffixes"),
            ("a | .py | .psp", "needs suffixes"),
        ] {
            assert!(parse(wrong).unwrap_err().contains(cure), "{wrong}");
        }
    }

    #[test]
    fn an_inner_section_replaces_what_it_names_itself() {
        let of = |words, phase| -> Vec<Handler<'static>> {
            parse(words).unwrap().into_iter().map(|handler| Handler { phase, ..handler }).collect()
        };
        let outer = [
            of("a b", RequestPhase::Content),
            of("x | .py", RequestPhase::Content),
            of("l", RequestPhase::Access),
        ]
        .concat();
        let merged = merge_handlers(&outer, &of("c d", RequestPhase::Content));
        assert_eq!(shown(&merged), "x.py l c d");
        assert_eq!(shown(&merge_handlers(&outer, &of("y | .py", RequestPhase::Content))), "a b l y.py");
        assert_eq!(merge_handlers(&outer, &[]), outer);
    }

    #[test]
    fn a_name_has_the_value_of_the_inner_section() {
        let outer: &[(&[u8], &[u8])] = &[(b"a", b"1"), (b"b", b"2")];
        assert_eq!(merge_assignments(outer, &[(b"b", b"3")]), [(&b"a"[..], &b"1"[..]), (b"b", b"3")]);
        assert_eq!(merge_assignments(outer, &[]), outer);
    }

    #[test]
    fn handlers_of_the_suffix_come_in_the_place_of_the_others() {
        let all = [parse("a b").unwrap(), parse("x y | .py").unwrap()].concat();
        let of = |file: &str| {
            let found: Vec<_> = chosen(&all, RequestPhase::Content, file.as_bytes()).copied().collect();
            shown(&found)
        };
        assert_eq!(of("/srv/index.py"), "x.py y.py");
        for other in ["/srv/index.html", "/srv/index", "/srv.py/index", "", "/srv/py"] {
            assert_eq!(of(other), "a b", "{other}");
        }
        assert_eq!(chosen(&all, RequestPhase::Access, b"/srv/index.py").count(), 0);
        let only = parse("x | .py").unwrap();
        assert_eq!(chosen(&only, RequestPhase::Content, b"/srv/index.html").count(), 0);
    }
}
