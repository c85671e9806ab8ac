// SPDX-License-Identifier: MIT OR Apache-2.0
//! A handler directive: what to run and how. Which engine runs it, what a target looks like and which options are the
//! engine's own comes from the statement of the engine.

use std::{path::Path, sync::Arc, time::Duration};

use super::{
    ConfigError,
    options::{ASYNC_OPTIONS, DRAIN_OPTIONS, HOST_OPTIONS, OptionTables, SOCKET_OPTIONS},
    sockets::SocketTerms,
    terms::{RequestTerms, tell_terms},
    values,
};
use crate::{
    engine::{Interface, OptionDef, Spec, Target, Value},
    error::{BAD_OPTION, BAD_TARGET, BAD_VALUE, ENGINE_STATEMENT},
};

/// Threads per application and process without `threads=`.
const DEFAULT_THREADS: u32 = 8;
/// Requests at a time of an application that answers later, without `in_flight=`.
const DEFAULT_IN_FLIGHT: u32 = 1000;
/// How long requests of such an application may go on in a process that ends, without `drain_timeout=`.
const DEFAULT_DRAIN: Duration = Duration::from_secs(60);

/// The interface of native handlers, in the words of gangway.h.
pub(super) const NATIVE: &str = "native";

/// A complete, checked handler directive. Equal ones share a loaded application.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ApplicationConf {
    spec: Spec,
    engine: Arc<Path>,
    terms: RequestTerms,
    in_flight: u32,
    drain_timeout: Option<Duration>,
    /// Of an application that is asked for WebSockets.
    sockets: Option<Box<SocketTerms>>,
    has_fields: bool,
}

tell_terms!(ApplicationConf);

impl ApplicationConf {
    /// The engine's part.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The file of the engine.
    #[must_use]
    pub fn engine(&self) -> &Path {
        &self.engine
    }

