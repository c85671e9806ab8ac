// SPDX-License-Identifier: MIT OR Apache-2.0
//! The words of a directive for handlers that both servers have: `[PHASE] HANDLER ... [key=value ...]`, or `[PHASE] off`.

use std::path::Path;

use super::{
    application_words::key,
    place::HandlerPlace,
    plan::{RequestPhase, parse_handlers},
};
use crate::log::escape;

/// What a directive says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandlerDirective {
    /// Handlers of places around this one do not count here: of one phase, or of all.
    Off(Option<RequestPhase>),
    /// Handlers of a phase.
    Handlers(HandlerWords),
}

/// Handlers, and what goes with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandlerWords {
    /// When they run; content where nothing is said.
    pub phase: Option<RequestPhase>,
    /// `HANDLER ... [| .SUFFIX ...]`, a word each.
    pub handlers: Vec<Vec<u8>>,
    /// `root=`: where their modules are, absolute and with a slash at its end; empty without it.
    pub directory: Vec<u8>,
    /// Switches, by the names of the settings that they are: 1 or 0.
    pub settings: Vec<(&'static str, Vec<u8>)>,
    /// `option=NAME=VALUE`.
    pub options: Vec<(Vec<u8>, Vec<u8>)>,
    /// `interpreter=`.
    pub interpreter: Option<Vec<u8>>,
    /// `realm=`.
    pub realm: Option<Vec<u8>>,
    /// What is said of the application that stands for all handlers of a process: `threads=` and its like, as they were written.
    pub application: Vec<Vec<u8>>,
    /// Words of an application in processes of its own: `processes=`, `user=` and everything that goes with them, as they were written.
    pub processes: Vec<Vec<u8>>,
}

/// Phases by their words.
const PHASES: [(&str, RequestPhase); 14] = [
    ("post_read_request", RequestPhase::PostReadRequest),
    ("init", RequestPhase::Init),
    ("trans", RequestPhase::Trans),
    ("header_parser", RequestPhase::HeaderParser),
    ("access", RequestPhase::Access),
    ("authen", RequestPhase::Authen),
    ("authz", RequestPhase::Authz),
    ("type", RequestPhase::Type),
    ("fixup", RequestPhase::Fixup),
    ("content", RequestPhase::Content),
    ("log", RequestPhase::Log),
    ("cleanup", RequestPhase::Cleanup),
    ("input_filter", RequestPhase::InputFilter),
    ("output_filter", RequestPhase::OutputFilter),
];

/// Words of the application that stands for all handlers, whatever its engine: who runs them.
const OF_THE_POOL: [&str; 2] = ["threads", "queue"];

/// Words that every place has.
const OF_A_PLACE: [&str; 4] = ["root", "option", "realm", "interpreter"];

/// What a directive's words mean to the engine whose handlers it names. The directive says it, which has the engine's name in its own.
#[derive(Clone, Copy, Debug)]
pub struct HandlerTerms {
    /// Words with on or off, each with the name of the setting that it is.
    pub switches: &'static [(&'static str, &'static str)],
    /// What the engine states of the application that stands for all handlers of a process.
    pub application: &'static [&'static str],
    /// What such an application loads.
    pub target: &'static [u8],
    /// Why this server cannot have handlers of a phase of this word, with the way out.
    pub refusal: fn(&str) -> Option<&'static str>,
}

impl HandlerTerms {
    /// All words, for people.
    fn known(&self) -> String {
        let switches = self.switches.iter().map(|(word, _)| word);
        let all = OF_A_PLACE.iter().chain(switches).chain(self.application).chain(&OF_THE_POOL);
        let all: Vec<&str> = all.copied().collect();
        all.split_last().map(|(last, rest)| format!("{} and {last}", rest.join(", "))).unwrap_or_default()
    }
}

/// The words that give handlers processes of their own.
const ASKS_FOR_PROCESSES: [&[u8]; 2] = [b"processes", b"user"];

const CANNOT_BE_INTERRUPTED: &str = "handlers in the processes of the server cannot be interrupted: let the handler itself give up, or add processes=N";
const OF_THE_SERVER: &str = "handlers of phases look at the requests of the server and change them, which other processes cannot: \
                             processes= and user= are for the phase content; leave this one in the server";

