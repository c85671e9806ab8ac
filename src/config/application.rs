// SPDX-License-Identifier: MIT OR Apache-2.0
//! A handler directive: what to run and how.

use std::{path::Path, time::Duration};

use super::{
    ConfigError,
    options::{self, OptionDef, Owner, Value},
    values,
};
use crate::{
    engine::Spec,
    error::{BAD_OPTION, BAD_TARGET, BAD_VALUE},
};

/// A kind of handler.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Interface {
    /// Its word, as in `gangway_wsgi` and `GangwayWSGI`.
    pub name: &'static str,
    /// The file of its engine.
    pub engine_file: &'static str,
    /// What a target looks like, for messages.
    pub target: &'static str,
}

/// PEP 3333 applications.
pub const WSGI: Interface = Interface {
    name: "wsgi",
    engine_file: "gangway_python.so",
    target: "MODULE:CALLABLE or /path/file.py:CALLABLE, for example blog.wsgi:application",
};

/// Threads per application and process without `threads=`.
const DEFAULT_THREADS: u32 = 8;
/// Waiting requests without `queue=`.
const DEFAULT_QUEUE: u32 = 512;

/// A complete, checked handler directive. Equal ones share a loaded application.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Application {
    spec: Spec,
    engine_file: &'static str,
    queue: u32,
    timeout: Option<Duration>,
    pass_authorization: bool,
}

impl Application {
    /// The engine's part.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The file of the engine.
    #[must_use]
    pub fn engine_file(&self) -> &'static str {
        self.engine_file
    }

    /// Requests that may wait.
    #[must_use]
    pub fn queue(&self) -> usize {
        self.queue as usize
    }

    /// How long the application may give no output.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Whether the application may see `Authorization`.
    #[must_use]
    pub fn pass_authorization(&self) -> bool {
        self.pass_authorization
    }

    /// Says that the process serves at most this many requests at a time.
    pub fn limit_threads(&mut self, most: u32) {
        self.spec.threads = self.spec.threads.min(most);
    }

    /// Says that other processes may run it too.
    pub fn set_multiprocess(&mut self, multiprocess: bool) {
        self.spec.multiprocess = multiprocess;
    }
}

/// What a server adds to the words of a directive.
#[derive(Clone, Copy, Debug)]
pub struct Parser<'a> {
    /// Relative paths begin here.
    pub base: &'a Path,
    /// The timeout without `timeout=`.
    pub timeout: Option<Duration>,
}

impl Parser<'_> {
    /// Parses the words after the name of a directive.
    ///
    /// # Errors
    /// The first word that is wrong, with the cure.
    pub fn application(&self, interface: &Interface, words: &[&[u8]]) -> Result<Application, ConfigError> {
        let (target, options) = words.split_first().ok_or_else(|| {
            ConfigError::new(BAD_TARGET, format!("needs what to run: {}", interface.target))
        })?;
        let target = self.target(interface, text(target)?)?;
        let spec = Spec {
            name: target.clone(),
            interface: interface.name,
            target: target.into_bytes(),
            options: Vec::new(),
            threads: DEFAULT_THREADS,
            multiprocess: false,
        };
        let mut application = Application {
            spec,
            engine_file: interface.engine_file,
            queue: DEFAULT_QUEUE,
            timeout: self.timeout,
            pass_authorization: false,
        };
        let mut seen: Vec<&str> = Vec::new();
        for word in options {
            let (option, value) = options::split(options::OPTIONS, text(word)?)?;
            if seen.contains(&option.name) && !option.repeats {
                return Err(ConfigError::new(
                    BAD_OPTION,
                    format!("\"{}=\" stands twice; keep one", option.name),
                ));
            }
            seen.push(option.name);
            self.apply(&mut application, option, value).map_err(|why| {
                ConfigError::new(BAD_VALUE, format!("\"{}={value}\" is not usable: {why}", option.name))
            })?;
        }
        Ok(application)
    }

    /// `WHAT:CALLABLE`; a path is made absolute and must be a file.
    fn target(&self, interface: &Interface, target: &str) -> Result<String, ConfigError> {
        let wrong =
            |why: &str| ConfigError::new(BAD_TARGET, format!("\"{target}\" {why}: use {}", interface.target));
        if let Some((key, _)) = target.split_once('=')
            && options::find(options::OPTIONS, key).is_some()
        {
            return Err(wrong("stands where the application must stand, which comes first"));
        }
        let (place, callable) = target.rsplit_once(':').ok_or_else(|| wrong("names no callable"))?;
        if place.is_empty() || callable.is_empty() {
            return Err(wrong("is not complete"));
        }
        if !place.contains('/') {
            return Ok(target.to_owned());
        }
        let file = values::existing(place, self.base, false)
            .map_err(|why| ConfigError::new(BAD_TARGET, format!("\"{target}\" cannot be run: {why}")))?;
        Ok(format!("{}:{callable}", file.display()))
    }

    fn apply(&self, application: &mut Application, option: &OptionDef, value: &str) -> Result<(), String> {
        let stored = match option.value {
            Value::Count(least, most) => {
                let number = values::count(value, least, most)?;
                match option.name {
                    "threads" => application.spec.threads = number,
                    "queue" => application.queue = number,
                    _ => {}
                }
                number.to_string()
            }
            Value::Time => {
                application.timeout = values::time(value)?;
                value.to_owned()
            }
            Value::Directory => values::existing(value, self.base, true)?.display().to_string(),
            Value::File => values::existing(value, self.base, false)?.display().to_string(),
            Value::Switch => {
                if value != "on" && value != "off" {
                    return Err("it must be on or off".into());
                }
                if option.name == "pass_authorization" {
                    application.pass_authorization = value == "on";
                }
                value.to_owned()
            }
            Value::Assignment => {
                values::assignment(value)?;
                value.to_owned()
            }
            Value::Text if value.is_empty() => return Err("it is empty".into()),
            // No application has these.
            Value::Text | Value::Size | Value::Word(_) => value.to_owned(),
        };
        if option.owner == Owner::Engine {
            application.spec.options.push((option.name.to_owned(), stored.into_bytes()));
        }
        Ok(())
    }
}

