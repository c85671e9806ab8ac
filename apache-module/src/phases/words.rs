// SPDX-License-Identifier: MIT OR Apache-2.0
//! mod_python's directives. Where mod_python itself is loaded they are its own, and nothing here says anything.

use gangway::phases::{Handler, RequestPhase, parse_handlers};
use gangway_httpd::directive::Command;

use super::wanted;
use crate::{
    phase_conf::PhaseConf,
    raw::{DirConf, can_converse, is_loaded, register_filter},
    section::{self, Section},
};

/// Whether the directive is ours, and may stand where it does.
fn applies(command: &Command<'_>) -> Result<bool, String> {
    if is_loaded(c"mod_python.c") {
        return Ok(false);
    }
    check_place(command).map(|()| true)
}

/// Notes that there are handlers, or in `.htaccess` looks whether the server has any.
pub(super) fn check_place(command: &Command<'_>) -> Result<(), String> {
    if !command.is_in_htaccess() {
        wanted::note(command);
        return Ok(());
    }
    if wanted::number().is_some() {
        return Ok(());
    }
    // Otherwise whoever may write such a file could have the server run Python, which its administrator has not thought of.
    Err("stands in .htaccess, and no directive of Python's stands in the configuration of the server: let one stand \
         there, such as \"PythonAutoReload On\""
        .into())
}

fn change<'c>(
    command: &Command<'c>,
    conf: &mut DirConf<'c>,
    body: impl FnOnce(&mut PhaseConf<'c>) -> Result<(), String>,
) -> Result<(), String> {
    if applies(command)? { body(conf.phases_mut()) } else { Ok(()) }
}

/// `PythonHandler HANDLER ... [| .SUFFIX ...]`, and the same for the other phases.
pub(crate) fn add_handlers<'c>(
    command: &Command<'c>,
    conf: &mut DirConf<'c>,
    phase: RequestPhase,
    words: &[&[u8]],
) -> Result<(), String> {
    change(command, conf, |conf| {
        let pool = command.pool();
        let directory = pool.copy(&section::directory(command));
        // Before a request has a place there is the server's configuration alone. What that says of the beginning is for the first
        // phase of all.
        let first = phase == RequestPhase::Init && is_outside(command);
        let phase = if first { RequestPhase::PostReadRequest } else { phase };
        if phase == RequestPhase::Connection && words.contains(&&b"|"[..]) {
            return Err("has a suffix, and a connection has no file: remove what stands behind \"|\"".into());
        }
        if phase == RequestPhase::Connection && !can_converse() {
            return Err("needs httpd 2.4.49 or a later one".into());
        }
        let words: Vec<&'c [u8]> = words.iter().map(|word| pool.copy(word)).collect();
        let mut handlers = parse_handlers(phase, &words, directory)?;
        if first {
            for handler in &mut handlers {
                handler.name = with_object(handler.name, b"inithandler", command);
            }
        }
        conf.add_handlers(&handlers, pool);
        if phase == RequestPhase::Content {
            conf.set_by_path(is_by_path(command));
        }
        Ok(())
    })
}

/// Whether the section is one of paths, not of files.
fn is_by_path(command: &Command<'_>) -> bool {
    matches!(section::of(command).0, Section::Location | Section::Pattern)
}

/// `PythonOutputFilter HANDLER NAME`, and the same for requests.
pub(crate) fn add_filter<'c>(
    command: &Command<'c>,
    conf: &mut DirConf<'c>,
    phase: RequestPhase,
    words: &[&[u8]],
) -> Result<(), String> {
    let [handler, name] = *words else {
        return Err("needs a handler and the name of the filter: MODULE::OBJECT NAME".into());
    };
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    if handler.is_empty() || name.is_empty() || !name.iter().all(is_part) {
        return Err("needs a name of letters, digits, \"_\", \"-\" and \".\" behind the handler".into());
    }
    change(command, conf, |conf| {
        let pool = command.pool();
        let directory = pool.copy(&section::directory(command));
        let known = pool.copy(&name.to_ascii_lowercase());
        register_filter(phase, pool.text(name));
        let handler = Handler { phase, name: pool.copy(handler), suffix: Some(known), directory };
        conf.add_handlers(&[handler], pool);
        Ok(())
    })
}

/// What stands in the place of an object for the function of the phase, which the module may lack.
const IF_THERE: &[u8] = b"::?";