impl HandlerDirective {
    /// Reads the words after the directive's name. Relative directories begin at `base`.
    ///
    /// # Errors
    /// What is wrong, with the cure.
    pub fn parse(words: &[&[u8]], base: &Path, terms: &HandlerTerms) -> Result<Self, String> {
        let (phase, rest) = phase(words, terms.refusal)?;
        if rest == [b"off"] {
            return Ok(Self::Off(phase));
        }
        let found = HandlerWords::read(phase, rest, base, terms)?;
        found.check_processes(terms)?;
        Ok(Self::Handlers(found))
    }
}

/// The phase that the first word names, and the words behind it.
fn phase<'w, 'a>(
    words: &'w [&'a [u8]],
    refuse: fn(&str) -> Option<&'static str>,
) -> Result<(Option<RequestPhase>, &'w [&'a [u8]]), String> {
    let Some((first, rest)) = words.split_first() else {
        return Err("needs a handler: MODULE or MODULE::OBJECT".into());
    };
    let Ok(word) = std::str::from_utf8(first) else { return Ok((None, words)) };
    // A module may have the name of a phase, where it stands alone.
    if rest.is_empty() {
        return Ok((None, words));
    }
    if let Some(why) = refuse(word) {
        return Err(format!("cannot have handlers of the phase \"{word}\": {why}"));
    }
    match PHASES.iter().find(|(name, _)| *name == word) {
        Some((_, phase)) => Ok((Some(*phase), rest)),
        None => Ok((None, words)),
    }
}

impl HandlerWords {
    /// Reads the words of handlers that have a process for themselves: those of the phase content. What is the application's is in
    /// [`HandlerWords::application`] and [`HandlerWords::processes`].
    ///
    /// # Errors
    /// What is wrong, with the cure.
    pub fn parse_hosted(words: &[&[u8]], base: &Path, terms: &HandlerTerms) -> Result<Self, String> {
        let (phase, rest) = phase(words, |_| None)?;
        if phase.is_some_and(|phase| phase != RequestPhase::Content) {
            return Err(
                "are of a phase in which the server itself has to ask: content is the one of such a process"
                    .into(),
            );
        }
        Self::read(phase, rest, base, terms)
    }

    fn read(
        phase: Option<RequestPhase>,
        words: &[&[u8]],
        base: &Path,
        terms: &HandlerTerms,
    ) -> Result<Self, String> {
        let mut found = Self { phase, ..Self::default() };
        for word in words {
            match word.iter().position(|byte| *byte == b'=') {
                Some(at) => {
                    let (key, value) = (word.get(..at), word.get(at + 1..));
                    found.add(key.unwrap_or_default(), value.unwrap_or_default(), word, base, terms)?;
                }
                None => found.handlers.extend(
                    word.split(u8::is_ascii_whitespace).filter(|part| !part.is_empty()).map(<[u8]>::to_vec),
                ),
            }
        }
        Ok(found)
    }

    fn add(
        &mut self,
        key: &[u8],
        value: &[u8],
        word: &[u8],
        base: &Path,
        terms: &HandlerTerms,
    ) -> Result<(), String> {
        let switch = || match value {
            b"on" => Ok(b"1".to_vec()),
            b"off" => Ok(b"0".to_vec()),
            _ => Err(format!("has \"{}\": it must be on or off", escape(word))),
        };
        let some = || {
            if value.is_empty() {
                return Err(format!("has \"{}\": it needs a value", escape(word)));
            }
            Ok(value.to_vec())
        };
        match key {
            b"root" => self.directory = directory(&some()?, base)?,
            b"interpreter" => self.interpreter = Some(some()?),
            b"realm" => self.realm = Some(realm(some()?)?),
            b"option" => self.options.push(assignment(value, word)?),
            _ => {
                // What is no text is none of the words.
                let key = std::str::from_utf8(key).unwrap_or_default();
                if let Some((_, setting)) = terms.switches.iter().find(|(known, _)| *known == key) {
                    self.settings.push((setting, switch()?));
                } else if OF_THE_POOL.contains(&key) || terms.application.contains(&key) {
                    self.application.push(word.to_vec());
                } else {
                    // Whoever reads those of applications in processes of their own knows them.
                    self.processes.push(word.to_vec());
                }
            }
        }
        Ok(())
    }

    /// Whether they run in processes of their own.
    #[must_use]
    pub fn is_managed(&self) -> bool {
        self.processes.iter().any(|word| ASKS_FOR_PROCESSES.contains(&key(word)))
    }

