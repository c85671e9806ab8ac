// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which requests are ours, and who of us serves them: the kind of handler of their section says it.
//!
//! An application of a `<Location>`, a virtual host or the server takes its requests before httpd looks for files.
//! One of a `<Directory>` or `<Files>` takes them after that, because only then httpd knows the section. An inner
//! `SetHandler` wins over both.

use std::ffi::{CStr, c_int};

use crate::{
    raw::{Claim, DECLINED, HandlerKind, OK, Request},
    section::Section,
};

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
    let Some(kind) = taker(request, by_path) else { return DECLINED };
    request.set_handler(kind.name);
    request.set_constant_filename(FILENAME);
    OK
}

/// Nothing on disk stands for a claimed request. `kinds`: all that there are, for httpd has taken the section away from the request
/// here, and gives it back later.
pub(crate) fn map_to_storage(request: Request<'_>, kinds: &[&HandlerKind]) -> c_int {
    let is_ours = has_our_name(request) && kinds.iter().any(|kind| kind.has(request));
    if is_ours { OK } else { DECLINED }
}

/// After the walk through the file system and after authorization.
pub(crate) fn fixups(request: Request<'_>) -> c_int {
    let by_file =
        |section| matches!(section, Section::Directory | Section::DirectoryPattern | Section::Files);
    if !is_claimed(request)
        && let Some(kind) = taker(request, by_file)
    {
        request.set_handler(kind.name);
    }
    if let Some((kind, number)) = chosen(request)
        && let Claim::Found(takes) = kind.claim
        && takes(request, number)
    {
        request.set_handler(kind.name);
    }
    DECLINED
}

/// After all other modules.
pub(crate) fn last_fixups(request: Request<'_>) -> c_int {
    if let Some((kind, number)) = chosen(request)
        && let Claim::Last(takes) = kind.claim
        && !request.is_proxied()
        && !request.has_set_handler()
        && takes(request, number)
    {
        request.set_handler(kind.name);
    }
    DECLINED
}

/// The content handler. `kinds`: all that there are.
pub(crate) fn serve(request: Request<'_>, kinds: &[&HandlerKind]) -> c_int {
    if let Some((kind, number)) = chosen(request)
        && kind.has(request)
    {
        return (kind.serve)(request, number);
    }
    let stray = kinds.iter().find(|kind| kind.has(request));
    stray.map_or(DECLINED, |kind| (kind.stray)(request))
}

/// Whether `translate` made it ours.
fn is_claimed(request: Request<'_>) -> bool {
    has_our_name(request) && chosen(request).is_some_and(|(kind, _)| kind.has(request))
}

fn has_our_name(request: Request<'_>) -> bool {
    request.filename() == FILENAME.to_bytes()
}

/// The kind of handler that the section of the request has, and the number of its settings.
fn chosen(request: Request<'_>) -> Option<(&'static HandlerKind, usize)> {
    request.conf()?.handler()
}

/// The kind that takes every request of such a section.
fn taker(request: Request<'_>, is_good: impl Fn(Section) -> bool) -> Option<&'static HandlerKind> {
    let conf = request.conf()?;
    let (kind, _) = conf.handler()?;
    let takes = matches!(kind.claim, Claim::All) && is_good(conf.section()) && !request.has_set_handler();
    takes.then_some(kind)
}
