// SPDX-License-Identifier: MIT OR Apache-2.0
//! `GangwayASGI`: applications of an event loop, which serve requests as those of `GangwayWSGI` do.

use gangway_httpd::directive::Command;

use super::wsgi::application;
use crate::raw::Choice;

/// `GangwayASGI TARGET [key=value ...]` or `GangwayASGI Off`.
pub(super) fn choice(command: &Command<'_>, words: &[&[u8]]) -> Result<Choice, String> {
    application(command, "GangwayASGI", words, |parser, engines| {
        parser.placed_interface(engines, "asgi", words)
    })
}