    /// Whether those of such processes are there together.
    fn check_processes(&self, terms: &HandlerTerms) -> Result<(), String> {
        let Some(first) = self.processes.first() else { return Ok(()) };
        let wrong = |why: &str| Err(format!("has \"{}\": {why}", escape(first)));
        match self.phase {
            _ if !self.is_managed() && key(first) == b"timeout" => wrong(CANNOT_BE_INTERRUPTED),
            _ if !self.is_managed() => Err(format!(
                "has an unknown option \"{}\"; known are {}, and with processes=N or user=NAME those of applications in processes of their own",
                escape(first),
                terms.known()
            )),
            None | Some(RequestPhase::Content) => Ok(()),
            Some(_) => wrong(OF_THE_SERVER),
        }
    }

    /// Adds what they say to a place.
    ///
    /// # Errors
    /// What is wrong with the handlers, with the cure.
    pub fn add_to(&self, place: &mut HandlerPlace) -> Result<(), String> {
        let phase = self.phase.unwrap_or(RequestPhase::Content);
        let names: Vec<&[u8]> = self.handlers.iter().map(Vec::as_slice).collect();
        place.add_handlers(&parse_handlers(phase, &names, &self.directory)?);
        self.settings.iter().for_each(|(name, value)| place.set(name.as_bytes(), value));
        self.options.iter().for_each(|(name, value)| place.set_option(name, value));
        if let Some(name) = &self.interpreter {
            place.set_interpreter(name);
        }
        if let Some(realm) = &self.realm {
            place.set_realm(realm);
        }
        Ok(())
    }

    /// What they are called where one of several is meant.
    #[must_use]
    pub fn title(&self) -> String {
        self.handlers.iter().map(|word| escape(word)).collect::<Vec<_>>().join(" ")
    }

    /// The words of the place again, for another process that reads them: without those of the application.
    #[must_use]
    pub fn of_the_place(&self, terms: &HandlerTerms) -> Vec<Vec<u8>> {
        let pair = |key: &str, value: &[u8]| [key.as_bytes(), b"=", value].concat();
        let switch = |(name, value): &(&'static str, Vec<u8>)| {
            let word = terms.switches.iter().find(|(_, setting)| setting == name).map(|(word, _)| *word)?;
            Some(pair(word, if value == b"1" { b"on" } else { b"off" }))
        };
        let mut words = vec![b"content".to_vec()];
        words.extend(self.handlers.iter().cloned());
        words.extend((!self.directory.is_empty()).then(|| pair("root", &self.directory)));
        words.extend(self.settings.iter().filter_map(switch));
        words.extend(
            self.options.iter().map(|(name, value)| pair("option", &[name, &b"="[..], value].concat())),
        );
        words.extend(self.interpreter.iter().map(|name| pair("interpreter", name)));
        words.extend(self.realm.iter().map(|realm| pair("realm", realm)));
        words
    }
}

/// A name and a value, which may be empty: that takes the name away.
fn assignment(value: &[u8], word: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
    let at = value.iter().position(|byte| *byte == b'=').filter(|at| *at > 0);
    let (name, value) = at
        .and_then(|at| Some((value.get(..at)?, value.get(at + 1..)?)))
        .ok_or_else(|| format!("has \"{}\": write option=NAME=VALUE", escape(word)))?;
    Ok((name.to_vec(), value.to_vec()))
}

/// It stands between quotes in a header.
fn realm(value: Vec<u8>) -> Result<Vec<u8>, String> {
    if value.iter().any(|byte| *byte < b' ' || *byte == 0x7f || b"\"\\".contains(byte)) {
        return Err(format!(
            "has \"realm={}\": quotes, backslashes and control bytes cannot stand in it",
            escape(&value)
        ));
    }
    Ok(value)
}

