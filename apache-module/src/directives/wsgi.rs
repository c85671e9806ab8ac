// SPDX-License-Identifier: MIT OR Apache-2.0
//! `GangwayWSGI`.

use gangway::config::{ConfigError, Engines, Parser, Placed};
use gangway_httpd::directive::Command;

use super::{is_off, managed};
use crate::{
    config,
    raw::{Choice, Claim, HandlerKind},
    wsgi::{self, Configured},
};

/// Applications in this process, of `GangwayWSGI`, `GangwayASGI` and `GangwayNative`.
pub(super) static KIND: HandlerKind = HandlerKind {
    check: wsgi::check,
    warnings: wsgi::warnings,
    prepare: |_| {
        wsgi::prepare();
        true
    },
    start: wsgi::start,
    ..HandlerKind::new(wsgi::HANDLER, Claim::All, wsgi::serve)
};

/// `GangwayWSGI TARGET [key=value ...]` or `GangwayWSGI Off`.
pub(super) fn choice(command: &Command<'_>, words: &[&[u8]]) -> Result<Choice, String> {
    application(command, "GangwayWSGI", words, |parser, engines| {
        parser.placed_interface(engines, "wsgi", words)
    })
}

/// What a directive says that gives a section an application.
pub(super) fn application(
    command: &Command<'_>,
    directive: &'static str,
    words: &[&[u8]],
    parse: impl FnOnce(&Parser<'_>, &mut Engines) -> Result<Placed, ConfigError>,
) -> Result<Choice, String> {
    if is_off(words)? {
        return Ok(Choice::Off);
    }
    let parser = Parser { base: command.server_root(), timeout: None };
    let placed =
        config::with_engines(|engines| parse(&parser, engines)).map_err(|error| error.to_string())?;
    let place = format!("{directive} on {}", command.position());
    match placed {
        Placed::InProcess(application) => {
            let number = config::kept(|configured: &mut Configured| configured.add(application, place));
            Ok(Choice::Handler(&KIND, number))
        }
        Placed::Managed(managed) => managed::application(*managed, place),
    }
}
