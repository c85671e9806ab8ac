// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tables of options: `key=value` words after a handler directive.

use super::ConfigError;
use crate::{
    engine::{OptionDef, Value},
    error::BAD_OPTION,
};

const fn option(name: &'static str, value: Value, default: &'static str) -> OptionDef {
    OptionDef { name, value, repeats: false, default }
}

/// The options that every application has, whatever runs it, in the order of the reference page: the server module acts on
/// them. What else an application can be told is stated by its engine.
pub const HOST_OPTIONS: &[OptionDef] = &[
    option("threads", Value::Count(1, 1024), "8"),
    option("queue", Value::Count(0, 1_000_000), "512"),
    option("timeout", Value::Time, "60s (nginx), off (httpd)"),
    option("pass_authorization", Value::Switch, "off"),
];

/// The options of applications that answer later, whose requests do not each have a thread.
pub const ASYNC_OPTIONS: &[OptionDef] = &[option("in_flight", Value::Count(1, 1_000_000), "1000")];

/// Of those as well, but in processes of their own: there it is one of [`MANAGED_OPTIONS`].
pub(super) const DRAIN_OPTIONS: &[OptionDef] = &[option("drain_timeout", Value::Time, "60s")];

/// The options of applications that are asked for WebSockets.
pub const SOCKET_OPTIONS: &[OptionDef] = &[
    option("ws_max_message", Value::Size, "1m"),
    option("ws_ping", Value::Time, "20s"),
    option("ws_idle", Value::Time, "off"),
    option("ws_deflate", Value::Switch, "on"),
    option("ws_drain", Value::Time, "10s"),
];

/// Words of `stderr_level=`.
const LEVELS: &[&str] = &["error", "warn", "notice", "info", "debug", "off"];

/// The options of CGI programs, in the order of the reference page.
pub const CGI_OPTIONS: &[OptionDef] = &[
    option("index", Value::Text, "none"),
    OptionDef { repeats: true, ..option("interpreter", Value::Text, "none") },
    option("args", Value::Switch, "off"),
    OptionDef { repeats: true, ..option("env", Value::Assignment, "none") },
    OptionDef { repeats: true, ..option("pass_env", Value::Text, "none") },
    option("timeout", Value::Time, "60s"),
    option("processes", Value::Count(1, 100_000), "32"),
    option("queue", Value::Count(0, 1_000_000), "512"),
    option("memory", Value::Size, "none"),
    option("cpu", Value::Time, "none"),
    option("files", Value::Count(3, 1_000_000), "none"),
    option("user", Value::Text, "the user of the worker processes"),
    option("abort", Value::Switch, "on"),
    option("head_size", Value::Size, "64k"),
    option("stderr_level", Value::Word(LEVELS), "error"),
    option("symlinks", Value::Word(&["inside", "any"]), "inside (nginx), as Options says (httpd)"),
    option("refuse_shellshock", Value::Switch, "on"),
    option("pass_authorization", Value::Switch, "off"),
];

/// The options of applications in processes of their own, in the order of the reference page.
pub const MANAGED_OPTIONS: &[OptionDef] = &[
    option("name", Value::Text, "the program's or the target's name"),
    option("processes", Value::Text, "1"),
    option("idle", Value::Time, "60s"),
    option("user", Value::Text, "the user of the worker processes"),
    option("group", Value::Text, "the group of user="),
    option("umask", Value::Text, "022"),
    option("chdir", Value::Directory, "/"),
    option("memory", Value::Size, "none"),
    option("cpu", Value::Time, "none"),
    option("files", Value::Count(16, 1_000_000), "none"),
    option("nice", Value::Count(0, 19), "0"),
    option("cgroup", Value::Text, "none"),
    option("max_requests", Value::Count(1, 1_000_000_000), "none"),
    option("max_rss", Value::Size, "none"),
    option("lifetime", Value::Time, "none"),
    option("reload", Value::Text, "off"),
    option("warmup", Value::Text, "none"),
    option("replay", Value::Word(&["on", "off", "all"]), "on"),
    option("boot_timeout", Value::Time, "60s"),
    option("drain_timeout", Value::Time, "60s"),
];

