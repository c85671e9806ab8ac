// SPDX-License-Identifier: MIT OR Apache-2.0
//! The variables that a backend gets: httpd's own, with what each stock module changes about them.

use std::{borrow::Cow, ffi::c_int};

use gangway::{
    cgi::rejoin_cookies,
    error::{REQUEST_REFUSED, SCRIPT_MISSING},
    http::Fields,
    log::{self},
    report,
};

use crate::{
    raw::{
        INTERNAL_SERVER_ERROR, NOT_FOUND, ProxyTarget, Request,
        canonical::decode_path,
        environment::{add_variables, apply_params, apply_set_env_if, forget_variables_of_page},
    },
    scheme::Kind,
    script,
};

/// Makes the variables of a request, in place of those that the list has.
///
/// # Errors
/// The status to answer.
pub(crate) fn write(fields: &mut Fields, target: ProxyTarget<'_>, kind: Kind) -> Result<(), c_int> {
    let request = target.request();
    forget_variables_of_page(request);
    match kind {
        Kind::FastCgi => {
            add_variables(request, true);
            apply_set_env_if(request)?;
        }
        Kind::Scgi => add_variables(request, false),
        Kind::Uwsgi => add_uwsgi(target)?,
    }
    join_cookies(request);
    if let Some(host) = request.corrected_host() {
        request.set_variable(c"HTTP_HOST", &host);
    }
    apply_params(request)?;
    if kind == Kind::FastCgi {
        check_script(request)?;
    }
    fields.begin(kind.protocol().layout());
    for (name, value) in request.variables() {
        // SCGI's own variable is the encoder's.
        let is_left_out = name.is_empty() || kind == Kind::Scgi && name == b"SCGI";
        if !is_left_out {
            fields.push(name, value);
        }
    }
    Ok(())
}

/// httpd joins all lines of one name by ", ".
fn join_cookies(request: Request<'_>) {
    let sent = request.header(c"Cookie");
    let Some(cookies) = sent.and_then(rejoin_cookies) else { return };
    // Somebody else's value stays.
    if request.variable(c"HTTP_COOKIE") == sent {
        request.set_variable(c"HTTP_COOKIE", &cookies);
    }
}

/// As mod_proxy_uwsgi: PATH_INFO is the path of the URL, SCRIPT_NAME is what precedes it, and the application sees
/// Authorization, unless CGIPassAuth says no.
fn add_uwsgi(target: ProxyTarget<'_>) -> Result<(), c_int> {
    let request = target.request();
    let path = script::path_of(target.url());
    let Some(path) = decode_path(request, if path.is_empty() { b"/" } else { path }) else {
        let url = log::escape(target.url());
        report!(request, Error, REQUEST_REFUSED, "the path of {url} cannot be decoded");
        return Err(INTERNAL_SERVER_ERROR);
    };
    let more = path.iter().take_while(|byte| **byte == b'/').count().saturating_sub(1);
    let path_info = path.get(more..).unwrap_or_default();
    request.set_variable(c"PATH_INFO", path_info);
    if let Some(url) = request.filename().strip_suffix(script::path_of(request.filename())) {
        // The stock module decodes the path where httpd takes SCRIPT_FILENAME from.
        request.set_filename(&[url, path]);
    }
    add_variables(request, false);
    if let Some(authorization) =
        request.header(c"Authorization").filter(|_| request.passes_authorization() != Some(false))
    {
        request.set_variable(c"HTTP_AUTHORIZATION", authorization);
    }
    let script_name = request.variable(c"SCRIPT_NAME").unwrap_or_default();
    let path_info = request.variable(c"PATH_INFO").unwrap_or_default();
    request.set_variable(c"SCRIPT_NAME", mount(script_name, path_info));
    Ok(())
}

/// What precedes PATH_INFO.
fn mount<'n>(script_name: &'n [u8], path_info: &[u8]) -> &'n [u8] {
    match path_info {
        b"/" if script_name == b"/" => b"",
        b"/" | b"" => script_name,
        _ => script_name.strip_suffix(path_info).unwrap_or(script_name),
    }
}

/// Whether the request is one for a script of PHP, as far as its path says.
pub(crate) fn names_php(request: Request<'_>) -> bool {
    let Some(conf) = request.conf().filter(|conf| conf.may_be_fpm()) else { return false };
    let path = joined(script::path_of(request.filename()), request.path_info());
    script::names_script(&path, conf.script_suffixes())
}

fn joined<'a>(first: &'a [u8], second: &[u8]) -> Cow<'a, [u8]> {
    if second.is_empty() { first.into() } else { [first, second].concat().into() }
}

/// Whether PHP would run the script that the request names, and no other file.
fn check_script(request: Request<'_>) -> Result<(), c_int> {
    let Some(conf) = request.conf().filter(|conf| conf.checks_scripts()) else { return Ok(()) };
    let name = request.variable(c"SCRIPT_FILENAME").unwrap_or_default();
    let is_url = name.starts_with(b"proxy:");
    let file = if is_url { script::path_of(name) } else { name };
    let is_raw = [c"proxy-sethandler", c"proxy-nocanon", c"proxy-noencode"];
    let file = if is_url && !is_raw.iter().any(|note| request.note(note).is_some()) {
        decode_path(request, file).unwrap_or(file)
    } else {
        file
    };
    // Where httpd has split the path, the two parts together are what the client has named.
    let info = request.variable(c"PATH_INFO").unwrap_or_default();
    let path = joined(file, if file.ends_with(info) { b"" } else { info });
    // httpd has looked at the file of a SetHandler already.
    let is_known = request.is_file() && request.note(c"proxy-sethandler").is_some();
    let known = if is_known { file } else { b"" };
    if script::may_run(&path, conf.script_suffixes(), known) {
        return Ok(());
    }
    let path = log::escape(&path);
    report!(
        request,
        Info,
        SCRIPT_MISSING,
        "\"{path}\" is no script: there is no such file (GangwayScriptCheck)",
    );
    Err(NOT_FOUND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_precedes_path_info() {
        for (script_name, path_info, expected) in [
            ("/app/x", "/x", "/app"),
            ("/app/", "/", "/app/"),
            ("/", "/", ""),
            ("/x", "/x", ""),
            ("/app", "/other/x", "/app"),
            ("/app", "", "/app"),
        ] {
            let found = mount(script_name.as_bytes(), path_info.as_bytes());
            assert_eq!(found, expected.as_bytes(), "{script_name} {path_info}");
        }
    }
}
