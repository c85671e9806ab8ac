// SPDX-License-Identifier: MIT OR Apache-2.0
//! `GangwayCGI`.

use gangway::{config::Parser, log};
use gangway_httpd::directive::Command;

use super::is_off;
use crate::{
    cgi::{self, AllSettings},
    config,
    raw::{Choice, Claim, HandlerKind},
    section,
};

/// Programs.
pub(super) static KIND: HandlerKind = HandlerKind {
    stray: cgi::refuse_stray,
    prepare: cgi::prepare,
    ..HandlerKind::new(cgi::HANDLER, Claim::Found(cgi::is_ours), cgi::serve)
};

/// `GangwayCGI On [key=value ...]` or `GangwayCGI Off`.
pub(super) fn choice(command: &Command<'_>, words: &[&[u8]]) -> Result<Choice, String> {
    let (first, rest) = words.split_first().ok_or("needs On or Off")?;
    if is_off(words)? {
        return Ok(Choice::Off);
    }
    if !first.eq_ignore_ascii_case(b"on") {
        return Err(format!("begins with \"{}\": On or Off comes first, then options", log::escape(first)));
    }
    let parser = Parser { base: command.server_root(), timeout: None };
    let settings = parser.cgi(rest).map_err(|error| error.to_string())?;
    let (_, path) = section::of(command);
    let place = if path.is_empty() { "cgi".into() } else { String::from_utf8_lossy(&path).into_owned() };
    let number = config::kept(|all: &mut AllSettings| all.add(settings, place));
    Ok(Choice::Handler(&KIND, number))
}
