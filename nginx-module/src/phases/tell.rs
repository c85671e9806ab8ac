// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request of nginx's, as handlers of phases see it.

use gangway::phases::{Change, Fact, HandlerPlace, Number, Snapshot, Table, method_number};

use crate::{
    conf::{LocationConf, MainConf},
    raw::{self, Request},
};

/// Tells what nginx knows now. `None` without memory.
pub(super) fn tell(request: Request, place: &HandlerPlace, snapshot: &mut Snapshot) -> Option<()> {
    texts(request, place, snapshot)?;
    numbers(request, snapshot);
    snapshot.tell_beside(!request.is_main(), request.is_internal() && request.is_main());
    // What handlers have made of them stays.
    if snapshot.entries(Table::HeadersIn).next().is_none() {
        request.headers().for_each(|(name, value)| snapshot.tell_entry(Table::HeadersIn, name, value));
    }
    if request.is_tls() && !snapshot.has_tls() {
        tell_tls(request, snapshot);
    }
    let location = request.location::<LocationConf>();
    for param in location.params.iter().flatten() {
        let value = request.evaluate(param.value)?;
        if !(param.if_not_empty && value.is_empty()) {
            snapshot.change(Table::SubprocessEnv, Change::Set(&param.name, value));
        }
    }
    Some(())
}

/// Variables of mod_ssl's, and those of nginx that say the same of a connection.
const OF_TLS: [(&[u8], &[u8]); 6] = [
    (b"SSL_PROTOCOL", b"ssl_protocol"),
    (b"SSL_CIPHER", b"ssl_cipher"),
    (b"SSL_SESSION_ID", b"ssl_session_id"),
    (b"SSL_TLS_SNI", b"ssl_server_name"),
    (b"SSL_CLIENT_VERIFY", b"ssl_client_verify"),
    (b"SSL_SESSION_RESUMED", b"ssl_session_reused"),
];

/// The same of the client's certificate.
const OF_A_CLIENT: [(&[u8], &[u8]); 7] = [
    (b"SSL_CLIENT_S_DN", b"ssl_client_s_dn"),
    (b"SSL_CLIENT_I_DN", b"ssl_client_i_dn"),
    (b"SSL_CLIENT_M_SERIAL", b"ssl_client_serial"),
    (b"SSL_CLIENT_V_START", b"ssl_client_v_start"),
    (b"SSL_CLIENT_V_END", b"ssl_client_v_end"),
    (b"SSL_CLIENT_V_REMAIN", b"ssl_client_v_remain"),
    (b"SSL_CLIENT_CERT", b"ssl_client_raw_cert"),
];

fn tell_tls(request: Request, snapshot: &mut Snapshot) {
    let mut has_certificate = false;
    for (name, variable) in OF_TLS {
        let mut value = request.named_variable(variable);
        match variable {
            b"ssl_client_verify" => has_certificate = !matches!(value, b"" | b"NONE"),
            // In mod_ssl's words.
            b"ssl_session_reused" if value == b"r" => value = b"Resumed",
            b"ssl_session_reused" => value = b"Initial",
            _ => {}
        }
        snapshot.tell_tls(name, value);
    }
    for (name, variable) in OF_A_CLIENT {
        // Taking a certificate apart is work, and most clients have none.
        let value = if has_certificate { request.named_variable(variable) } else { b"" };
        snapshot.tell_tls(name, value);
    }
}

/// As [`tell`], for filters of the response.
pub(super) fn tell_filter(request: Request, place: &HandlerPlace, snapshot: &mut Snapshot) -> Option<()> {
    tell(request, place, snapshot)?;
    let kind = request.response_type();
    if !kind.is_empty() {
        snapshot.tell_text(Fact::ContentType, kind);
    }
    tell_status(request, snapshot);
    Some(())
}

