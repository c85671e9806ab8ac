// SPDX-License-Identifier: MIT OR Apache-2.0
//! `GangwaySpawn`, and applications of `GangwayWSGI` and `GangwayNative` in processes of their own.

use std::time::Duration;

use gangway::{
    config::{Managed, Parser},
    phases::HandlerWords,
};
use gangway_httpd::directive::Command;

use super::is_off;
use crate::{
    config,
    managed::{self, Wanted},
    phases::TERMS as HANDLER_TERMS,
    raw::{Choice, Claim, HandlerKind, INTERNAL_SERVER_ERROR},
    wsgi,
};

/// Applications that `gangway-host` runs. What this does for processes it does for those of programs as well.
pub(super) static APPLICATIONS: HandlerKind = HandlerKind {
    check: managed::check,
    warnings: managed::warnings,
    prepare: managed::prepare,
    start: managed::start,
    ..HandlerKind::new(wsgi::HANDLER, Claim::All, managed::serve_application)
};

/// FastCGI programs. Declining a request would send the source of a script to the client.
pub(super) static PROGRAMS: HandlerKind = HandlerKind {
    stray: |_| INTERNAL_SERVER_ERROR,
    ..HandlerKind::new(managed::PROGRAM, Claim::Last(managed::is_program), managed::serve_program)
};

/// Handlers of GangwayPythonHandler. As those in the processes of the server they take a request when httpd knows which file its path is.
pub(super) static HANDLERS: HandlerKind = HandlerKind {
    is_of_content: true,
    ..HandlerKind::new(wsgi::HANDLER, Claim::Found(managed::is_for_handlers), managed::serve_application)
};

/// How long a program may give no output without `timeout=`.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(60);

/// `GangwaySpawn PROGRAM [ARGUMENT ...] [key=value ...]` or `GangwaySpawn Off`.
pub(super) fn choice(command: &Command<'_>, words: &[&[u8]]) -> Result<Choice, String> {
    if is_off(words)? {
        return Ok(Choice::Off);
    }
    let parser = Parser { base: command.server_root(), timeout: Some(PROGRAM_TIMEOUT) };
    let managed = parser.program(words).map_err(|error| error.to_string())?;
    let place = format!("GangwaySpawn on {}", command.position());
    let number = config::kept(|wanted: &mut Wanted| wanted.add(managed, place, None));
    Ok(Choice::Handler(&PROGRAMS, number))
}

/// An application that `gangway-host` is to run.
pub(super) fn application(managed: Managed, place: String) -> Result<Choice, String> {
    let host = config::with_engines(|engines| engines.host()).map_err(|error| error.to_string())?;
    let number = config::kept(|wanted: &mut Wanted| wanted.add(managed, place, Some(host)));
    Ok(Choice::Handler(&APPLICATIONS, number))
}

/// Handlers that `gangway-host` is to run.
pub(super) fn handlers(command: &Command<'_>, words: &HandlerWords) -> Result<Choice, String> {
    let parser = Parser { base: command.server_root(), timeout: None };
    let managed = config::with_engines(|engines| {
        parser.managed_handlers(engines, words, &HANDLER_TERMS, command.server_root())
    });
    let managed = managed.map_err(|error| error.to_string())?;
    let host = config::with_engines(|engines| engines.host()).map_err(|error| error.to_string())?;
    let place = format!("GangwayPythonHandler on {}", command.position());
    let number = config::kept(|wanted: &mut Wanted| wanted.add(managed, place, Some(host)));
    Ok(Choice::Handler(&HANDLERS, number))
}
