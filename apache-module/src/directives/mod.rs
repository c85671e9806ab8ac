// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of directives, what each does, and the kinds of handlers.
//!
//! It names everything below it. A kind of handler is a line in [`KINDS`] and one in the table.

mod asgi;
mod cgi;
mod managed;
mod native;
mod status;
mod wsgi;

use std::sync::{Mutex, PoisonError};

use gangway::{
    phases::RequestPhase,
    supervise::manifest,
    sys::{explain, spawner::own_account},
};
use gangway_httpd::{directive::Command, directives, param, sys};

use crate::{
    config, managed as handlers,
    phases::{self, ScriptUse},
    raw::{self, Choice, DirConf, Gangway, HandlerKind},
    section, wsgi as applications,
};

/// The kinds of handlers, in the order in which a process begins with them: first what waits for nobody.
pub(crate) const KINDS: [&HandlerKind; 7] = [
    &cgi::KIND,
    &managed::APPLICATIONS,
    &managed::HANDLERS,
    &managed::PROGRAMS,
    &wsgi::KIND,
    &status::KIND,
    &status::FULL,
];

const ANYWHERE: u32 = sys::ACCESS_CONF | sys::RSRC_CONF;
/// Also in .htaccess, where AllowOverride says so.
const FILES: u32 = sys::OR_FILEINFO;
const ACCESS: u32 = sys::OR_FILEINFO | sys::OR_AUTHCFG;
const AUTH: u32 = sys::OR_AUTHCFG;