/// As [`tell`], when the response has ended: what has left is what its headers are.
pub(super) fn tell_end(request: Request, place: &HandlerPlace, snapshot: &mut Snapshot) -> Option<()> {
    tell_filter(request, place, snapshot)?;
    snapshot.tell_table(Table::HeadersOut, request.response_headers());
    snapshot.tell_number(Number::Clength, request.response_length());
    snapshot.tell_number(Number::SentBodyct, 1);
    snapshot.tell_number(Number::EosSent, 1);
    Some(())
}

fn tell_status(request: Request, snapshot: &mut Snapshot) {
    let status = i64::try_from(request.response_status()).unwrap_or_default();
    if status > 0 {
        snapshot.tell_number(Number::Status, status);
    }
}

fn texts(request: Request, place: &HandlerPlace, snapshot: &mut Snapshot) -> Option<()> {
    let mut known = |fact, value: &[u8]| {
        if !value.is_empty() {
            snapshot.tell_text(fact, value);
        }
    };
    known(Fact::Method, request.method());
    known(Fact::Uri, request.uri());
    known(Fact::UnparsedUri, request.unparsed_uri());
    known(Fact::Args, request.query());
    known(Fact::Protocol, request.protocol());
    known(Fact::Hostname, request.asked_host());
    known(Fact::TheRequest, request.request_line());
    known(Fact::UseragentIp, request.remote_addr());
    known(Fact::RemoteIp, request.remote_addr());
    known(Fact::DocumentRoot, request.document_root()?);
    known(Fact::ServerHostname, request.server_name());
    known(Fact::ServerRoot, request.server_root());
    if let Some(indexes) = request.http::<MainConf>().variables {
        known(Fact::LocalIp, &request.local_addr(indexes.server_addr));
    }
    if let Some((_, range)) = request.headers().find(|(name, _)| name.eq_ignore_ascii_case(b"range")) {
        known(Fact::Range, range);
    }
    if request.satisfies_all() && raw::auth_basic_guards(request) {
        known(Fact::User, request.user());
        known(Fact::ApAuthType, b"Basic");
    }
    match place.realm() {
        Some(realm) => {
            known(Fact::AuthType, b"Basic");
            known(Fact::AuthName, realm);
        }
        None => {
            snapshot.forget_text(Fact::AuthType);
            snapshot.forget_text(Fact::AuthName);
        }
    }
    let (path, root) = request.map_to_path()?;
    snapshot.tell_path(path, root);
    Some(())
}

fn numbers(request: Request, snapshot: &mut Snapshot) {
    let (connection, requests) = request.connection_counts();
    let (timeout, keep_alive, most) = request.limits();
    let keeps = request.keeps_alive();
    for (number, value) in [
        (Number::MethodNumber, method_number(request.method())),
        (Number::ProtoNum, request.version()),
        (Number::HeaderOnly, request.is_head().into()),
        (Number::RequestTime, request.start_micros()),
        (Number::BytesSent, request.bytes_sent()),
        (Number::ConnectionId, connection),
        (Number::RemotePort, request.remote_port().into()),
        (Number::LocalPort, request.server_port().into()),
        (Number::ServerPort, request.server_port().into()),
        // apache.AP_CONN_KEEPALIVE, apache.AP_CONN_CLOSE.
        (Number::Keepalive, if keeps { 2 } else { 1 }),
        (Number::Keepalives, (requests - 1).max(0)),
        (Number::Timeout, timeout * 1_000_000),
        (Number::KeepAliveTimeout, keep_alive * 1_000_000),
        (Number::KeepAliveMax, most),
        (Number::KeepAlive, i64::from(keep_alive > 0)),
        // nginx counts from 1, httpd from 0.
        (Number::Loglevel, (request.log_level() - 1).clamp(0, 7)),
        (Number::IsHttps, request.is_tls().into()),
    ] {
        snapshot.tell_number(number, value);
    }
    if snapshot.number(Number::Status) == 0 {
        snapshot.tell_number(Number::Status, 200);
    }
}
