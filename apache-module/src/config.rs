// SPDX-License-Identifier: MIT OR Apache-2.0
//! Directives: what their words mean, and whether all of them together can work.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use gangway::{
    config::{ApplicationConf, Cgi, ConfigError, Engines, Managed, Parser, Placed},
    log, runtime,
};

use gangway_httpd::directive::Command;

use crate::raw::{self, Choice};

/// What the configuration that is being read has said so far. A child inherits it from its parent.
static READ: Mutex<Read> = Mutex::new(Read::new());

/// How long a program may give no output without `timeout=`.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(60);

struct Read {
    /// Every application with its directive and the place of it, in order.
    applications: Vec<(ApplicationConf, String)>,
    /// The same of those in processes of their own.
    managed: Vec<(Managed, String)>,
    /// The settings of scripts, each once.
    scripts: Vec<Cgi>,
    engines: Engines,
    /// The file of `gangway-host`, if an application needs it.
    host: Option<Arc<Path>>,
}

impl Read {
    const fn new() -> Self {
        Self {
            applications: Vec::new(),
            managed: Vec::new(),
            scripts: Vec::new(),
            engines: Engines::new(),
            host: None,
        }
    }
}

impl Read {
    /// Answers the number of an application in processes of its own. The same words are one.
    fn add(&mut self, managed: Managed, place: String) -> usize {
        let known = self.managed.iter().position(|(known, _)| *known == managed);
        known.unwrap_or_else(|| {
            self.managed.push((managed, place));
            self.managed.len() - 1
        })
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

/// The applications in processes of their own, by number.
pub(crate) fn managed() -> Vec<Managed> {
    read(|read| read.managed.iter().map(|(managed, _)| managed.clone()).collect())
}

/// The file of `gangway-host`; empty where no application needs it.
pub(crate) fn host() -> PathBuf {
    read(|read| read.host.as_deref().map(Path::to_path_buf)).unwrap_or_default()
}

/// `GangwayWSGI TARGET [key=value ...]` or `GangwayWSGI Off`.
pub(crate) fn wsgi(command: &Command<'_>, words: &[&[u8]]) -> Result<Choice, String> {
    let parse = |parser: &Parser<'_>, engines: &mut Engines| parser.placed_interface(engines, "wsgi", words);
    application(command, "GangwayWSGI", words, parse)
}

/// `GangwayNative FILE[:NAME] [key=value ...]` or `GangwayNative Off`.
pub(crate) fn native(command: &Command<'_>, words: &[&[u8]]) -> Result<Choice, String> {
    application(command, "GangwayNative", words, |parser, _| parser.placed_native(words))
}

fn application(
    command: &Command<'_>,
    directive: &'static str,
    words: &[&[u8]],
    parse: impl FnOnce(&Parser<'_>, &mut Engines) -> Result<Placed, ConfigError>,
) -> Result<Choice, String> {
    if is_off(words)? {
        return Ok(Choice::Off);
    }
    let parser = Parser { base: command.server_root(), timeout: None };
    let place = format!("{directive} on {}", command.position());
    read(|read| {
        let placed = parse(&parser, &mut read.engines).map_err(|error| error.to_string())?;
        Ok(match placed {
            Placed::InProcess(application) => {
                read.applications.push((application, place));
                Choice::Run(read.applications.len() - 1)
            }
            Placed::Managed(managed) => {
                read.host = Some(read.engines.host().map_err(|error| error.to_string())?);
                Choice::Hosted(read.add(*managed, place))
            }
        })
    })
}

/// `GangwaySpawn PROGRAM [ARGUMENT ...] [key=value ...]` or `GangwaySpawn Off`.
pub(crate) fn spawn(command: &Command<'_>, words: &[&[u8]]) -> Result<Choice, String> {
    if is_off(words)? {
        return Ok(Choice::Off);
    }
    let parser = Parser { base: command.server_root(), timeout: Some(PROGRAM_TIMEOUT) };
    let managed = parser.program(words).map_err(|error| error.to_string())?;
    let place = format!("GangwaySpawn on {}", command.position());
    Ok(Choice::Program(read(|read| read.add(managed, place))))
}

/// Whether the words are `Off`, which takes no options.
fn is_off(words: &[&[u8]]) -> Result<bool, String> {
    let Some((first, rest)) = words.split_first() else { return Ok(false) };
    let is_off = first.eq_ignore_ascii_case(b"off");
    if is_off && !rest.is_empty() { Err("Off takes no options; remove them".into()) } else { Ok(is_off) }
}

/// `GangwayCGI On [key=value ...]` or `GangwayCGI Off`.
pub(crate) fn cgi(command: &Command<'_>, words: &[&[u8]]) -> Result<Choice, String> {
    let (first, rest) = words.split_first().ok_or("needs On or Off")?;
    if is_off(words)? {
        return Ok(Choice::Off);
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
    let fault = runtime::check(&configs).err().map(|(index, reason)| {
        let place = read(|read| read.applications.get(index).map(|(_, place)| place.clone()));
        (place.unwrap_or_default(), reason)
    });
    let fault = fault.or_else(|| {
        read(|read| {
            let mut faults = read.managed.iter().filter_map(|(managed, place)| {
                runtime::check_managed(managed).err().map(|reason| (place.clone(), reason))
            });
            faults.next()
        })
    });
    let Some((place, reason)) = fault else {
        warn(&configs);
        return true;
    };
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
        lines.extend(runtime::check_managed_as(&managed(), &worker));
    }
    for line in lines.iter().filter(|line| !said.contains(line)) {
        raw::warn_startup(line);
    }
    *said = lines;
}
