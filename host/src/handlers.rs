// SPDX-License-Identifier: MIT OR Apache-2.0
//! Handlers of requests in the place of an application: what they get to know of a request that a web server tells in variables.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use gangway::{
    engine::{AfterErrand, ContentErrand, Transit},
    exchange::{Errand, Exchange, RequestHead},
    http::Fields,
    phases::{Change, Fact, HandlerPlace, Number, Snapshot, Table, method_number},
    supervise::MAPPED,
    sys::lock,
};

use crate::{outgoing::reason, port::RequestPort};

/// Variables that say what facts say as well.
const OF_FACTS: [&[u8]; 27] = [
    b"REQUEST_METHOD",
    b"REQUEST_URI",
    b"REQUEST_SCHEME",
    b"QUERY_STRING",
    b"CONTENT_TYPE",
    b"CONTENT_LENGTH",
    b"SERVER_NAME",
    b"SERVER_PORT",
    b"SERVER_ADDR",
    b"SERVER_PROTOCOL",
    b"SERVER_SOFTWARE",
    b"REMOTE_ADDR",
    b"REMOTE_PORT",
    b"REMOTE_HOST",
    b"REMOTE_USER",
    b"REMOTE_IDENT",
    b"AUTH_TYPE",
    b"GATEWAY_INTERFACE",
    b"SCRIPT_NAME",
    b"SCRIPT_FILENAME",
    b"PATH_INFO",
    b"PATH_TRANSLATED",
    b"DOCUMENT_ROOT",
    b"DOCUMENT_URI",
    b"HTTPS",
    b"REDIRECT_STATUS",
    MAPPED,
];

/// Has handlers answer a request in the place of the application. Answers what they leave behind.
pub(crate) fn answer(head: &mut RequestHead, place: &Arc<HandlerPlace>) -> Arc<Transit> {
    let errand = ContentErrand::new(told(&head.variables, place), place, page);
    let transit = Arc::clone(errand.transit());
    head.errand = Some(errand.for_head());
    transit
}

/// What is to be done after the response, if there is something.
pub(crate) fn afterwards(
    transit: &Arc<Transit>,
    place: &Arc<HandlerPlace>,
    port: &Arc<dyn RequestPort>,
) -> Option<Arc<Exchange>> {
    if !lock(&transit.snapshot).has_afterwards() {
        return None;
    }
    let errand: Arc<dyn Errand> = AfterErrand::new(Arc::clone(transit), place).for_head();
    let head = RequestHead { errand: Some(errand), ..RequestHead::default() };
    Some(Exchange::new(head, Arc::<dyn RequestPort>::clone(port)))
}

/// The text of a response that has a status alone.
fn page(status: u16) -> Vec<u8> {
    let mut text = status.to_string().into_bytes();
    text.push(b' ');
    text.extend_from_slice(reason(status));
    text.push(b'\n');
    text
}

/// What variables tell of a request.
fn told(variables: &Fields, place: &HandlerPlace) -> Snapshot {
    let mut snapshot = Snapshot::default();
    texts(variables, place, &mut snapshot);
    numbers(variables, &mut snapshot);
    for (name, value) in variables.iter() {
        match name.strip_prefix(b"HTTP_") {
            Some(header) => snapshot.tell_entry(Table::HeadersIn, &header_name(header), value),
            None if name == b"CONTENT_TYPE" || name == b"CONTENT_LENGTH" => {
                snapshot.tell_entry(Table::HeadersIn, &header_name(name), value);
            }
            None if OF_FACTS.contains(&name) => {}
            None => snapshot.change(Table::SubprocessEnv, Change::Set(name, value)),
        }
    }
    snapshot
}

/// `X-Request-Id` for `X_REQUEST_ID`: how the client has written it is not known any more.
fn header_name(variable: &[u8]) -> Vec<u8> {
    let mut begins = true;
    let letter = |byte: &u8| {
        let letter = if *byte == b'_' { b'-' } else { *byte };
        let shown = if begins { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
        begins = letter == b'-';
        shown
    };
    variable.iter().map(letter).collect()
}

fn texts(variables: &Fields, place: &HandlerPlace, snapshot: &mut Snapshot) {
    let get = |name: &[u8]| variables.get(name).unwrap_or_default();
    let mut known = |fact, value: &[u8]| {
        if !value.is_empty() {
            snapshot.tell_text(fact, value);
        }
    };
    let (method, target, protocol) = (get(b"REQUEST_METHOD"), get(b"REQUEST_URI"), get(b"SERVER_PROTOCOL"));
    let path = [get(b"SCRIPT_NAME"), get(b"PATH_INFO")].concat();
    let host = get(b"HTTP_HOST");
    known(Fact::Method, method);
    known(Fact::Uri, if path.is_empty() { b"/" } else { &path });
    known(Fact::UnparsedUri, target);
    known(Fact::Args, get(b"QUERY_STRING"));
    known(Fact::Protocol, protocol);
    known(Fact::Hostname, if host.is_empty() { get(b"SERVER_NAME") } else { without_port(host) });
    known(Fact::TheRequest, &[method, target, protocol].join(&b' '));
    for fact in [Fact::UseragentIp, Fact::RemoteIp] {
        known(fact, get(b"REMOTE_ADDR"));
    }
    known(Fact::RemoteHost, get(b"REMOTE_HOST"));
    known(Fact::LocalIp, get(b"SERVER_ADDR"));
    known(Fact::DocumentRoot, get(b"DOCUMENT_ROOT"));
    known(Fact::ServerHostname, get(b"SERVER_NAME"));
    known(Fact::User, get(b"REMOTE_USER"));
    known(Fact::ApAuthType, get(b"AUTH_TYPE"));
    known(Fact::Range, get(b"HTTP_RANGE"));
    if let Some(realm) = place.realm() {
        known(Fact::AuthType, b"Basic");
        known(Fact::AuthName, realm);
    }
    let (file, root) = mapped(variables).unwrap_or_else(|| {
        let root = get(b"DOCUMENT_ROOT");
        ([root, &path].concat(), root.len())
    });
    snapshot.tell_path(&file, root);
}

/// Where the path leads, as a web server of ours says it.
fn mapped(variables: &Fields) -> Option<(Vec<u8>, usize)> {
    let said = variables.get(MAPPED)?;
    let at = said.iter().position(|byte| *byte == b':')?;
    let (root, path) = (said.get(..at)?, said.get(at + 1..)?);
    let root: usize = std::str::from_utf8(root).ok()?.parse().ok()?;
    Some((path.to_vec(), root.min(path.len())))
}

fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|byte| *byte == b':') {
        // The colons of an address stand in brackets.
        Some(at) if !host.get(at..).unwrap_or_default().contains(&b']') => host.get(..at).unwrap_or_default(),
        _ => host,
    }
}

