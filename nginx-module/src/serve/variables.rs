// SPDX-License-Identifier: MIT OR Apache-2.0
//! What nginx knows of a request, for the core's meta-variables.

use std::rc::Rc;

use gangway::{
    cgi::{Extra, Facts, Param, write_request},
    http::{Decimal, Fields},
    protocol::Role,
};

use super::{authorization::Authorization, memo};
use crate::{
    conf::{LocationConf, MainConf},
    raw::Request,
};

/// What a cached response must not depend on: the cache decides (as the stock modules' cache headers).
const CONDITIONS: [&[u8]; 6] =
    [b"if-modified-since", b"if-unmodified-since", b"if-none-match", b"if-match", b"range", b"if-range"];

/// What one kind of application is told about a request.
#[derive(Clone, Copy, Default)]
pub(crate) struct Shape<'a> {
    /// DOCUMENT_ROOT, if it is known already.
    pub(crate) root: Option<&'a [u8]>,
    /// The leading part of `path` that is SCRIPT_NAME.
    pub(crate) mount: &'a [u8],
    /// SCRIPT_NAME and PATH_INFO together.
    pub(crate) path: &'a [u8],
    /// The length of the body in bytes, if it is known.
    pub(crate) length: Option<u64>,
    /// Variables beyond those of RFC 3875.
    pub(crate) extra: &'a [Extra<'a>],
    /// Words of the module that win over request headers and are in turn overridden by the administrator's.
    pub(crate) params: &'a [Param<'a>],
    /// A word of the administrator whose value is known already.
    pub(crate) settled: Option<(&'a [u8], &'a [u8])>,
    /// Whether the response may go into a cache: conditions are the cache's then, and no variables.
    pub(crate) cacheable: bool,
    /// Whether request headers become variables at all.
    pub(crate) headers: bool,
    /// Whether `Authorization` does.
    pub(crate) authorization: bool,
    /// Who asks: the application, or the authorizer before it.
    pub(crate) role: Role,
}

/// What most requests need, with what stands between values: 1024 bytes are the most that glibc gives and takes back without a look at the heap.
const USUAL_PAIRS: usize = 32;
const USUAL_BYTES: usize = 1024 - 2 * USUAL_PAIRS;

/// The variables of a request. `None` when nginx has no memory for a value.
pub(crate) fn build(
    request: Request,
    main: &MainConf,
    location: &LocationConf,
    shape: &Shape<'_>,
) -> Option<Fields> {
    let mut variables = Fields::of_request(USUAL_PAIRS, USUAL_BYTES);
    write(&mut variables, request, main, location, shape)?;
    Some(variables)
}

/// [`build`] without variables of headers, whose fields stand in a list of their own, as they came.
pub(crate) fn build_apart(
    request: Request,
    main: &MainConf,
    location: &LocationConf,
    shape: &Shape<'_>,
) -> Option<(Fields, Fields)> {
    let mut variables = Fields::of_request(USUAL_PAIRS, USUAL_BYTES / 2);
    let mut fields = Fields::of_request(USUAL_PAIRS, USUAL_BYTES);
    write_both(&mut variables, Some(&mut fields), request, (main, location), shape)?;
    Some((variables, fields))
}

/// [`build`], into an empty list of the caller's.
pub(crate) fn write(
    variables: &mut Fields,
    request: Request,
    main: &MainConf,
    location: &LocationConf,
    shape: &Shape<'_>,
) -> Option<()> {
    write_both(variables, None, request, (main, location), shape)
}

