// SPDX-License-Identifier: MIT OR Apache-2.0
//! The words of a native handler directive: a shared object that speaks gangway.h, and what it is told.

use std::{path::Path, sync::Arc};

use super::{
    ApplicationConf, ConfigError, Parser,
    application::{NATIVE, known, text},
    options::{HOST_OPTIONS, OptionTables},
    values,
};
use crate::{
    engine::{Engine, Interface},
    error::{BAD_OPTION, BAD_TARGET},
};

const FORM: &str = "/path/handler.so or /path/handler.so:NAME";

impl Parser<'_> {
    /// Parses the words after the name of a directive that loads a handler from its file. The file is opened: a handler may
    /// state which options it has.
    ///
    /// # Errors
    /// The first word that is wrong, with the cure, or why the file is no handler.
    pub fn native(&self, words: &[&[u8]]) -> Result<ApplicationConf, ConfigError> {
        let (target, options) = words
            .split_first()
            .ok_or_else(|| ConfigError::new(BAD_TARGET, format!("needs what to run: {FORM}")))?;
        let (file, name) = self.handler(text(target)?)?;
        let engine = Engine::open(&file).map_err(ConfigError::from)?;
        let shown = match name {
            "" => file.display().to_string(),
            name => format!("{}:{name}", file.display()),
        };
        let mut application = self.bare(&file, NATIVE, shown, name.to_owned());
        let stated = engine.interfaces().iter().find(|interface| interface.name == NATIVE);
        let known = match stated {
            Some(interface) => {
                application.take_interface(interface);
                known(&file, interface)?
            }
            None => OptionTables::new(&[], HOST_OPTIONS),
        };
        let mut seen = Vec::new();
        for word in options {
            let word = text(word)?;
            let (key, value) = known.pair(word)?;
            match (known.find(key), stated) {
                (Some(option), _) => self.add(&mut application, &mut seen, option, value)?,
                (None, Some(_)) => _ = known.split(word)?,
                (None, None) if key.is_empty() => {
                    return Err(ConfigError::new(BAD_OPTION, format!("\"{word}\" has no key before \"=\"")));
                }
                // Anything may be the handler's, but it is hardly what looks like a slip of the pen.
                (None, None) => match known.nearest(key) {
                    None => application.push(key, value.to_owned()),
                    Some(near) => {
                        let text = format!(
                            "unknown option \"{key}\" in \"{word}\": did you mean \"{near}=\"? a handler that has \"{key}=\" \
                             states its options"
                        );
                        return Err(ConfigError::new(BAD_OPTION, text));
                    }
                },
            }
        }
        Ok(application)
    }

    /// What the handler that the first word names states, if it can be opened and does.
    pub(super) fn stated(&self, words: &[&[u8]]) -> Option<(Arc<Path>, Interface)> {
        let (file, _) = self.handler(text(words.first()?).ok()?).ok()?;
        let engine = Engine::open(&file).ok()?;
        let stated = engine.interfaces().iter().find(|interface| interface.name == NATIVE)?.clone();
        Some((file, stated))
    }

    /// `FILE` or `FILE:NAME`. A file whose own name holds a colon is that file.
    fn handler<'w>(&self, target: &'w str) -> Result<(Arc<Path>, &'w str), ConfigError> {
        let refuse = |why: String| ConfigError::new(BAD_TARGET, format!("\"{target}\" {why}"));
        if let Some((key, _)) = target.split_once('=')
            && OptionTables::new(&[], HOST_OPTIONS).find(key).is_some()
        {
            return Err(refuse(format!(
                "stands where the handler must stand, which comes first: use {FORM}"
            )));
        }
        let whole = values::existing(target, self.base, false);
        let (file, name) = match (whole, target.rsplit_once(':')) {
            (Ok(file), _) => (Ok(file), ""),
            (Err(_), Some((file, name))) if !name.contains('/') => {
                (values::existing(file, self.base, false), name)
            }
            (Err(why), _) => (Err(why), ""),
        };
        let file = file.map_err(|why| refuse(format!("cannot be run: {why}")))?;
        Ok((file.into(), name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<ApplicationConf, ConfigError> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        Parser { base: Path::new("/"), timeout: None }.native(&words)
    }

    #[test]
    fn each_mistake_names_value_and_cure() {
        for (words, parts) in [
            (&[][..], &["GW0103", "needs what to run", FORM][..]),
            (&["threads=4"], &["GW0103", "comes first", FORM]),
            (&["/no/handler.so"], &["GW0103", "\"/no/handler.so\"", "create it or correct the path"]),
            (&["/no/handler.so:name"], &["GW0103", "no such file \"/no/handler.so\""]),
            (&["/"], &["GW0103", "is not a file"]),
            (&["/etc/passwd"], &["GW0201", "/etc/passwd"]),
            (&["/etc/passwd:name", "threads=0"], &["GW0201", "/etc/passwd"]),
        ] {
            let message = parse(words).unwrap_err().to_string();
            for part in parts {
                assert!(message.contains(part), "{words:?}: {message}");
            }
        }
    }
}
