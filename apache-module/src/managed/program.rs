// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which requests are a FastCGI program's, and which script it is to run for them.
//!
//! A program gets the file that httpd has found, as with `SetHandler "proxy:…"`; what is no file is a request to an application that
//! is mounted at the path of its section.

use std::{
    ffi::{OsStr, c_int},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use gangway::{
    cgi::script::{Entry, Resolution, resolve},
    config::Managed,
    error::SCRIPT_MISSING,
    http::Fields,
    log::escape,
    report,
};

use super::services;
use crate::{
    body::{self, Advance, Whole},
    mount,
    raw::{BodyLength, DirConf, NOT_FOUND, Request, Session},
    section::Section,
    variables,
};

/// What is known of a request before a process is needed.
pub(super) struct ReadyRequest {
    pub(super) variables: Fields,
    /// All of the body, where that is there already.
    pub(super) whole: Option<Whole>,
}

/// What names a script of PHP.
const SUFFIXES: [&[u8]; 3] = [b"php", b"phtml", b"phar"];

/// After all others have said what serves the request, mod_dir with the index of a directory included: whether the program is to.
pub(crate) fn is_ours(request: Request<'_>, number: usize) -> bool {
    let Some(conf) = request.conf() else { return false };
    let service = services::service(number);
    !service.is_some_and(|service| is_plain_file(request, conf.section(), &service.managed))
}

/// PHP runs any file whose path it is given: images that somebody has uploaded below a `<Location>` are not to be among them. httpd
/// sends them as they are. Who names files, `<Files>`, means those.
fn is_plain_file(request: Request<'_>, section: Section, managed: &Managed) -> bool {
    managed.runs_any_file()
        && section != Section::Files
        && request.is_file()
        && find(request) == Resolution::NotScript
}

/// What the path leads to that httpd has found.
fn find(request: Request<'_>) -> Resolution<'_> {
    let path = request.pool().copy(&[request.filename(), request.path_info()].concat());
    resolve(path, &SUFFIXES, |part| {
        if request.is_file() && part == request.filename() { Entry::File } else { look(part) }
    })
}

fn look(path: &[u8]) -> Entry {
    match std::fs::metadata(Path::new(OsStr::from_bytes(path))) {
        Ok(found) if found.is_file() => Entry::File,
        Ok(found) if found.is_dir() => Entry::Directory,
        Ok(_) | Err(_) => Entry::Nothing,
    }
}

/// All that is known before a process is needed.
pub(super) fn prepare<'r>(
    session: &mut Session<'r>,
    conf: &DirConf<'r>,
    managed: &Managed,
) -> Result<ReadyRequest, c_int> {
    let request = session.request();
    let found = find(request);
    if found == Resolution::NotFound {
        let path = escape(&[request.filename(), request.path_info()].concat());
        report!(request, Error, SCRIPT_MISSING, "\"{path}\" is no script: there is no such file");
        return Err(NOT_FOUND);
    }
    let (uri, info) = (request.uri(), request.path_info());
    let is_script = found != Resolution::NotScript || request.is_file();
    let mount = if is_script {
        mount::before(uri, info).unwrap_or(uri)
    } else {
        mount::mount(request, conf.section(), conf.path())
    };
    // A program reads as many bytes as CONTENT_LENGTH says.
    let length = body::body_length(request)?;
    let Advance { length, whole } = match length {
        BodyLength::Chunked => body::advance_whole(session)?,
        length => body::advance_fully(session, length)?,
    };
    let mut variables = variables::build(request, conf, mount, length, managed.pass_authorization())?;
    if is_script {
        add_script(request, &mut variables);
    }
    Ok(ReadyRequest { variables, whole })
}

/// What a program wants to know of its script. The administrator's own values stay.
fn add_script(request: Request<'_>, variables: &mut Fields) {
    let info = request.path_info();
    if let Some(at) = variables.position(b"PATH_INFO") {
        // The path of a file that follows the script's, in which several slashes are one.
        variables.replace(at, info);
    }
    // RFC 3875 §4.1.6: where the server would look for PATH_INFO.
    let translated = if info.is_empty() { Vec::new() } else { [request.document_root(), info].concat() };
    let ours = [
        (&b"SCRIPT_FILENAME"[..], request.filename()),
        (b"PATH_TRANSLATED", translated.as_slice()),
        // PHP wants it as a sign that a server has started it.
        (b"REDIRECT_STATUS", b"200"),
    ];
    for (name, value) in ours {
        if !value.is_empty() && variables.position(name).is_none() {
            variables.push(name, value);
        }
    }
}