/// `PythonHandlerModule MODULE`: a module whose functions are handlers of the phases by whose names they are called.
pub(crate) fn add_module<'c>(
    command: &Command<'c>,
    conf: &mut DirConf<'c>,
    words: &[&[u8]],
) -> Result<(), String> {
    let [module] = *words else { return Err("needs the name of a module".into()) };
    if module.is_empty() || module.contains(&b':') || module.contains(&b'|') {
        return Err("needs the name of a module, without an object and a suffix".into());
    }
    change(command, conf, |conf| {
        let pool = command.pool();
        let (directory, name) =
            (pool.copy(&section::directory(command)), pool.copy(&[module, IF_THERE].concat()));
        let is_met = |phase: &RequestPhase| {
            let is_early = matches!(phase, RequestPhase::PostReadRequest | RequestPhase::Trans);
            !phase.is_filter() && *phase != RequestPhase::Connection && (!is_early || is_outside(command))
        };
        let handlers: Vec<_> = RequestPhase::ALL
            .into_iter()
            .filter(is_met)
            .map(|phase| Handler { phase, name, suffix: None, directory })
            .collect();
        conf.add_handlers(&handlers, pool);
        conf.set_by_path(is_by_path(command));
        Ok(())
    })
}

/// A handler's name with its object, where it names none.
fn with_object<'c>(name: &'c [u8], object: &[u8], command: &Command<'c>) -> &'c [u8] {
    if name.windows(2).any(|pair| pair == b"::") {
        return name;
    }
    command.pool().copy(&[name, b"::", object].concat())
}

/// A directive with one word.
pub(crate) fn set_text<'c>(
    command: &Command<'c>,
    conf: &mut DirConf<'c>,
    name: &'static [u8],
    words: &[&[u8]],
) -> Result<(), String> {
    let [value] = *words else { return Err("needs one word; put quotes around what has blanks".into()) };
    change(command, conf, |conf| {
        // What PythonImport names is looked for there as well.
        if name == b"PythonPath" && is_outside(command) {
            wanted::set_path(value);
        }
        conf.set(name, command.pool().copy(value), command.pool());
        Ok(())
    })
}

/// Whether it stands outside of all sections but those of virtual hosts.
pub(super) fn is_outside(command: &Command<'_>) -> bool {
    command.sections().next().is_none() && command.path().is_empty()
}

/// A directive with On or Off.
pub(crate) fn set_switch<'c>(
    command: &Command<'c>,
    conf: &mut DirConf<'c>,
    name: &'static [u8],
    words: &[&[u8]],
) -> Result<(), String> {
    let value: &'static [u8] = if is_on(words)? { b"1" } else { b"0" };
    change(command, conf, |conf| {
        conf.set(name, value, command.pool());
        Ok(())
    })
}

fn is_on(words: &[&[u8]]) -> Result<bool, String> {
    match *words {
        [word] if word.eq_ignore_ascii_case(b"on") => Ok(true),
        [word] if word.eq_ignore_ascii_case(b"off") => Ok(false),
        _ => Err("must be On or Off".into()),
    }
}

/// `PythonEnablePdb On | Off`.
pub(crate) fn set_debugger<'c>(
    command: &Command<'c>,
    conf: &mut DirConf<'c>,
    words: &[&[u8]],
) -> Result<(), String> {
    set_switch(command, conf, b"PythonEnablePdb", words)?;
    if is_on(words)? && applies(command)? && !command.is_in_htaccess() {
        wanted::debug(command);
    }
    Ok(())
}

/// `PythonOptimize On`: for the interpreter that all handlers and applications of a process have. As in mod_python `Off` says nothing.
pub(crate) fn set_optimize(command: &Command<'_>, words: &[&[u8]]) -> Result<(), String> {
    if is_on(words)? && applies(command)? {
        wanted::optimize();
    }
    Ok(())
}

/// `PythonOption NAME [VALUE]`.
pub(crate) fn add_option<'c>(
    command: &Command<'c>,
    conf: &mut DirConf<'c>,
    words: &[&[u8]],
) -> Result<(), String> {
    let (name, value): (&[u8], &[u8]) = match *words {
        [name, value] => (name, value),
        [name] => (name, b""),
        _ => return Err("needs a name and a value".into()),
    };
    if name.is_empty() {
        return Err("has an empty name".into());
    }
    change(command, conf, |conf| {
        let pool = command.pool();
        conf.set_option(pool.copy(name), pool.copy(value), pool);
        Ok(())
    })
}

/// `PythonHome DIR`: the virtual environment of all handlers.
pub(crate) fn set_home(command: &Command<'_>, words: &[&[u8]]) -> Result<(), String> {
    if !applies(command)? {
        return Ok(());
    }
    command.check_global()?;
    let [home] = *words else { return Err("needs the directory of a virtual environment".into()) };
    wanted::add_words(&[[b"venv=", home].concat()])
}

/// `PythonImport MODULE[::FUNCTION] INTERPRETER`: what each process begins with.
pub(crate) fn add_import(command: &Command<'_>, words: &[&[u8]]) -> Result<(), String> {
    if !applies(command)? {
        return Ok(());
    }
    let [module, interpreter] = *words else {
        return Err("needs a module and the name of an interpreter, such as that of the virtual host".into());
    };
    if module.is_empty() || module.contains(&b' ') {
        return Err("needs MODULE or MODULE::FUNCTION first".into());
    }
    wanted::add_import(&[module, b" ", interpreter].concat());
    Ok(())
}
