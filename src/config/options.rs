// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tables of options: `key=value` words after a handler directive.

/// Who acts on an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The server module.
    Host,
    /// The engine, which gets it as it is.
    Engine,
}

/// What a value looks like, and what is checked when the configuration is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A whole number within these bounds.
    Count(u32, u32),
    /// A time: `500ms`, `30s`, `2m`, `1h`, `30` (seconds) or `off`.
    Time,
    /// An existing directory; made absolute.
    Directory,
    /// An existing file; made absolute.
    File,
    /// `on` or `off`.
    Switch,
    /// `NAME=VALUE`.
    Assignment,
    /// A text that is not empty.
    Text,
    /// Bytes: `512k`, `64m`, `2g`, `1000`.
    Size,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct OptionDef {
    /// The key.
    pub name: &'static str,
    /// Who acts on it.
    pub owner: Owner,
    /// What its value looks like.
    pub value: Value,
    /// Whether it may be given several times.
    pub repeats: bool,
    /// The default, as written in the reference.
    pub default: &'static str,
}

const fn option(name: &'static str, owner: Owner, value: Value, default: &'static str) -> OptionDef {
    OptionDef { name, owner, value, repeats: false, default }
}

/// Every option, in the order of the reference page.
pub const OPTIONS: &[OptionDef] = &[
    option("root", Owner::Engine, Value::Directory, "the directory of the file, if the target is a file"),
    option("venv", Owner::Engine, Value::Directory, "none"),
    option("python", Owner::Engine, Value::Text, "that of venv, else the system's"),
    option("threads", Owner::Host, Value::Count(1, 1024), "8"),
    option("queue", Owner::Host, Value::Count(0, 1_000_000), "512"),
    option("timeout", Owner::Host, Value::Time, "60s (nginx), off (httpd)"),
    OptionDef { repeats: true, ..option("env", Owner::Engine, Value::Assignment, "none") },
    option("env_file", Owner::Engine, Value::File, "none"),
    option("debug", Owner::Engine, Value::Switch, "off"),
    option("pass_authorization", Owner::Host, Value::Switch, "off"),
];

/// Words of `stderr_level=`.
const LEVELS: &[&str] = &["error", "warn", "notice", "info", "debug", "off"];

const fn host(name: &'static str, value: Value, default: &'static str) -> OptionDef {
    option(name, Owner::Host, value, default)
}

/// The options of CGI programs, in the order of the reference page.
pub const CGI_OPTIONS: &[OptionDef] = &[
    host("index", Value::Text, "none"),
    OptionDef { repeats: true, ..host("interpreter", Value::Text, "none") },
    host("args", Value::Switch, "off"),
    OptionDef { repeats: true, ..host("env", Value::Assignment, "none") },
    OptionDef { repeats: true, ..host("pass_env", Value::Text, "none") },
    host("timeout", Value::Time, "60s"),
    host("processes", Value::Count(1, 100_000), "32"),
    host("queue", Value::Count(0, 1_000_000), "512"),
    host("memory", Value::Size, "none"),
    host("cpu", Value::Time, "none"),
    host("files", Value::Count(3, 1_000_000), "none"),
    host("user", Value::Text, "the user of the worker processes"),
    host("abort", Value::Switch, "on"),
    host("head_size", Value::Size, "64k"),
    host("stderr_level", Value::Word(LEVELS), "error"),
    host("symlinks", Value::Word(&["inside", "any"]), "inside (nginx), as Options says (httpd)"),
    host("refuse_shellshock", Value::Switch, "on"),
    host("pass_authorization", Value::Switch, "off"),
];

/// Splits `key=value` and finds the key.
pub(super) fn split<'w>(
    table: &'static [OptionDef],
    word: &'w str,
) -> Result<(&'static OptionDef, &'w str), super::ConfigError> {
    let refuse = |text| super::ConfigError::new(crate::error::BAD_OPTION, text);
    let known = || table.iter().map(|option| option.name).collect::<Vec<_>>().join(", ");
    let Some((key, value)) = word.split_once('=') else {
        return Err(refuse(match find(table, word) {
            Some(_) => format!("\"{word}\" needs a value: {word}=VALUE"),
            None => format!("\"{word}\" is not an option: options are key=value; known are {}", known()),
        }));
    };
    if let Some(option) = find(table, key) {
        return Ok((option, value));
    }
    let cure = match nearest(table, key) {
        Some(near) => format!("did you mean \"{near}=\"?"),
        None => format!("known are {}", known()),
    };
    Err(refuse(format!("unknown option \"{key}\" in \"{word}\": {cure}")))
}

/// The option of this name.
pub(super) fn find(table: &'static [OptionDef], name: &str) -> Option<&'static OptionDef> {
    table.iter().find(|option| option.name == name)
}

/// The known name that is most like a wrong one, if one is like it at all.
fn nearest(table: &'static [OptionDef], name: &str) -> Option<&'static str> {
    table
        .iter()
        .map(|option| (strsim::damerau_levenshtein(option.name, &name.to_ascii_lowercase()), option.name))
        .min()
        .filter(|(distance, known)| *distance <= 2.min(known.len() / 2))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for table in [OPTIONS, CGI_OPTIONS] {
            for (index, option) in table.iter().enumerate() {
                assert!(!table[..index].iter().any(|other| other.name == option.name), "{}", option.name);
            }
        }
    }

    #[test]
    fn likely_typing_errors_are_recognised() {
        assert_eq!(nearest(OPTIONS, "thread"), Some("threads"));
        assert_eq!(nearest(OPTIONS, "Root"), Some("root"));
        assert_eq!(nearest(OPTIONS, "quue"), Some("queue"));
        assert_eq!(nearest(OPTIONS, "processes"), None);
    }
}