fn write_both(
    variables: &mut Fields,
    fields: Option<&mut Fields>,
    request: Request,
    (main, location): (&MainConf, &LocationConf),
    shape: &Shape<'_>,
) -> Option<()> {
    let indexes = main.variables?;
    let said = said_before(request, shape);
    let params = params(&request, location, shape, &said)?;
    let (mut port, mut remote_port) = (Decimal::default(), Decimal::default());
    let document_root = match shape.root {
        Some(root) => root,
        None => request.document_root()?,
    };
    let (server_addr, let_in) = (request.local_addr(indexes.server_addr), memo::let_in(request));
    let (user, how) = user_of(&request, let_in.as_deref());
    let announced = !request.content_type().is_empty() || request.declares_body();
    // What is said of the client's body does not describe that of a part, which has none. An authorizer is told of it.
    let is_part = request.is_part() && shape.role == Role::Responder;
    let facts = Facts {
        method: request.method(),
        request_uri: request.unparsed_uri(),
        path: shape.path,
        query: request.query(),
        protocol: request.protocol(),
        mount: shape.mount,
        document_root,
        server_name: request.server_name(),
        server_port: port.write(request.server_port()),
        server_addr: &server_addr,
        server_software: SOFTWARE,
        remote_addr: request.remote_addr(),
        remote_port: match request.remote_port() {
            0 => b"",
            known => remote_port.write(known),
        },
        remote_user: user,
        auth_type: how,
        content_type: if is_part { b"" } else { request.content_type() },
        content_length: shape.length.filter(|length| !is_part && (*length > 0 || announced)),
        https: request.is_tls(),
        extra: shape.extra,
        pass_authorization: shape.authorization,
        // nginx has dropped them, unless underscores_in_headers or ignore_invalid_headers say that they are wanted.
        second_spellings: true,
    };
    if request.target_host().is_none() && shape.headers && !shape.cacheable && !is_part {
        // Of most requests: as they are.
        write_request(variables, fields, &facts, request.headers(), &params);
    } else {
        write_chosen_headers(variables, fields, &facts, &params, (request, shape, is_part));
    }
    Some(())
}

