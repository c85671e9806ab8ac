// SPDX-License-Identifier: MIT OR Apache-2.0
//! Directives: what their words mean, and whether all of them together can work.

use std::sync::{Mutex, PoisonError};

use gangway::{
    config::{ApplicationConf, Cgi, ConfigError, Engines, Parser},
    log, runtime,
};

use gangway_httpd::directive::Command;

use crate::raw::{self, Choice};

/// What the configuration that is being read has said so far. A child inherits it from its parent.
static READ: Mutex<Read> = Mutex::new(Read::new());

struct Read {
    /// Every application with its directive and the place of it, in order.
    applications: Vec<(ApplicationConf, String)>,
    /// The settings of scripts, each once.
    scripts: Vec<Cgi>,
    engines: Engines,
}

impl Read {
    const fn new() -> Self {
        Self { applications: Vec::new(), scripts: Vec::new(), engines: Engines::new() }
    }
}

fn read<R>(body: impl FnOnce(&mut Read) -> R) -> R {
    body(&mut READ.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A new configuration begins.
pub(crate) fn reset() {
    raw::install_log();
    read(|read| *read = Read::new());
}

/// What a child needs: the applications by number.
pub(crate) fn applications() -> Vec<ApplicationConf> {
    read(|read| read.applications.iter().map(|(config, _)| config.clone()).collect())
}

/// `GangwayWSGI TARGET [key=value ...]` or `GangwayWSGI Off`.
pub(crate) fn wsgi(command: &Command<'_>, words: &[&[u8]]) -> Result<Choice, String> {
    application(command, "GangwayWSGI", words, |parser, engines| parser.interface(engines, "wsgi", words))
}

/// `GangwayNative FILE[:NAME] [key=value ...]` or `GangwayNative Off`.
pub(crate) fn native(command: &Command<'_>, words: &[&[u8]]) -> Result<Choice, String> {
    application(command, "GangwayNative", words, |parser, _| parser.native(words))
}

fn application(
    command: &Command<'_>,
    directive: &'static str,
    words: &[&[u8]],
    parse: impl FnOnce(&Parser<'_>, &mut Engines) -> Result<ApplicationConf, ConfigError>,
) -> Result<Choice, String> {
    if let [first, rest @ ..] = words
        && first.eq_ignore_ascii_case(b"off")
    {
        return if rest.is_empty() {
            Ok(Choice::Off)
        } else {
            Err("Off takes no options; remove them".into())
        };
    }
    let parser = Parser { base: command.server_root(), timeout: None };
    read(|read| {
        let application = parse(&parser, &mut read.engines).map_err(|error| error.to_string())?;
        read.applications.push((application, format!("{directive} on {}", command.position())));
        Ok(Choice::Run(read.applications.len() - 1))
    })
}

/// `GangwayCGI On [key=value ...]` or `GangwayCGI Off`.
pub(crate) fn cgi(command: &Command<'_>, words: &[&[u8]]) -> Result<Choice, String> {
    let (first, rest) = words.split_first().ok_or("needs On or Off")?;
    if first.eq_ignore_ascii_case(b"off") {
        return if rest.is_empty() {
            Ok(Choice::Off)
        } else {
            Err("Off takes no options; remove them".into())
        };
    }
    if !first.eq_ignore_ascii_case(b"on") {
        return Err(format!("begins with \"{}\": On or Off comes first, then options", log::escape(first)));
    }
    let parser = Parser { base: command.server_root(), timeout: None };
    let settings = parser.cgi(rest).map_err(|error| error.to_string())?;
    Ok(Choice::Script(read(|read| {
        let known = read.scripts.iter().position(|known| *known == settings);
        known.unwrap_or_else(|| {
            read.scripts.push(settings);
            read.scripts.len() - 1
        })
    })))
}

/// The settings of scripts, by number.
pub(crate) fn scripts() -> Vec<Cgi> {
    read(|read| read.scripts.clone())
}

/// `GangwayEngineDir DIR`.
pub(crate) fn engine_dir(command: &Command<'_>, words: &[&[u8]]) -> Result<(), String> {
    command.check_global()?;
    let [directory] = words else { return Err("needs one directory".into()) };
    read(|read| read.engines.name_directory(command.server_root(), directory))
}

/// Asks the engines about all applications, which they must also be able to run side by side. A line says what
/// is wrong, where a configuration test shows it.
pub(crate) fn check() -> bool {
    let configs = applications();
    let Err((index, reason)) = runtime::check(&configs) else {
        warn(&configs);
        return true;
    };
    let place = read(|read| read.applications.get(index).map(|(_, place)| place.clone())).unwrap_or_default();
    raw::log_startup(&format!("{place}: {reason}"));
    false
}

/// What is wrong and stops nothing: engines that were refused, and what the children may not read, as the configuration test
/// of root does not see by itself.
fn warn(configs: &[ApplicationConf]) {
    /// httpd reads its configuration twice when it starts.
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    let mut lines = read(|read| read.engines.take_refusals());
    if let Some(worker) = raw::worker() {
        lines.extend(runtime::check_as(configs, &worker));
    }
    for line in lines.iter().filter(|line| !said.contains(line)) {
        raw::warn_startup(line);
    }
    *said = lines;
}
