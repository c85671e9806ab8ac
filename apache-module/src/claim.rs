// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which requests are an application's.
//!
//! An application of a `<Location>`, a virtual host or the server takes its requests before httpd looks for files.
//! One of a `<Directory>` or `<Files>` takes them after that, because only then httpd knows the section. An inner
//! `SetHandler` wins over both.

use std::ffi::{CStr, c_int};

use crate::{
    cgi, managed,
    raw::{Choice, DECLINED, OK, Request},
    section::Section,
};

/// The name of our handler.
const HANDLER: &CStr = c"gangway-wsgi";
/// The file name of a request that is ours: no file has it, no module finds a suffix in it.
const FILENAME: &CStr = c"gangway:";

/// Before httpd maps the path to a file. What Alias maps has gone its way already.
pub(crate) fn translate(request: Request<'_>) -> c_int {
    // One for a proxy, or for no path at all, is not.
    if request.is_proxied() || !request.uri().starts_with(b"/") {
        return DECLINED;
    }
    if request.is_rewritten() {
        let status = request.walk_locations();
        if status != OK {
            return status;
        }
    }
    let by_path = |section| matches!(section, Section::Server | Section::Location | Section::Pattern);
    if !runs(request, by_path) {
        return DECLINED;
    }
    request.set_handler(HANDLER);
    request.set_constant_filename(FILENAME);
    OK
}

/// Nothing on disk stands for a claimed request.
pub(crate) fn map_to_storage(request: Request<'_>) -> c_int {
    if is_claimed(request) { OK } else { DECLINED }
}

/// After the walk through the file system and after authorization.
pub(crate) fn fixups(request: Request<'_>) -> c_int {
    let by_file =
        |section| matches!(section, Section::Directory | Section::DirectoryPattern | Section::Files);
    if !is_claimed(request) && runs(request, by_file) {
        request.set_handler(HANDLER);
    }
    if let Some(conf) = request.conf()
        && matches!(conf.choice(), Choice::Script(_))
    {
        cgi::claim(request, conf);
    }
    DECLINED
}

/// After all other modules.
pub(crate) fn last_fixups(request: Request<'_>) -> c_int {
    if let Some(conf) = request.conf()
        && let Choice::Program(number) = conf.choice()
    {
        managed::claim(request, conf.section(), number);
    }
    DECLINED
}

/// Whether `translate` made it ours.
fn is_claimed(request: Request<'_>) -> bool {
    request.filename() == FILENAME.to_bytes() && is_ours(request)
}

/// Whether our handler is to serve it.
pub(crate) fn is_ours(request: Request<'_>) -> bool {
    request.handler() == HANDLER.to_bytes()
}

fn runs(request: Request<'_>, section: impl Fn(Section) -> bool) -> bool {
    let conf = request.conf();
    conf.is_some_and(|conf| {
        matches!(conf.choice(), Choice::Run(_) | Choice::Hosted(_)) && section(conf.section())
    }) && !request.has_set_handler()
}