/// Words are text: paths and names that Python and both servers can print.
pub(super) fn text(word: &[u8]) -> Result<&str, ConfigError> {
    std::str::from_utf8(word)
        .map_err(|_| ConfigError::new(BAD_VALUE, format!("\"{}\" is not UTF-8", crate::log::escape(word))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Application, ConfigError> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let parser = Parser { base: Path::new("/"), timeout: Some(Duration::from_secs(60)) };
        parser.application(&WSGI, &words)
    }

    fn message(words: &[&str]) -> String {
        parse(words).unwrap_err().to_string()
    }

    #[test]
    fn a_target_alone_is_enough() {
        let application = parse(&["blog.wsgi:application"]).unwrap();
        assert_eq!(application.spec().name, "blog.wsgi:application");
        assert_eq!((application.spec().threads, application.queue()), (8, 512));
        assert_eq!(application.timeout(), Some(Duration::from_secs(60)));
        assert!(application.spec().options.is_empty());
    }

    #[test]
    fn options_reach_their_owner() {
        let words =
            ["a:b", "root=/", "threads=3", "queue=0", "timeout=off", "env=A=1", "env=B=2", "debug=on"];
        let application = parse(&words).unwrap();
        assert_eq!((application.spec().threads, application.queue(), application.timeout()), (3, 0, None));
        let keys: Vec<_> = application.spec().options.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["root", "env", "env", "debug"]);
    }

    #[test]
    fn each_mistake_names_value_and_cure() {
        for (words, parts) in [
            (&[][..], &["GW0103", "needs what to run"][..]),
            (&["blog"], &["GW0103", "\"blog\" names no callable", "MODULE:CALLABLE"]),
            (&["blog:"], &["GW0103", "not complete"]),
            (&["root=/srv"], &["GW0103", "comes first"]),
            (&["/no/file.py:app"], &["GW0103", "/no/file.py", "create it or correct the path"]),
            (&["a:b", "thread=4"], &["GW0101", "unknown option \"thread\"", "did you mean \"threads=\"?"]),
            (&["a:b", "workers=4"], &["GW0101", "known are root, venv"]),
            (&["a:b", "threads"], &["GW0101", "threads=VALUE"]),
            (&["a:b", "fast"], &["GW0101", "key=value"]),
            (&["a:b", "threads=0"], &["GW0102", "\"threads=0\"", "1 to 1024"]),
            (&["a:b", "threads=2", "threads=3"], &["GW0101", "stands twice"]),
            (&["a:b", "timeout=1y"], &["GW0102", "30s"]),
            (&["a:b", "venv=/no/venv"], &["GW0102", "/no/venv", "create it"]),
            (&["a:b", "debug=yes"], &["GW0102", "on or off"]),
            (&["a:b", "env=A"], &["GW0102", "NAME=VALUE"]),
        ] {
            let message = message(words);
            for part in parts {
                assert!(message.contains(part), "{words:?}: {message}");
            }
        }
    }
}