    /// Whether it is to load before `others` of its process, of which the first starts what all of them run in: it says with what
    /// environment (`env=`, `env_file=`), or none of them does.
    #[must_use]
    pub fn loads_before<'a>(&self, others: impl IntoIterator<Item = &'a Self>) -> bool {
        let says_how = |application: &Self| {
            application.spec.options.iter().any(|(key, _)| ["env", "env_file"].contains(&key.as_str()))
        };
        says_how(self) || !others.into_iter().any(says_how)
    }

    /// Requests at a time of an application that answers later.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight as usize
    }

    /// How long requests of an application that answers later may go on in a process that ends; `None`: as long as they like.
    #[must_use]
    pub fn drain_timeout(&self) -> Option<Duration> {
        self.drain_timeout
    }

    /// What holds for its WebSockets; `None`: it is not asked for any.
    #[must_use]
    pub fn sockets(&self) -> Option<&SocketTerms> {
        self.sockets.as_deref()
    }

    /// Whether its engine wants the header fields of a request as they came.
    #[must_use]
    pub fn has_fields(&self) -> bool {
        self.has_fields
    }

    /// What its interface says of it.
    pub(super) fn take_interface(&mut self, interface: &Interface) {
        self.sockets = interface.has_sockets.then(Box::default);
        self.has_fields = interface.has_fields;
    }

    /// Names it after this.
    pub(super) fn name_after(&mut self, title: &str) {
        title.clone_into(&mut self.spec.name);
    }

    /// What it says of its requests.
    pub(super) fn terms(&self) -> &RequestTerms {
        &self.terms
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
    /// Parses the words after the name of a directive that runs applications of an interface of an engine.
    ///
    /// # Errors
    /// The first word that is wrong, with the cure.
    pub fn application(
        &self,
        engine: &Arc<Path>,
        interface: &Interface,
        words: &[&[u8]],
    ) -> Result<ApplicationConf, ConfigError> {
        let (target, options) = words.split_first().ok_or_else(|| {
            ConfigError::new(BAD_TARGET, format!("needs what to run: {}", interface.target_form))
        })?;
        let target = self.target(interface, text(target)?)?;
        let name = target.clone();
        let mut application = self.bare(engine, interface.name, name, target);
        application.take_interface(interface);
        let known = known(engine, interface)?;
        let mut seen: Vec<&str> = Vec::new();
        for word in options {
            let (option, value) = known.split(text(word)?)?;
            self.add(&mut application, &mut seen, option, value)?;
        }
        Ok(application)
    }

    /// An application without options.
    pub(super) fn bare(
        &self,
        engine: &Arc<Path>,
        interface: &'static str,
        name: String,
        target: String,
    ) -> ApplicationConf {
        let spec = Spec {
            name,
            interface,
            target: target.into_bytes(),
            options: Vec::new(),
            threads: DEFAULT_THREADS,
            multiprocess: false,
        };
        ApplicationConf {
            spec,
            engine: Arc::clone(engine),
            terms: RequestTerms::new(self.timeout),
            in_flight: DEFAULT_IN_FLIGHT,
            drain_timeout: Some(DEFAULT_DRAIN),
            sockets: None,
            has_fields: false,
        }
    }

    /// An option that is known, with its value as it was written.
    pub(super) fn add<'o>(
        &self,
        application: &mut ApplicationConf,
        seen: &mut Vec<&'o str>,
        option: &'o OptionDef,
        value: &str,
    ) -> Result<(), ConfigError> {
        if seen.contains(&option.name) && !option.repeats {
            let text = format!("\"{}=\" stands twice; keep one", option.name);
            return Err(ConfigError::new(BAD_OPTION, text));
        }
        seen.push(option.name);
        self.apply(application, option, value).map_err(|why| {
            ConfigError::new(BAD_VALUE, format!("\"{}={value}\" is not usable: {why}", option.name))
        })
    }

    /// What the engine's kind of target says of it; a path is made absolute and must be a file.
    fn target(&self, interface: &Interface, target: &str) -> Result<String, ConfigError> {
        let wrong = |why: &str| {
            ConfigError::new(BAD_TARGET, format!("\"{target}\" {why}: use {}", interface.target_form))
        };
        if let Some((key, _)) = target.split_once('=')
            && OptionTables::new(&interface.options, HOST_OPTIONS).find(key).is_some()
        {
            return Err(wrong("stands where the application must stand, which comes first"));
        }
        let Target::Member(member) = interface.target else { return Ok(target.to_owned()) };
        let (place, named) = target.rsplit_once(':').ok_or_else(|| wrong(&format!("names no {member}")))?;
        if place.is_empty() || named.is_empty() {
            return Err(wrong("is not complete"));
        }
        if !place.contains('/') {
            return Ok(target.to_owned());
        }
        let file = values::existing(place, self.base, false)
            .map_err(|why| ConfigError::new(BAD_TARGET, format!("\"{target}\" cannot be run: {why}")))?;
        Ok(format!("{}:{named}", file.display()))
    }

    fn apply(
        &self,
        application: &mut ApplicationConf,
        option: &OptionDef,
        value: &str,
    ) -> Result<(), String> {
        let stored = match option.value {
            Value::Count(least, most) => values::count(value, least, most)?.to_string(),
            Value::Time => {
                values::time(value)?;
                value.to_owned()
            }
            Value::Size => {
                values::size(value)?;
                value.to_owned()
            }
            Value::Directory => values::existing(value, self.base, true)?.display().to_string(),
            Value::File => values::existing(value, self.base, false)?.display().to_string(),
            Value::Switch if value != "on" && value != "off" => return Err("it must be on or off".into()),
            Value::Assignment => {
                values::assignment(value)?;
                value.to_owned()
            }
            Value::Text if value.is_empty() => return Err("it is empty".into()),
            Value::Word(words) if !words.contains(&value) => {
                return Err(format!("it must be one of {}", words.join(", ")));
            }
            Value::Switch | Value::Text | Value::Word(_) => value.to_owned(),
        };
        match option.name {
            // Checked above, so that what is read again here is there.
            "threads" => application.spec.threads = values::count(value, 1, u32::MAX)?,
            "queue" => application.terms.queue = values::count(value, 0, u32::MAX)?,
            "in_flight" => application.in_flight = values::count(value, 1, u32::MAX)?,
            "drain_timeout" => application.drain_timeout = values::time(value)?,
            "timeout" => application.terms.timeout = values::time(value)?,
            "pass_authorization" => application.terms.pass_authorization = value == "on",
            other => {
                let sockets = application.sockets.as_mut();
                if !sockets.map_or(Ok(false), |sockets| sockets.apply(other, value))? {
                    application.push(other, stored);
                }
            }
        }
        Ok(())
    }
}

impl ApplicationConf {
    /// Adds an option that is the engine's.
    pub(super) fn push(&mut self, key: &str, value: String) {
        self.spec.options.push((key.to_owned(), value.into_bytes()));
    }
}

/// The options of an interface and those of every application, which must not be the same.
pub(super) fn known<'i>(engine: &Path, interface: &'i Interface) -> Result<OptionTables<'i>, ConfigError> {
    let hosts = OptionTables::new(ASYNC_OPTIONS, HOST_OPTIONS).and(SOCKET_OPTIONS).and(DRAIN_OPTIONS);
    if let Some(clash) = interface.options.iter().find(|option| hosts.find(option.name).is_some()) {
        let text = format!(
            "the engine {} states an option \"{}\", which is the server module's own",
            engine.display(),
            clash.name
        );
        return Err(ConfigError::new(ENGINE_STATEMENT, text));
    }
    let known = OptionTables::new(&interface.options, HOST_OPTIONS);
    let known = if interface.is_async { known.and(ASYNC_OPTIONS).and(DRAIN_OPTIONS) } else { known };
    Ok(if interface.has_sockets { known.and(SOCKET_OPTIONS) } else { known })
}

/// Words are text: paths and names that engines and both servers can print.
pub(super) fn text(word: &[u8]) -> Result<&str, ConfigError> {
    std::str::from_utf8(word)
        .map_err(|_| ConfigError::new(BAD_VALUE, format!("\"{}\" is not UTF-8", crate::log::escape(word))))
}

#[cfg(test)]
mod tests;
