// SPDX-License-Identifier: MIT OR Apache-2.0
//! What scripts need of httpd: its rules about them, redirects, interim answers.

use std::{ffi::c_int, fmt};

use gangway::{
    cgi::{LOCAL_REDIRECTS, RedirectTarget},
    error::CGI_REDIRECT,
    log::{self},
    report,
};

use super::{BAD_GATEWAY, OK, Request};

/// What ScriptAlias and the usual AddHandler set.
const SCRIPT: &[u8] = b"cgi-script";

/// A request that may be a script's.
pub(crate) trait ScriptRequest: Copy {
    /// Whether a module or a directive has chosen who serves it.
    fn has_handler(self) -> bool;
    /// Whether httpd's own rules make it a script: ScriptAlias, AddHandler or SetHandler.
    fn has_script_handler(self) -> bool;
    /// Whether Options or ScriptAlias let scripts run here.
    fn may_execute(self) -> bool;
    /// Answers with another document of this server: RFC 3875 §6.2.2. Where none can be given, says why and answers a status.
    fn redirect_locally(self, text: &[u8]) -> c_int;
    /// Sends an interim answer (RFC 9110 §15.2), where the protocol has them.
    fn answer_meanwhile<'h>(self, status: u16, fields: impl Iterator<Item = (&'h [u8], &'h [u8])>);
}

impl ScriptRequest for Request<'_> {
    fn has_handler(self) -> bool {
        !self.handler().is_empty() || self.has_set_handler()
    }

    fn has_script_handler(self) -> bool {
        self.handler() == SCRIPT
    }

    fn may_execute(self) -> bool {
        self.allows_scripts()
            || self.note(c"alias-forced-type").is_some_and(|alias| alias.starts_with(SCRIPT))
    }

    fn redirect_locally(self, text: &[u8]) -> c_int {
        let refused = |why: &dyn fmt::Display| {
            let text = log::escape(text);
            report!(self, Error, CGI_REDIRECT, "the local redirect to \"{text}\" is refused: {why}");
            BAD_GATEWAY
        };
        let target = match RedirectTarget::parse(text, true) {
            Ok(target) => target.request_uri(text),
            Err(error) => return refused(&error),
        };
        if self.local_redirects() >= LOCAL_REDIRECTS {
            return refused(&format_args!("{LOCAL_REDIRECTS} of them have led here"));
        }
        match self.redirect_locally_to(self.pool().text(&target)) {
            Ok(()) => OK,
            Err(status) => status,
        }
    }

    fn answer_meanwhile<'h>(self, status: u16, fields: impl Iterator<Item = (&'h [u8], &'h [u8])>) {
        let fields = fields.filter(|(name, _)| !gangway::http::is_connection_field(name));
        fields.for_each(|(name, value)| self.add_header(name, value));
        self.set_status(status, b"");
        self.send_interim();
    }
}
