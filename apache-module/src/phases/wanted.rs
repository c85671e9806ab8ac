// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the configuration has handlers of phases, and the application of the engine that stands for all of them.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

use gangway::{
    config::Parser,
    error::{CANNOT_SHARE, NO_DEBUGGER},
    log,
    phases::ApplicationWords,
};
use gangway_httpd::directive::Command;

use crate::{config, raw::is_single_process, wsgi::Configured};

/// What the configuration says outside of `.htaccess`.
#[derive(Clone, Default)]
struct WantedHandlers {
    /// Where the first directive for handlers stands, and where relative paths begin.
    first: Option<(String, PathBuf)>,
    /// What is said of the application.
    words: ApplicationWords,
    /// What processes begin with: `MODULE INTERPRETER`.
    imports: Vec<Vec<u8>>,
    /// PythonPath of the server.
    path: Option<Vec<u8>>,
    /// Whether Python starts as by `python3 -O`.
    is_optimized: bool,
    /// Where handlers are to run under a debugger.
    debugged: Option<String>,
}

/// The number of the application; [`NONE`] without one. A child has it from its parent.
static NUMBER: AtomicUsize = AtomicUsize::new(NONE);
const NONE: usize = usize::MAX;

/// A directive for handlers stands in the configuration of the server.
pub(super) fn note(command: &Command<'_>) {
    config::kept(|wanted: &mut WantedHandlers| {
        wanted.first.get_or_insert_with(|| {
            let place = format!("handlers, the first of which stand on {}", command.position());
            (place, command.server_root().to_path_buf())
        });
    });
}

/// What a directive says of the application that stands for all handlers: `venv=DIR` and its like.
///
/// # Errors
/// Another directive says something else.
pub(super) fn add_words(words: &[Vec<u8>]) -> Result<(), String> {
    config::kept(|wanted: &mut WantedHandlers| wanted.words.add(words)).map(|_is_new| ())
}

/// `PythonImport MODULE INTERPRETER`.
pub(super) fn add_import(import: &[u8]) {
    config::kept(|wanted: &mut WantedHandlers| wanted.imports.push(import.to_vec()));
}

/// `PythonPath` outside of sections. The first one counts.
pub(super) fn set_path(path: &[u8]) {
    config::kept(|wanted: &mut WantedHandlers| {
        wanted.path.get_or_insert_with(|| path.to_vec());
    });
}

/// `PythonOptimize On`: a process has one interpreter, so one word is enough.
pub(super) fn optimize() {
    config::kept(|wanted: &mut WantedHandlers| wanted.is_optimized = true);
}

/// `PythonEnablePdb On`.
pub(super) fn debug(command: &Command<'_>) {
    config::kept(|wanted: &mut WantedHandlers| {
        wanted.debugged.get_or_insert_with(|| command.position());
    });
}

/// What is wrong with these directives and stops nothing.
pub(crate) fn warning() -> Option<String> {
    let place = config::kept(|wanted: &mut WantedHandlers| wanted.debugged.clone())?;
    (!is_single_process()).then(|| {
        format!(
            "{NO_DEBUGGER} PythonEnablePdb on {place} needs the terminal of a server in one process: start httpd with -X, or remove the \
             directive; requests are answered without pdb"
        )
    })
}

/// What the interpreter reads when it starts.
const OPTIMIZE: &[u8] = b"env=PYTHONOPTIMIZE=";

/// The word for an interpreter that starts as by `python3 -O`.
///
/// # Errors
/// Another directive says something else.
fn optimized(words: &ApplicationWords) -> Result<Vec<u8>, String> {
    let said = words.iter().filter_map(|word| word.strip_prefix(OPTIMIZE)).find(|value| *value != b"1");
    match said {
        Some(value) => Err(format!(
            "{CANNOT_SHARE} \"env=PYTHONOPTIMIZE={}\" stands beside PythonOptimize On, which is 1, and a process has one interpreter: keep \
             one of them",
            log::escape(value)
        )),
        None => Ok([OPTIMIZE, b"1"].concat()),
    }
}

/// The number of the application, if the configuration has handlers.
pub(super) fn number() -> Option<usize> {
    let number = NUMBER.load(Ordering::Relaxed);
    (number != NONE).then_some(number)
}

/// All directives are read: adds the application to those that a child loads.
///
/// # Errors
/// The place of the first directive, and why there can be no handlers.
pub(crate) fn add_application() -> Result<(), String> {
    NUMBER.store(NONE, Ordering::Relaxed);
    let wanted = config::kept(|wanted: &mut WantedHandlers| wanted.clone());
    let Some((place, base)) = wanted.first else { return Ok(()) };
    let mut options: Vec<Vec<u8>> = wanted.words.iter().map(<[u8]>::to_vec).collect();
    if !wanted.words.has(b"threads") {
        // As many as httpd has threads: mod_python has no limit of its own.
        options.push(b"threads=1024".to_vec());
    }
    if wanted.is_optimized {
        options.push(optimized(&wanted.words).map_err(|error| format!("{place}: {error}"))?);
    }
    options.extend(wanted.path.map(|path| [b"path=", path.as_slice()].concat()));
    options.extend(wanted.imports.iter().map(|import| [b"import=", import.as_slice()].concat()));
    let mut words: Vec<&[u8]> = vec![b"mod_python"];
    words.extend(options.iter().map(Vec::as_slice));
    let parser = Parser { base: &base, timeout: None };
    let application = config::with_engines(|engines| parser.interface(engines, "handlers", &words))
        .map_err(|error| format!("{place}: {error}"))?;
    NUMBER.store(config::kept(|all: &mut Configured| all.add_first(application, place)), Ordering::Relaxed);
    Ok(())
}
