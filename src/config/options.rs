// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of application options: `key=value` words after a handler directive.

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

/// The option of this name.
pub(super) fn find(name: &str) -> Option<&'static OptionDef> {
    OPTIONS.iter().find(|option| option.name == name)
}

/// The known name that is most like a wrong one, if one is like it at all.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    OPTIONS
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
        for (index, option) in OPTIONS.iter().enumerate() {
            assert!(!OPTIONS[..index].iter().any(|other| other.name == option.name), "{}", option.name);
        }
    }

    #[test]
    fn likely_typing_errors_are_recognised() {
        assert_eq!(nearest("thread"), Some("threads"));
        assert_eq!(nearest("Root"), Some("root"));
        assert_eq!(nearest("quue"), Some("queue"));
        assert_eq!(nearest("processes"), None);
    }
}
