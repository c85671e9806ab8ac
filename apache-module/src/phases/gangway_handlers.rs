// SPDX-License-Identifier: MIT OR Apache-2.0
//! `GangwayPythonHandler`: the directive that nginx has as well.

use gangway::phases::{HandlerDirective, HandlerTerms, HandlerWords, RequestPhase, parse_handlers};
use gangway_httpd::directive::Command;

use super::{
    wanted,
    words::{check_place, is_outside},
};
use crate::{
    raw::{Choice, DirConf},
    section,
};

/// The Python engine's words: settings by the names of mod_python's directives, and what it states of its application.
pub(crate) const TERMS: HandlerTerms = HandlerTerms {
    switches: &[("debug", "PythonDebug"), ("autoreload", "PythonAutoReload")],
    application: &["venv", "python", "env", "env_file", "path", "import"],
    target: b"mod_python",
    refusal,
};

/// `GangwayPythonHandler [PHASE] HANDLER ... [key=value ...]`, or `off`.
///
/// `managed` makes an application in processes of its own of such handlers.
pub(crate) fn set_gangway_handlers<'c>(
    command: &Command<'c>,
    conf: &mut DirConf<'c>,
    words: &[&[u8]],
    managed: impl FnOnce(&Command<'_>, &HandlerWords) -> Result<Choice, String>,
) -> Result<(), String> {
    let said = HandlerDirective::parse(words, command.server_root(), &TERMS)?;
    if let HandlerDirective::Handlers(words) = &said
        && words.is_managed()
    {
        return set_managed(command, conf, words, managed);
    }
    check_place(command)?;
    match said {
        HandlerDirective::Off(Some(phase)) => conf.phases_mut().end(&[phase], command.pool()),
        HandlerDirective::Off(None) => conf.phases_mut().end(&RequestPhase::ALL, command.pool()),
        HandlerDirective::Handlers(words) => add(command, conf, &words)?,
    }
    Ok(())
}

/// Handlers in processes of their own, which need no Python in this one.
fn set_managed<'c>(
    command: &Command<'c>,
    conf: &mut DirConf<'c>,
    words: &HandlerWords,
    managed: impl FnOnce(&Command<'_>, &HandlerWords) -> Result<Choice, String>,
) -> Result<(), String> {
    if command.is_in_htaccess() {
        return Err("stands in .htaccess, where no processes can be asked for: let processes= and user= stand in the \
                    configuration of the server"
            .into());
    }
    if conf.is_chosen() {
        return Err("this section has a handler already; keep one".into());
    }
    let mut words = words.clone();
    if words.directory.is_empty() {
        words.directory = section::directory(command);
    }
    let choice = managed(command, &words)?;
    let (section, path) = section::of(command);
    conf.set(choice, section, command.pool().copy(&path));
    Ok(())
}

/// Phases that httpd does not have in a section of its configuration, each with the way out.
fn refusal(phase: &str) -> Option<&'static str> {
    (phase == "connection")
        .then_some("a connection has no section yet: PythonConnectionHandler is its directive")
}

fn add<'c>(command: &Command<'c>, conf: &mut DirConf<'c>, words: &HandlerWords) -> Result<(), String> {
    let phase = words.phase.unwrap_or(RequestPhase::Content);
    let is_early = matches!(phase, RequestPhase::PostReadRequest | RequestPhase::Trans);
    if is_early && !is_outside(command) {
        return Err(
            "names a phase that comes before httpd knows the section: let it stand outside of sections"
                .into(),
        );
    }
    if !words.application.is_empty() {
        if command.is_in_htaccess() {
            return Err(
                "stands in .htaccess, and all handlers of a process have one Python: let venv= and its like \
                        stand in the configuration of the server"
                    .into(),
            );
        }
        wanted::add_words(&words.application)?;
    }
    let pool = command.pool();
    let directory =
        if words.directory.is_empty() { section::directory(command) } else { words.directory.clone() };
    let names: Vec<&'c [u8]> = words.handlers.iter().map(|name| pool.copy(name)).collect();
    let handlers = parse_handlers(phase, &names, pool.copy(&directory))?;
    if phase == RequestPhase::Content {
        take_content(command, conf)?;
    }
    let conf = conf.phases_mut();
    conf.asks |= matches!(phase, RequestPhase::Authen | RequestPhase::Authz);
    conf.add_handlers(&handlers, pool);
    for (name, value) in &words.settings {
        conf.set(name.as_bytes(), pool.copy(value), pool);
    }
    if let Some(name) = &words.interpreter {
        conf.set(b"PythonInterpreter", pool.copy(name), pool);
    }
    for (name, value) in &words.options {
        conf.set_option(pool.copy(name), pool.copy(value), pool);
    }
    if let Some(realm) = &words.realm {
        conf.realm = Some(pool.copy(realm));
    }
    Ok(())
}

/// The section's responses are these handlers', and those of no application around it.
fn take_content<'c>(command: &Command<'c>, conf: &mut DirConf<'c>) -> Result<(), String> {
    if conf.is_chosen() && !conf.phases().gives_content {
        return Err("this section has a handler already; keep one".into());
    }
    let (section, path) = section::of(command);
    conf.set(Choice::Off, section, command.pool().copy(&path));
    conf.phases_mut().gives_content = true;
    Ok(())
}