fn directory(value: &[u8], base: &Path) -> Result<Vec<u8>, String> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let path = base.join(std::ffi::OsStr::from_bytes(value));
    if !path.is_dir() {
        return Err(format!("has \"root={}\", which is no directory", escape(value)));
    }
    let mut path = path.into_os_string().into_vec();
    if !path.ends_with(b"/") {
        path.push(b'/');
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: HandlerTerms = HandlerTerms {
        switches: &[("debug", "ShowsErrors"), ("autoreload", "LooksAtFiles")],
        application: &["venv", "env"],
        target: b"x",
        refusal: |word| if word == "type" { Some("try fixup") } else { None },
    };

    fn parse(words: &[&str]) -> Result<HandlerDirective, String> {
        let words: Vec<_> = words.iter().map(|word| word.as_bytes()).collect();
        HandlerDirective::parse(&words, Path::new("/"), &TERMS)
    }

    fn handlers(words: &[&str]) -> HandlerWords {
        match parse(words).unwrap() {
            HandlerDirective::Handlers(found) => found,
            HandlerDirective::Off(_) => panic!("off"),
        }
    }

    #[test]
    fn the_phase_comes_first_and_may_be_left_out() {
        let found = handlers(&["access", "auth::check", "other", "root=tmp"]);
        assert_eq!(found.phase, Some(RequestPhase::Access));
        assert_eq!(found.handlers, [b"auth::check".to_vec(), b"other".to_vec()]);
        assert_eq!(found.directory, b"/tmp/");
        let found = handlers(&["page | .py .psp"]);
        assert_eq!((found.phase, found.handlers.len()), (None, 4));
        assert_eq!(handlers(&["access"]).handlers, [b"access".to_vec()], "a module of that name");
        assert!(parse(&["type", "x"]).unwrap_err().contains("try fixup"));
        assert_eq!(handlers(&["output_filter", "x"]).phase, Some(RequestPhase::OutputFilter));
    }

    #[test]
    fn off_ends_a_phase_or_all() {
        assert_eq!(parse(&["off"]), Ok(HandlerDirective::Off(None)));
        assert_eq!(parse(&["authen", "off"]), Ok(HandlerDirective::Off(Some(RequestPhase::Authen))));
    }

    #[test]
    fn options_are_held_to_their_rules() {
        let found =
            handlers(&["x", "option=a=b=c", "debug=on", "autoreload=off", "venv=/v", "realm=The site"]);
        assert_eq!(found.options, [(b"a".to_vec(), b"b=c".to_vec())]);
        assert_eq!(found.settings, [("ShowsErrors", b"1".to_vec()), ("LooksAtFiles", b"0".to_vec())]);
        assert_eq!(found.application, [b"venv=/v".to_vec()]);
        assert_eq!(found.realm.as_deref(), Some(&b"The site"[..]));
        for (wrong, cure) in [
            ("debug=yes", "must be on or off"),
            ("option=a", "write option=NAME=VALUE"),
            ("option==a", "write option=NAME=VALUE"),
            ("root=/nowhere", "no directory"),
            ("umask=002", "with processes=N or user=NAME"),
            ("timeout=4s", "cannot be interrupted"),
            ("thread=4", "root, option, realm, interpreter, debug, autoreload, venv, env, threads and queue"),
            ("python=3", "unknown option"),
            ("realm=a\"b", "cannot stand in it"),
            ("interpreter=", "needs a value"),
        ] {
            assert!(parse(&["x", wrong]).unwrap_err().contains(cure), "{wrong}");
        }
        assert!(parse(&[]).unwrap_err().contains("needs a handler"));
        for word in ["processes=4", "user=web"] {
            assert!(parse(&["access", "x", word]).unwrap_err().contains("for the phase content"), "{word}");
        }
    }

    #[test]
    fn processes_have_their_words_and_the_place_its_own() {
        let found = handlers(&[
            "a::b c | .py",
            "root=tmp",
            "option=x=y z",
            "debug=on",
            "autoreload=off",
            "interpreter=i",
            "realm=The site",
            "venv=/v",
            "timeout=3s",
            "processes=2",
            "umask=002",
        ]);
        assert!(found.is_managed() && !handlers(&["x"]).is_managed());
        assert_eq!(found.title(), "a::b c | .py");
        assert_eq!(found.processes, [&b"timeout=3s"[..], b"processes=2", b"umask=002"]);
        // Read again they say the same.
        let again: Vec<_> = found.of_the_place(&TERMS);
        let again: Vec<_> = again.iter().map(|word| std::str::from_utf8(word).unwrap()).collect();
        let read = handlers(&again);
        assert_eq!((read.phase, &read.handlers), (Some(RequestPhase::Content), &found.handlers));
        let same = |a: &HandlerWords, b: &HandlerWords| {
            let (mut one, mut other) = (HandlerPlace::default(), HandlerPlace::default());
            (a.add_to(&mut one), b.add_to(&mut other)) == (Ok(()), Ok(())) && one == other
        };
        assert!(same(&read, &found));
    }
}