directives! {
    Gangway, ": ";
    set_wsgi, "GangwayWSGI", ANYWHERE,
        "MODULE:CALLABLE or /path/file.py:CALLABLE [key=value ...], or Off",
        |command, conf, words| choose(command, conf, wsgi::choice(command, words));
    set_asgi, "GangwayASGI", ANYWHERE,
        "MODULE:CALLABLE or /path/file.py:CALLABLE [key=value ...], or Off",
        |command, conf, words| choose(command, conf, asgi::choice(command, words));
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
    set_gangway_handlers, "GangwayPythonHandler", FILES, "[PHASE] MODULE[::OBJECT] ... [key=value ...], or [PHASE] off",
        |command, conf, words| phases::set_gangway_handlers(command, conf, words, managed::handlers);
    set_access_script, "GangwayAccess", ACCESS, "the path of a script with allow_access()",
        |command, conf, words| phases::set_script(command, conf, ScriptUse::Access, words);
    set_user_script, "GangwayAuthnProvider", AUTH, "the path of a script with check_password() or get_realm_hash()",
        |command, conf, words| phases::set_script(command, conf, ScriptUse::Users, words);
    set_group_script, "GangwayAuthzProvider", AUTH, "the path of a script with groups_for_user()",
        |command, conf, words| phases::set_script(command, conf, ScriptUse::Groups, words);
    set_wsgi_access, "WSGIAccessScript", AUTH, "the path of a script with allow_access()",
        |command, conf, words| phases::set_wsgi_script(command, conf, ScriptUse::Access, words);
    set_wsgi_users, "WSGIAuthUserScript", AUTH, "the path of a script with check_password() or get_realm_hash()",
        |command, conf, words| phases::set_wsgi_script(command, conf, ScriptUse::Users, words);
    set_wsgi_groups, "WSGIAuthGroupScript", AUTH, "the path of a script with groups_for_user()",
        |command, conf, words| phases::set_wsgi_script(command, conf, ScriptUse::Groups, words);
    set_post_read_request, "PythonPostReadRequestHandler", sys::RSRC_CONF, "HANDLER ... [| .SUFFIX ...]",
        |command, conf, words| phases::add_handlers(command, conf, RequestPhase::PostReadRequest, words);
    set_init, "PythonInitHandler", FILES, "HANDLER ... [| .SUFFIX ...]",
        |command, conf, words| phases::add_handlers(command, conf, RequestPhase::Init, words);
    set_trans, "PythonTransHandler", sys::RSRC_CONF, "HANDLER ... [| .SUFFIX ...]",
        |command, conf, words| phases::add_handlers(command, conf, RequestPhase::Trans, words);
    set_header_parser, "PythonHeaderParserHandler", FILES, "HANDLER ... [| .SUFFIX ...]",
        |command, conf, words| phases::add_handlers(command, conf, RequestPhase::HeaderParser, words);
    set_access, "PythonAccessHandler", ACCESS, "HANDLER ... [| .SUFFIX ...]",
        |command, conf, words| phases::add_handlers(command, conf, RequestPhase::Access, words);
    set_authen, "PythonAuthenHandler", ACCESS, "HANDLER ... [| .SUFFIX ...]",
        |command, conf, words| phases::add_handlers(command, conf, RequestPhase::Authen, words);
    set_authz, "PythonAuthzHandler", ACCESS, "HANDLER ... [| .SUFFIX ...]",
        |command, conf, words| phases::add_handlers(command, conf, RequestPhase::Authz, words);
    set_type, "PythonTypeHandler", FILES, "HANDLER ... [| .SUFFIX ...]",
        |command, conf, words| phases::add_handlers(command, conf, RequestPhase::Type, words);
    set_fixup, "PythonFixupHandler", FILES, "HANDLER ... [| .SUFFIX ...]",
        |command, conf, words| phases::add_handlers(command, conf, RequestPhase::Fixup, words);
    set_content, "PythonHandler", FILES, "HANDLER ... [| .SUFFIX ...]",
        |command, conf, words| phases::add_handlers(command, conf, RequestPhase::Content, words);
    set_interpreter, "PythonInterpreter", FILES, "the name of the interpreter whose modules handlers use",
        |command, conf, words| phases::set_text(command, conf, b"PythonInterpreter", words);
    set_path, "PythonPath", FILES, "an expression of Python for sys.path",
        |command, conf, words| phases::set_text(command, conf, b"PythonPath", words);
    set_debug, "PythonDebug", FILES, "On shows tracebacks to clients",
        |command, conf, words| phases::set_switch(command, conf, b"PythonDebug", words);
    set_autoreload, "PythonAutoReload", FILES, "Off keeps modules whose files have changed",
        |command, conf, words| phases::set_switch(command, conf, b"PythonAutoReload", words);
    set_per_directory, "PythonInterpPerDirectory", FILES, "On has each directory use modules of its own",
        |command, conf, words| phases::set_switch(command, conf, b"PythonInterpPerDirectory", words);
    set_per_directive, "PythonInterpPerDirective", FILES, "On has each directory with a directive use modules of its own",
        |command, conf, words| phases::set_switch(command, conf, b"PythonInterpPerDirective", words);
    set_option, "PythonOption", FILES, "NAME [VALUE]", phases::add_option;
    set_home, "PythonHome", sys::RSRC_CONF, "the virtual environment of all handlers",
        |command, _, words| phases::set_home(command, words);
    set_log, "PythonLogHandler", FILES, "HANDLER ... [| .SUFFIX ...]",
        |command, conf, words| phases::add_handlers(command, conf, RequestPhase::Log, words);
    set_cleanup, "PythonCleanupHandler", FILES, "HANDLER ... [| .SUFFIX ...]",
        |command, conf, words| phases::add_handlers(command, conf, RequestPhase::Cleanup, words);
    set_import, "PythonImport", sys::RSRC_CONF, "MODULE[::FUNCTION] INTERPRETER",
        |command, _, words| phases::add_import(command, words);
    set_connection, "PythonConnectionHandler", sys::RSRC_CONF, "HANDLER ...: for connections that speak another protocol",
        |command, conf, words| phases::add_handlers(command, conf, RequestPhase::Connection, words);
    set_input_filter, "PythonInputFilter", ANYWHERE, "HANDLER NAME",
        |command, conf, words| phases::add_filter(command, conf, RequestPhase::InputFilter, words);
    set_output_filter, "PythonOutputFilter", ANYWHERE, "HANDLER NAME",
        |command, conf, words| phases::add_filter(command, conf, RequestPhase::OutputFilter, words);
    set_handler_module, "PythonHandlerModule", FILES, "a module whose functions are handlers of the phases of their names",
        phases::add_module;
    set_optimize, "PythonOptimize", sys::RSRC_CONF, "On starts Python without assertions, as by python3 -O",
        |command, _, words| phases::set_optimize(command, words);
    set_pdb, "PythonEnablePdb", FILES, "On runs handlers under pdb, where httpd was started with -X",
        phases::set_debugger;
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
    // First, for the application that stands for handlers is checked with the others.
    let added = phases::add_application();
    match added.and_then(|()| KINDS.iter().try_for_each(|kind| (kind.check)())).and_then(|()| tell()) {
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

/// Says what applications there are, if `gangway check` has asked for it.
fn tell() -> Result<(), String> {
    if !raw::is_test() {
        return Ok(());
    }
    let worker = raw::worker().unwrap_or_else(own_account);
    let written = manifest::write(&handlers::all(), &applications::configured(), &handlers::host(), &worker);
    written.map_err(|error| {
        format!("the applications cannot be written to where {} says: {}", manifest::ASKED, explain(&error))
    })
}

/// What is wrong and stops nothing: engines that were refused, and what the children will not be able to do.
fn warn() {
    /// httpd reads its configuration twice when it starts.
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    let mut lines = config::with_engines(|engines| engines.take_refusals());
    lines.extend(crate::status::warnings());
    lines.extend(phases::warning());
    if let Some(worker) = raw::worker() {
        lines.extend(KINDS.iter().flat_map(|kind| (kind.warnings)(&worker)));
    }
    for line in lines.iter().filter(|line| !said.contains(line)) {
        raw::warn_startup(line);
    }
    *said = lines;
}