fn numbers(variables: &Fields, snapshot: &mut Snapshot) {
    let get = |name: &[u8]| variables.get(name).unwrap_or_default();
    let number =
        |name: &[u8]| std::str::from_utf8(get(name)).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let method = get(b"REQUEST_METHOD");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let port: i64 = number(b"SERVER_PORT");
    for (fact, value) in [
        (Number::Status, 200),
        (Number::MethodNumber, method_number(method)),
        (Number::ProtoNum, proto_num(get(b"SERVER_PROTOCOL"))),
        (Number::HeaderOnly, (method == b"HEAD").into()),
        (Number::RequestTime, i64::try_from(now.as_micros()).unwrap_or(i64::MAX)),
        (Number::RemotePort, number(b"REMOTE_PORT")),
        (Number::LocalPort, port),
        (Number::ServerPort, port),
        (Number::IsHttps, (!get(b"HTTPS").is_empty() && get(b"HTTPS") != b"off").into()),
    ] {
        snapshot.tell_number(fact, value);
    }
}

/// 1001 for `HTTP/1.1`.
fn proto_num(protocol: &[u8]) -> i64 {
    let numbers = std::str::from_utf8(protocol).ok().and_then(|text| text.strip_prefix("HTTP/"));
    let (major, minor) = numbers.map_or(("1", "0"), |text| text.split_once('.').unwrap_or((text, "0")));
    let number = |text: &str| text.parse::<u16>().map_or(0, i64::from);
    number(major) * 1000 + number(minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(pairs: &[(&str, &str)]) -> Snapshot {
        let mut variables = Fields::with_capacity(8, 256);
        pairs.iter().for_each(|(name, value)| variables.push(name.as_bytes(), value.as_bytes()));
        told(&variables, &HandlerPlace::default())
    }

    #[test]
    fn variables_become_facts_headers_and_an_environment() {
        let mut seen = snapshot(&[
            ("REQUEST_METHOD", "POST"),
            ("REQUEST_URI", "/app/a%20b?x=1"),
            ("QUERY_STRING", "x=1"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("SCRIPT_NAME", "/app"),
            ("PATH_INFO", "/a b"),
            ("HTTP_HOST", "[::1]:8080"),
            ("HTTP_X_REQUEST_ID", "7"),
            ("CONTENT_TYPE", "text/plain"),
            ("SITE", "blog"),
            ("HTTPS", "on"),
        ]);
        for (fact, value) in [
            (Fact::Uri, "/app/a b"),
            (Fact::TheRequest, "POST /app/a%20b?x=1 HTTP/1.1"),
            (Fact::Hostname, "[::1]"),
            (Fact::Args, "x=1"),
        ] {
            assert_eq!(seen.text(fact), Some(value.as_bytes()), "{fact:?}");
        }
        assert_eq!(seen.entry(Table::HeadersIn, b"x-request-id"), Some(&b"7"[..]));
        let names: Vec<_> = seen.entries(Table::HeadersIn).map(|(name, _)| name.to_vec()).collect();
        assert_eq!(names, [&b"Host"[..], b"X-Request-Id", b"Content-Type"]);
        let environment: Vec<_> = seen.entries(Table::SubprocessEnv).map(|(name, _)| name.to_vec()).collect();
        assert_eq!(environment, [b"SITE"]);
        let numbers =
            [Number::MethodNumber, Number::ProtoNum, Number::IsHttps].map(|number| seen.number(number));
        assert_eq!(numbers, [2, 1001, 1]);
    }

    #[test]
    fn a_path_leads_where_the_web_server_says_or_below_the_root() {
        let file = |pairs: &[(&str, &str)]| {
            let mut seen = snapshot(pairs);
            seen.text(Fact::Filename).map(|name| String::from_utf8_lossy(name).into_owned())
        };
        let told = [("DOCUMENT_ROOT", "/none"), ("PATH_INFO", "/x")];
        assert_eq!(file(&told).as_deref(), Some("/none/x"));
        assert_eq!(file(&[told[0], told[1], ("GANGWAY_MAPPED", "6:/other/y")]).as_deref(), Some("/other/y"));
        for broken in ["/other/y", "x:/other/y", ""] {
            assert_eq!(file(&[told[0], told[1], ("GANGWAY_MAPPED", broken)]).as_deref(), Some("/none/x"));
        }
    }
}