/// Writes with those headers that a request has for the application.
fn write_chosen_headers(
    variables: &mut Fields,
    fields: Option<&mut Fields>,
    facts: &Facts<'_>,
    params: &[Param<'_>],
    (request, shape, is_part): (Request, &Shape<'_>, bool),
) {
    // The host of the request's target replaces the Host header: what the application is told, what nginx chose the server
    // by and what the key of a cache holds are one.
    let host = request.target_host();
    let replaced = |name: &[u8]| host.is_some() && name.eq_ignore_ascii_case(b"host");
    let headers = request.headers().filter(|(name, _)| !replaced(name));
    let headers = host.map(|host| (&b"Host"[..], host)).into_iter().chain(headers);
    let is_hidden = |name: &[u8]| {
        shape.cacheable && is_one_of(&CONDITIONS, name) || is_part && is_one_of(&DESCRIBE_BODY, name)
    };
    let headers = headers.filter(|(name, _)| shape.headers && !is_hidden(name));
    write_request(variables, fields, facts, headers, params);
}

/// What nginx knows of TLS, by the names of mod_ssl.
pub(crate) fn add_tls(variables: &mut Fields, request: Request) {
    const FACTS: [(&[u8], &[u8]); 5] = [
        (b"SSL_PROTOCOL", b"ssl_protocol"),
        (b"SSL_CIPHER", b"ssl_cipher"),
        (b"SSL_CLIENT_CERT", b"ssl_client_raw_cert"),
        (b"SSL_CLIENT_S_DN", b"ssl_client_s_dn"),
        (b"SSL_CLIENT_VERIFY", b"ssl_client_verify"),
    ];
    for (name, known) in FACTS {
        let value = request.named_variable(known);
        if !value.is_empty() && variables.position(name).is_none() {
            variables.push(name, value);
        }
    }
}

/// Who the client is, and how it has authenticated: as handlers of phases say, or auth_basic.
fn user_of<'a>(request: &'a Request, let_in: Option<&'a memo::AuthenticatedClient>) -> (&'a [u8], &'a [u8]) {
    match let_in {
        Some(known) => (&known.user, &known.how),
        None if request.satisfies_all() && crate::raw::auth_basic_guards(*request) => {
            (request.user(), b"Basic")
        }
        None => (b"", b"Basic"),
    }
}

/// What the authorizer and handlers of phases have said, for an application.
fn said_before(request: Request, shape: &Shape<'_>) -> SaidBefore {
    match shape.role {
        Role::Responder => {
            SaidBefore { authorized: memo::authorization(request), environment: memo::environment(request) }
        }
        _ => SaidBefore::default(),
    }
}

/// What others have said of a request that an application is told of.
#[derive(Default)]
struct SaidBefore {
    authorized: Option<Rc<Authorization>>,
    environment: Vec<memo::EnvironmentEntry>,
}

/// What handlers of phases cannot say of a request: the variables of RFC 3875, and those of headers, which are what nginx knows.
fn is_of_server(name: &[u8]) -> bool {
    const KNOWN: [&[u8]; 10] = [
        b"AUTH_TYPE",
        b"CONTENT_LENGTH",
        b"CONTENT_TYPE",
        b"DOCUMENT_ROOT",
        b"GATEWAY_INTERFACE",
        b"HTTPS",
        b"PATH_INFO",
        b"PATH_TRANSLATED",
        b"QUERY_STRING",
        b"TMPDIR",
    ];
    const BEGINNINGS: [&[u8]; 5] = [b"HTTP_", b"REMOTE_", b"REQUEST_", b"SCRIPT_", b"SERVER_"];
    KNOWN.contains(&name) || BEGINNINGS.iter().any(|known| name.starts_with(known))
}

/// What is added to the variables: the module's words, those of the authorizer, those of handlers, those of the administrator.
fn params<'a>(
    request: &'a Request,
    location: &'a LocationConf,
    shape: &Shape<'a>,
    said: &'a SaidBefore,
) -> Option<Vec<Param<'a>>> {
    let mut params = Vec::with_capacity(shape.params.len() + location.params.as_ref().map_or(0, Vec::len));
    params.extend_from_slice(shape.params);
    for (name, value) in said.authorized.iter().flat_map(|known| known.variables()) {
        params.push(Param { name, value, if_not_empty: false });
    }
    // What the administrator says is among it, as it was when they ran.
    let is_param = |name: &[u8]| location.params.iter().flatten().any(|param| *param.name == *name);
    for (name, value) in said.environment.iter().filter(|(name, _)| !is_of_server(name) && !is_param(name)) {
        params.push(Param { name, value, if_not_empty: false });
    }
    let more =
        if shape.role == Role::Authorizer { location.upstream.authorize_params.as_ref() } else { None };
    for param in location.params.iter().flatten().chain(more.into_iter().flatten()) {
        let value = match shape.settled {
            Some((name, value)) if name == param.name => value,
            _ => request.evaluate(param.value)?,
        };
        params.push(Param { name: &param.name, value, if_not_empty: param.if_not_empty });
    }
    Some(params)
}

fn is_one_of(names: &[&[u8]], name: &[u8]) -> bool {
    names.iter().any(|known| is_same(name, known))
}

/// Whether a header has this name (in lower case), or would be the same variable: `underscores_in_headers` lets names in
/// whose "-" is spelled another way.
fn is_same(name: &[u8], known: &[u8]) -> bool {
    let is_same = |(byte, known): (&u8, &u8)| match known {
        b'-' => !byte.is_ascii_alphanumeric(),
        _ => byte.eq_ignore_ascii_case(known),
    };
    name.len() == known.len() && name.iter().zip(known).all(is_same)
}

/// Headers that say what a body is, beside those that are no headers of an application.
const DESCRIBE_BODY: [&[u8]; 3] = [b"content-encoding", b"content-language", b"content-location"];

/// SERVER_SOFTWARE: the nginx that the module was built for, as `$nginx_version` in fastcgi_params.
const SOFTWARE: &[u8] = nginx_sys::NGINX_VER.to_bytes();
