// SPDX-License-Identifier: MIT OR Apache-2.0
//! What httpd knows of a request, for the core's meta-variables.

use std::ffi::CStr;

use gangway::{
    cgi::{Facts, Param, rejoin_cookies, write_request},
    config::check_param_name,
    error::SERVER_FAILED,
    http::{Decimal, Fields, is_named},
    log::{self},
    report,
};

use gangway_httpd::parts::is_of_one_request;

use crate::raw::{BodyLength, DirConf, INTERNAL_SERVER_ERROR, Request};

/// The variables of a request for what is mounted at `mount`. As in CGI, what the request says wins over SetEnv; GangwayParam wins over both.
///
/// # Errors
/// A status, when the expression of a variable failed.
pub(crate) fn build<'r>(
    request: Request<'r>,
    conf: &DirConf<'r>,
    mount: &[u8],
    length: BodyLength,
    pass_authorization: bool,
) -> Result<Fields, std::ffi::c_int> {
    write(request, conf, (mount, length), pass_authorization, None)
}

/// [`build`] without variables of headers, whose fields stand in a list of their own, as httpd has them: several lines of one name are
/// one there. With what mod_ssl knows.
///
/// # Errors
/// As [`build`].
pub(crate) fn build_apart<'r>(
    request: Request<'r>,
    conf: &DirConf<'r>,
    mount: &[u8],
    length: BodyLength,
    pass_authorization: bool,
) -> Result<(Fields, Fields), std::ffi::c_int> {
    let mut fields = Fields::with_capacity(32, 1024);
    let mut variables = write(request, conf, (mount, length), pass_authorization, Some(&mut fields))?;
    if request.is_https() {
        for name in TLS_FACTS {
            let value = request.tls_fact(name);
            if !value.is_empty() && variables.position(name.to_bytes()).is_none() {
                variables.push(name.to_bytes(), value);
            }
        }
    }
    Ok((variables, fields))
}

/// What mod_ssl says of a connection that applications are told without SSLOptions.
const TLS_FACTS: [&CStr; 6] = [
    c"SSL_PROTOCOL",
    c"SSL_CIPHER",
    c"SSL_SERVER_CERT",
    c"SSL_CLIENT_CERT",
    c"SSL_CLIENT_S_DN",
    c"SSL_CLIENT_VERIFY",
];

fn write<'r>(
    request: Request<'r>,
    conf: &DirConf<'r>,
    (mount, length): (&[u8], BodyLength),
    pass_authorization: bool,
    fields: Option<&mut Fields>,
) -> Result<Fields, std::ffi::c_int> {
    let params = conf.params(request).map_err(|(name, why)| {
        let (name, why) = (log::escape(name), log::escape(why));
        report!(request, Error, SERVER_FAILED, "the expression of {name} failed: {why}");
        INTERNAL_SERVER_ERROR
    })?;
    let (remote_user, auth_type) = request.user();
    let (mut server_port, mut remote_port) = (Decimal::default(), Decimal::default());
    let says_https = request.variables().any(|(name, value)| name == b"HTTPS" && is_on(value));
    let facts = Facts {
        method: request.method(),
        request_uri: path_of(request.original_target()),
        path: request.uri(),
        query: request.query(),
        protocol: request.protocol(),
        mount,
        document_root: request.document_root(),
        server_name: request.server_name(),
        server_port: server_port.write(request.server_port()),
        server_addr: request.server_addr(),
        server_software: request.server_software(),
        remote_addr: request.remote_addr(),
        remote_port: match request.remote_port() {
            0 => b"",
            port => remote_port.write(port),
        },
        remote_user,
        auth_type,
        content_type: request.header(c"Content-Type").unwrap_or_default(),
        content_length: match length {
            BodyLength::Known(0) if request.header(c"Content-Length").is_none() => None,
            BodyLength::Known(length) => Some(length),
            BodyLength::Chunked | BodyLength::Invalid | BodyLength::Coded => None,
        },
        https: says_https || request.is_https(),
        extra: &[],
        pass_authorization: pass_authorization || request.passes_authorization() == Some(true),
        // httpd has no switch for them: nobody has asked for such names.
        second_spellings: false,
    };
    let mut variables = Fields::with_capacity(32 + params.len(), 1024);
    write_with_headers(request, &mut variables, fields, &facts, &params);
    add_others(request, &mut variables);
    Ok(variables)
}

