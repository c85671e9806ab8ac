// SPDX-License-Identifier: MIT OR Apache-2.0
//! `SetHandler gangway-status`: how applications do, from the memory that children and supervisor share. No application is asked.

use std::ffi::{CStr, c_int};

use gangway::{
    error::{SERVER_FAILED, STATUS_OPEN},
    exchange::{Delivery, End, Piece},
    http::{Fields, Head},
    report,
    status::{Announced, AppKind, ServerSnapshot, StatusDetail, StatusForm, write},
};
use gangway_httpd::{notes, tree::unguarded};

use crate::{
    cgi, counting, managed,
    raw::{INTERNAL_SERVER_ERROR, METHOD_NOT_ALLOWED, Request, Session, board},
    reply::Progress,
    wsgi,
};

/// The name of the handler.
pub(crate) const HANDLER: &CStr = c"gangway-status";
/// The same, and the page has queries.
pub(crate) const FULL_HANDLER: &CStr = c"gangway-status-full";

/// Where everybody can see the page.
pub(crate) fn warnings() -> Vec<String> {
    let line = |(name, place): (&str, String)| {
        format!(
            "{STATUS_OPEN} SetHandler {name} in {place} is shown to everybody: let only some in, as with \"Require ip 127.0.0.1\""
        )
    };
    let names = [HANDLER, FULL_HANDLER].map(|name| name.to_str().unwrap_or_default());
    names
        .into_iter()
        .flat_map(|name| unguarded(name).into_iter().map(move |place| (name, place)))
        .map(line)
        .collect()
}

/// How many applications there are.
pub(crate) fn count() -> usize {
    all().len()
}

/// In the parent, when everything else is prepared: these are the applications from now on.
pub(crate) fn prepare() {
    notes::look();
    counting::announce(&all());
}

fn all() -> Vec<Announced> {
    let in_process = wsgi::configured().into_iter().map(|config| Announced {
        kind: AppKind::InProcess,
        name: config.spec().name.clone(),
        places: config.spec().threads,
        room: config.queue(),
    });
    let managed = managed::named().into_iter().map(|(managed, name)| Announced {
        kind: AppKind::Managed,
        name,
        places: managed.threads(),
        room: managed.queue(),
    });
    let scripts = cgi::named().into_iter().map(|(cgi, name)| Announced {
        kind: AppKind::Cgi,
        name,
        places: u32::try_from(cgi.processes()).unwrap_or(u32::MAX),
        room: cgi.queue(),
    });
    in_process.chain(managed).chain(scripts).collect()
}

/// Serves the page, and its forms for programs.
pub(crate) fn serve(request: Request<'_>, detail: StatusDetail) -> c_int {
    if !request.is_get() {
        request.allow_get();
        return METHOD_NOT_ALLOWED;
    }
    let Some(board) = board() else {
        report!(
            request,
            Error,
            SERVER_FAILED,
            "there are no figures: a line from the start of httpd says why"
        );
        return INTERNAL_SERVER_ERROR;
    };
    let server = String::from_utf8_lossy(request.server_software()).into_owned();
    let snapshot = ServerSnapshot::take(board, &server, detail, managed::processes_of);
    let form = StatusForm::wanted(request.uri(), request.query(), request.header(c"Accept"));
    let body = write(form, &snapshot);
    let mut fields = Fields::default();
    form.headers().iter().for_each(|(name, value)| fields.push(name.as_bytes(), value.as_bytes()));
    let head = Head { status: 200, reason: Vec::new(), fields, content_length: Some(body.len() as u64) };
    let pieces = vec![Piece::Copied(body.into_bytes())];
    let delivery = Delivery { head: Some(head), pieces, end: Some(End::Complete), ..Delivery::default() };
    Progress::default().finish(&mut Session::new(request), delivery)
}
