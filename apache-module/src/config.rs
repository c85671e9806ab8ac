// SPDX-License-Identifier: MIT OR Apache-2.0
//! Directives: what their words mean, and whether all of them together can work.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use gangway::{
    config::{Application, Cgi, Parser, WSGI},
    log, runtime,
};

use crate::{
    log as server_log,
    raw::{self, Choice, Command},
};

/// What the configuration that is being read has said so far. A child inherits it from its parent.
static READ: Mutex<Read> =
    Mutex::new(Read { applications: Vec::new(), scripts: Vec::new(), engine_dir: None });

struct Read {
    /// Every application with the place of its directive, in order.
    applications: Vec<(Application, String)>,
    /// The settings of scripts, each once.
    scripts: Vec<Cgi>,
    engine_dir: Option<PathBuf>,
}

fn read<R>(body: impl FnOnce(&mut Read) -> R) -> R {
    body(&mut READ.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A new configuration begins.
pub(crate) fn reset() {
    server_log::install();
    read(|read| *read = Read { applications: Vec::new(), scripts: Vec::new(), engine_dir: None });
}

/// What a child needs: the applications by number, and the directory of the engines.
pub(crate) fn result() -> (Vec<Application>, Option<PathBuf>) {
    read(|read| {
        (read.applications.iter().map(|(config, _)| config.clone()).collect(), read.engine_dir.clone())
    })
}

/// `GangwayWSGI TARGET [key=value ...]` or `GangwayWSGI Off`.
pub(crate) fn wsgi(command: Command<'_>, words: &[&[u8]]) -> Result<Choice, String> {
    if let [first, rest @ ..] = words
        && first.eq_ignore_ascii_case(b"off")
    {
        return if rest.is_empty() {
            Ok(Choice::Off)
        } else {
            Err("Off takes no options; remove them".into())
        };
    }
    let parser = Parser { base: raw::server_root(), timeout: None };
    let config = parser.application(&WSGI, words).map_err(|error| error.to_string())?;
    Ok(Choice::Run(read(|read| {
        read.applications.push((config, command.place()));
        read.applications.len() - 1
    })))
}

/// `GangwayCGI On [key=value ...]` or `GangwayCGI Off`.
pub(crate) fn cgi(words: &[&[u8]]) -> Result<Choice, String> {
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
    let parser = Parser { base: raw::server_root(), timeout: None };
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
pub(crate) fn engine_dir(command: Command<'_>, words: &[&[u8]]) -> Result<(), String> {
    command.is_global()?;
    let [directory] = words else { return Err("needs one directory".into()) };
    let directory = raw::server_root().join(OsStr::from_bytes(directory));
    if !directory.is_dir() {
        let shown = directory.display();
        return Err(format!("names \"{shown}\", which is not a directory; create it or correct the path"));
    }
    if read(|read| read.engine_dir.replace(directory)).is_some() {
        return Err("stands twice; keep one".into());
    }
    Ok(())
}

/// Asks the engines about all applications, which they must also be able to run side by side. A line says what
/// is wrong, where a configuration test shows it.
pub(crate) fn check() -> bool {
    let (configs, engine_dir) = result();
    let Err((index, reason)) = runtime::check(engine_dir.as_ref(), &configs) else {
        warn_of_closed_folders(engine_dir.as_ref(), &configs);
        return true;
    };
    let place = read(|read| read.applications.get(index).map(|(_, place)| place.clone())).unwrap_or_default();
    raw::log_startup(&format!("GangwayWSGI on {place}: {reason}"));
    false
}

/// Root may read everything, so a configuration test of root's says nothing of what its children may read.
fn warn_of_closed_folders(engine_dir: Option<&PathBuf>, configs: &[Application]) {
    /// httpd reads its configuration twice when it starts.
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let Some(worker) = raw::worker() else { return };
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    let lines = runtime::check_as(engine_dir, configs, &worker);
    for line in lines.iter().filter(|line| !said.contains(line)) {
        raw::warn_startup(line);
    }
    *said = lines;
}