/// Writes what the facts, the request's headers and the administrator's words say.
fn write_with_headers(
    request: Request<'_>,
    variables: &mut Fields,
    fields: Option<&mut Fields>,
    facts: &Facts<'_>,
    params: &[Param<'_>],
) {
    // httpd has joined all lines of one name by ", ".
    let cookies = request.header(c"Cookie").and_then(rejoin_cookies);
    let host = request.corrected_host();
    if host.is_none() && cookies.is_none() {
        // Of most requests: as they are.
        return write_request(variables, fields, facts, request.headers(), params);
    }
    let sent = request.headers().filter(|(name, _)| host.is_none() || !is_named(name, b"Host"));
    let headers = sent.map(|(name, value)| match &cookies {
        Some(cookies) if is_named(name, b"Cookie") => (name, cookies.as_slice()),
        _ => (name, value),
    });
    let headers = host.iter().map(|host| (&b"Host"[..], host.as_slice())).chain(headers);
    write_request(variables, fields, facts, headers, params);
}

/// Adds what httpd and its modules say besides, where it is not known yet.
fn add_others(request: Request<'_>, variables: &mut Fields) {
    let redirected = request.previous();
    let ours = [
        (&b"REMOTE_HOST"[..], request.remote_host()),
        (b"REDIRECT_URL", redirected.map_or(b"", |from| from.uri())),
        (b"REDIRECT_QUERY_STRING", redirected.map_or(b"", |from| from.query())),
    ];
    let known = ours.into_iter().filter(|(_, value)| !value.is_empty());
    for (name, value) in known.chain(request.variables()) {
        let is_name = std::str::from_utf8(name).is_ok_and(|name| check_param_name(name).is_ok());
        if is_name && !is_anothers(request, name) && variables.position(name).is_none() {
            variables.push(name, value);
        }
    }
}

/// Whether a variable of httpd's is about another request or, as only we know how much of the body there is, about another body.
fn is_anothers(request: Request<'_>, name: &[u8]) -> bool {
    name == b"CONTENT_LENGTH" || request.is_subrequest() && is_of_one_request(name)
}

/// How SetEnvIf says that a proxy before this server has ended TLS.
fn is_on(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"on") || value == b"1"
}

/// The target without scheme and host, which a client may send: RFC 9112 §3.2.2.
fn path_of(target: &[u8]) -> &[u8] {
    if target.starts_with(b"/") {
        return target;
    }
    let Some(colon) = target.windows(3).position(|part| part == b"://") else { return target };
    let host = target.get(colon + 3..).unwrap_or_default();
    match host.iter().position(|byte| b"/?".contains(byte)) {
        Some(at) if host.get(at) == Some(&b'/') => host.get(at..).unwrap_or_default(),
        _ => b"/",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_targets_lose_scheme_and_host() {
        for (target, path) in [
            ("/a?b=http://c/d", "/a?b=http://c/d"),
            ("http://host/a?b", "/a?b"),
            ("http://host:80/", "/"),
            ("http://host", "/"),
            ("http://host?q=/x", "/"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(path_of(target.as_bytes()), path.as_bytes(), "{target}");
        }
    }

    #[test]
    fn https_is_switched_on_by_the_usual_words() {
        assert!(is_on(b"on") && is_on(b"On") && is_on(b"1"));
        assert!(!is_on(b"off") && !is_on(b"") && !is_on(b"0"));
    }
}