/// What an application of an engine adds to those.
pub const APPLICATION_OPTIONS: &[OptionDef] = &[option("preload", Value::Switch, "on")];

/// What a program adds to those, which an engine's options say for an application.
pub const PROGRAM_OPTIONS: &[OptionDef] = &[
    OptionDef { repeats: true, ..option("env", Value::Assignment, "none") },
    OptionDef { repeats: true, ..option("pass_env", Value::Text, "none") },
];

/// Options that one directive takes, in the order in which messages name them.
#[derive(Clone, Copy, Debug)]
pub(super) struct OptionTables<'t> {
    tables: [&'t [OptionDef]; 6],
}

impl<'t> OptionTables<'t> {
    pub(super) fn new(first: &'t [OptionDef], then: &'t [OptionDef]) -> Self {
        Self { tables: [first, then, &[], &[], &[], &[]] }
    }

    /// These options as well.
    pub(super) fn and(self, last: &'t [OptionDef]) -> Self {
        let mut tables = self.tables;
        if let Some(free) = tables.iter_mut().skip(2).find(|table| table.is_empty()) {
            *free = last;
        }
        Self { tables }
    }

    fn all(self) -> impl Iterator<Item = &'t OptionDef> {
        self.tables.into_iter().flatten()
    }

    fn names(self) -> String {
        self.all().map(|option| option.name).collect::<Vec<_>>().join(", ")
    }

    /// The option of this name.
    pub(super) fn find(self, name: &str) -> Option<&'t OptionDef> {
        self.all().find(|option| option.name == name)
    }

    /// Splits `key=value` and finds the key.
    pub(super) fn split<'w>(self, word: &'w str) -> Result<(&'t OptionDef, &'w str), ConfigError> {
        let (key, value) = self.pair(word)?;
        if let Some(option) = self.find(key) {
            return Ok((option, value));
        }
        let cure = match self.nearest(key) {
            Some(near) => format!("did you mean \"{near}=\"?"),
            None => format!("known are {}", self.names()),
        };
        Err(ConfigError::new(BAD_OPTION, format!("unknown option \"{key}\" in \"{word}\": {cure}")))
    }

    /// Splits `key=value`, whatever the key is.
    pub(super) fn pair(self, word: &str) -> Result<(&str, &str), ConfigError> {
        word.split_once('=').ok_or_else(|| {
            let text = match self.find(word) {
                Some(_) => format!("\"{word}\" needs a value: {word}=VALUE"),
                None => {
                    format!("\"{word}\" is not an option: options are key=value; known are {}", self.names())
                }
            };
            ConfigError::new(BAD_OPTION, text)
        })
    }

    /// The known name that is most like a wrong one, if one is like it at all.
    pub(super) fn nearest(self, name: &str) -> Option<&'t str> {
        self.all()
            .map(|option| (strsim::damerau_levenshtein(option.name, &name.to_ascii_lowercase()), option.name))
            .min()
            .filter(|(distance, known)| *distance <= 2.min(known.len() / 2))
            .map(|(_, known)| known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for table in [
            HOST_OPTIONS,
            CGI_OPTIONS,
            &[
                HOST_OPTIONS,
                ASYNC_OPTIONS,
                SOCKET_OPTIONS,
                APPLICATION_OPTIONS,
                MANAGED_OPTIONS,
                PROGRAM_OPTIONS,
            ]
            .concat(),
        ] {
            for (index, option) in table.iter().enumerate() {
                assert!(!table[..index].iter().any(|other| other.name == option.name), "{}", option.name);
            }
        }
    }

    #[test]
    fn likely_typing_errors_are_recognised() {
        let own = [OptionDef { name: "root", ..HOST_OPTIONS[0] }];
        let known = OptionTables::new(&own, HOST_OPTIONS);
        assert_eq!(known.nearest("thread"), Some("threads"));
        assert_eq!(known.nearest("Root"), Some("root"));
        assert_eq!(known.nearest("quue"), Some("queue"));
        assert_eq!(known.nearest("processes"), None);
    }
}
