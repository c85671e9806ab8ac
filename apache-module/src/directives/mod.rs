// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of directives, what each does, and the kinds of handlers.
//!
//! It names everything below it. A kind of handler is a line in [`KINDS`] and one in the table.

mod cgi;
mod managed;
mod native;
mod wsgi;

use std::sync::{Mutex, PoisonError};

use gangway_httpd::{directive::Command, directives, param, sys};

use crate::{
    config,
    raw::{self, Choice, DirConf, Gangway, HandlerKind},
    section,
};

/// The kinds of handlers, in the order in which a process begins with them: first what waits for nobody.
pub(crate) const KINDS: [&HandlerKind; 4] =
    [&cgi::KIND, &managed::APPLICATIONS, &managed::PROGRAMS, &wsgi::KIND];

const ANYWHERE: u32 = sys::ACCESS_CONF | sys::RSRC_CONF;

directives! {
    Gangway, ": ";
    set_wsgi, "GangwayWSGI", ANYWHERE,
        "MODULE:CALLABLE or /path/file.py:CALLABLE [key=value ...], or Off",
        |command, conf, words| choose(command, conf, wsgi::choice(command, words));
    set_native, "GangwayNative", ANYWHERE, "/path/handler.so[:NAME] [key=value ...], or Off",
        |command, conf, words| choose(command, conf, native::choice(command, words));
    set_spawn, "GangwaySpawn", ANYWHERE, "/path/program [ARGUMENT ...] [key=value ...], or Off",
        |command, conf, words| choose(command, conf, managed::choice(command, words));
    set_cgi, "GangwayCGI", ANYWHERE, "On [key=value ...], or Off",
        |command, conf, words| choose(command, conf, cgi::choice(command, words));
    set_param, "GangwayParam", ANYWHERE, "NAME VALUE [if_not_empty]; VALUE may be expr=EXPRESSION",
        |command, conf, words| { conf.add_param(param::read(command, words)?, command.pool()); Ok(()) };
    set_engine_dir, "GangwayEngineDir", sys::RSRC_CONF, "the directory of the engines",
        |command, _, words| config::engine_dir(command, words);
}

/// Notes what serves the section.
fn choose<'c>(
    command: &Command<'c>,
    conf: &mut DirConf<'c>,
    choice: Result<Choice, String>,
) -> Result<(), String> {
    if conf.is_chosen() {
        return Err("this section has a handler already; keep one".into());
    }
    let (section, path) = section::of(command);
    conf.set(choice?, section, command.pool().copy(&path));
    Ok(())
}

/// Whether the words are `Off`, which takes no options.
fn is_off(words: &[&[u8]]) -> Result<bool, String> {
    let Some((first, rest)) = words.split_first() else { return Ok(false) };
    let is_off = first.eq_ignore_ascii_case(b"off");
    if is_off && !rest.is_empty() { Err("Off takes no options; remove them".into()) } else { Ok(is_off) }
}

/// All directives are read: whether all of them together can work. A line says what is wrong, where a configuration test shows it.
pub(crate) fn check() -> bool {
    match KINDS.iter().try_for_each(|kind| (kind.check)()) {
        Ok(()) => {
            warn();
            true
        }
        Err(line) => {
            raw::log_startup(&line);
            false
        }
    }
}

/// What is wrong and stops nothing: engines that were refused, and what the children will not be able to do.
fn warn() {
    /// httpd reads its configuration twice when it starts.
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    let mut lines = config::with_engines(|engines| engines.take_refusals());
    if let Some(worker) = raw::worker() {
        lines.extend(KINDS.iter().flat_map(|kind| (kind.warnings)(&worker)));
    }
    for line in lines.iter().filter(|line| !said.contains(line)) {
        raw::warn_startup(line);
    }
    *said = lines;
}
