// SPDX-License-Identifier: MIT OR Apache-2.0
//! `GangwayNative`: an application whose engine is named by its file.

use gangway_httpd::directive::Command;

use super::wsgi::application;
use crate::raw::Choice;

/// `GangwayNative FILE[:NAME] [key=value ...]` or `GangwayNative Off`.
pub(super) fn choice(command: &Command<'_>, words: &[&[u8]]) -> Result<Choice, String> {
    application(command, "GangwayNative", words, |parser, _| parser.placed_native(words))
}
