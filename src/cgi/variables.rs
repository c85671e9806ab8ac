// SPDX-License-Identifier: MIT OR Apache-2.0
//! The meta-variables of one request.

use super::split_mount;
use crate::http::{Decimal, Fields};

/// What a server knows of a request. Empty values are left out where RFC 3875 allows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// REQUEST_METHOD, §4.1.12.
    pub method: &'a [u8],
    /// The request target as the client sent it.
    pub request_uri: &'a [u8],
    /// The decoded, normalised path.
    pub path: &'a [u8],
    /// QUERY_STRING, §4.1.7: encoded, without `?`.
    pub query: &'a [u8],
    /// SERVER_PROTOCOL, §4.1.16.
    pub protocol: &'a [u8],
    /// The path at which the application is mounted.
    pub mount: &'a [u8],
    /// The server's root for the request.
    pub document_root: &'a [u8],
    /// SERVER_NAME, §4.1.14.
    pub server_name: &'a [u8],
    /// SERVER_PORT, §4.1.15.
    pub server_port: &'a [u8],
    /// The local address.
    pub server_addr: &'a [u8],
    /// SERVER_SOFTWARE, §4.1.17.
    pub server_software: &'a [u8],
    /// REMOTE_ADDR, §4.1.8.
    pub remote_addr: &'a [u8],
    /// The peer's port.
    pub remote_port: &'a [u8],
    /// REMOTE_USER, §4.1.11: only a user whom the server itself has authenticated.
    pub remote_user: &'a [u8],
    /// AUTH_TYPE, §4.1.1, together with `remote_user`.
    pub auth_type: &'a [u8],
    /// CONTENT_TYPE, §4.1.3.
    pub content_type: &'a [u8],
    /// CONTENT_LENGTH, §4.1.2, when it is known.
    pub content_length: Option<u64>,
    /// Whether the client's connection is TLS.
    pub https: bool,
    /// More variables that one kind of application expects, such as SCRIPT_FILENAME.
    pub extra: &'a [Extra<'a>],
    /// Whether the application may see `Authorization` (§9.2: credentials are the server's own business).
    pub pass_authorization: bool,
    /// Whether headers whose names have a second spelling, such as `X_Token`, become variables: the server lets in only
    /// those that the administrator wants.
    pub second_spellings: bool,
}

/// A variable beyond those of RFC 3875. Its value comes in two parts that follow each other: a root and a path below it.
pub type Extra<'a> = (&'a [u8], [&'a [u8]; 2]);

/// A variable that the administrator sets: it wins over every other.
#[derive(Clone, Copy, Debug)]
pub struct Param<'a> {
    /// The name.
    pub name: &'a [u8],
    /// The value for this request.
    pub value: &'a [u8],
    /// Set it only when the value is not empty.
    pub if_not_empty: bool,
}

/// Builds the variables from what the server knows, the request's headers and the administrator's words.
pub fn meta_variables<'a>(
    facts: &Facts<'_>,
    headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    params: &[Param<'_>],
) -> Fields {
    let mut variables = Fields::with_capacity(32 + params.len(), 1024);
    write_meta_variables(&mut variables, facts, headers, params);
    variables
}

/// [`meta_variables`], into an empty list of the caller's.
pub fn write_meta_variables<'a>(
    variables: &mut Fields,
    facts: &Facts<'_>,
    headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    params: &[Param<'_>],
) {
    add_facts(variables, facts, params);
    add_headers(variables, facts, headers);
    for param in params {
        if param.if_not_empty && param.value.is_empty() {
            continue;
        }
        match variables.position(param.name) {
            Some(index) => variables.replace(index, param.value),
            None => variables.push(param.name, param.value),
        }
    }
}

fn add_facts(variables: &mut Fields, facts: &Facts<'_>, params: &[Param<'_>]) {
    // SCRIPT_NAME by the administrator moves the mount, so that PATH_INFO stays its complement.
    let mount = params
        .iter()
        .rev()
        .find(|param| param.name == b"SCRIPT_NAME")
        .map_or(facts.mount, |param| param.value);
    let (script_name, path_info) = split_mount(mount, facts.path);
    variables.push_all(&[
        (b"REQUEST_METHOD", facts.method),
        (b"SCRIPT_NAME", script_name),
        (b"PATH_INFO", path_info),
        (b"QUERY_STRING", facts.query),
        (b"REQUEST_URI", facts.request_uri),
        (b"SERVER_PROTOCOL", facts.protocol),
        (b"SERVER_NAME", facts.server_name),
        (b"SERVER_PORT", facts.server_port),
        (b"SERVER_SOFTWARE", facts.server_software),
        (b"GATEWAY_INTERFACE", b"CGI/1.1"),
        (b"REMOTE_ADDR", facts.remote_addr),
        (b"REQUEST_SCHEME", if facts.https { b"https" } else { b"http" }),
        (b"DOCUMENT_ROOT", facts.document_root),
    ]);
    let mut add = |name: &[u8], value: &[u8]| {
        if !value.is_empty() {
            variables.push(name, value);
        }
    };
    add(b"SERVER_ADDR", facts.server_addr);
    add(b"REMOTE_PORT", facts.remote_port);
    if !facts.remote_user.is_empty() {
        add(b"REMOTE_USER", facts.remote_user);
        add(b"AUTH_TYPE", facts.auth_type);
    }
    add(b"CONTENT_TYPE", facts.content_type);
    if let Some(length) = facts.content_length {
        add(b"CONTENT_LENGTH", Decimal::default().write(length));
    }
    if facts.https {
        add(b"HTTPS", b"on");
    }
    for (name, value) in facts.extra {
        variables.push_parts(name, *value);
    }
}

/// RFC 3875 §4.1.18: protocol-specific meta-variables.
fn add_headers<'a>(
    variables: &mut Fields,
    facts: &Facts<'_>,
    headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) {
    let first = variables.len();
    let mut others = Vec::new();
    for (name, value) in headers {
        if !has_one_spelling(name) {
            if facts.second_spellings && may_be_spelled(name) {
                others.push((name, value));
            }
        } else if is_passed(name, facts.pass_authorization) {
            add_header(variables, first, name, value);
        }
    }
    let end = variables.len();
    for (name, value) in others {
        // The header whose name has one spelling wins, wherever it stands.
        let is_same = |(known, _): (&[u8], &[u8])| {
            known.strip_prefix(PREFIX).is_some_and(|known| is_variable(name, known))
        };
        if !(first..end).any(|at| variables.pair(at).is_some_and(is_same)) {
            add_header(variables, end, name, value);
        }
    }
}

fn add_header(variables: &mut Fields, first: usize, name: &[u8], value: &[u8]) {
    let added = variables.len();
    variables.push_mapped(PREFIX, name, as_in_variables, value);
    if let Some(earlier) = variables.same_as_last(first) {
        // RFC 9110 §5.3: a list may be sent as several lines. RFC 9113 §8.2.3: cookies are joined by "; ".
        let separator: &[u8] = if name.eq_ignore_ascii_case(b"cookie") { b"; " } else { b", " };
        variables.append_to(earlier, separator, value);
        variables.remove(added);
    }
}

/// What begins the variable of a header.
const PREFIX: &[u8] = b"HTTP_";

/// Only letters, digits and "-" have one spelling as a variable: `X_Forwarded_For`, `X.Forwarded.For` and their kin would be
/// taken for `X-Forwarded-For`.
pub(super) fn has_one_spelling(name: &[u8]) -> bool {
    // Without a way out: a step is a look into a table, and other names are rare.
    !name.is_empty() && name.iter().fold(true, |all, byte| all & HAVE_ONE_SPELLING[usize::from(*byte)])
}

static HAVE_ONE_SPELLING: [bool; 256] = {
    let mut bytes = [false; 256];
    let mut byte = 0u8;
    while byte < u8::MAX {
        bytes[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'-';
        byte += 1;
    }
    bytes
};

/// Which request headers become variables.
pub(super) fn is_passed(name: &[u8], pass_authorization: bool) -> bool {
    // CONTENT_* have variables of their own; `Proxy` would become HTTP_PROXY (CVE-2016-5385 and kin); the
    // body's framing is already undone.
    const NEVER: [&[u8]; 4] = [b"content-length", b"content-type", b"proxy", b"transfer-encoding"];
    const CREDENTIALS: [&[u8]; 2] = [b"authorization", b"proxy-authorization"];
    let is_one_of = |names: &[&[u8]]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
    !is_one_of(&NEVER) && (pass_authorization || !is_one_of(&CREDENTIALS))
}

/// Whether a name with a second spelling may be a variable at all. An application or a proxy in front of the server believes
/// what stands in the headers of these families: a client that spells them otherwise speaks for somebody else, even
/// when the real header is not there because the proxy has removed it.
pub(super) fn may_be_spelled(name: &[u8]) -> bool {
    const FAMILIES: &str = "AUTH_ CF_ CLIENT_ CONTENT_ FASTLY_ PATH_ PROXY_ REDIRECT_ REMOTE_ REQUEST_ SCRIPT_ SERVER_ SSL_ \
                            TLS_ TRANSFER_ TRUE_CLIENT_ X_CLIENT_ X_FORWARDED_ X_ORIGINAL_ X_REAL_";
    // Any other sign is in no name of a variable; `=` would end one in an environment.
    let is_known = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    let is_of =
        |family: &str| name.get(..family.len()).is_some_and(|start| is_variable(start, family.as_bytes()));
    !name.is_empty() && name.iter().all(is_known) && !FAMILIES.split_ascii_whitespace().any(is_of)
}

/// Whether a name of a header becomes this name of a variable (without HTTP_).
pub(super) fn is_variable(name: &[u8], variable: &[u8]) -> bool {
    name.iter().copied().map(as_in_variables).eq(variable.iter().copied())
}

fn as_in_variables(byte: u8) -> u8 {
    static BYTES: [u8; 256] = {
        let mut bytes = [0; 256];
        let mut byte = 0u8;
        loop {
            bytes[byte as usize] = if byte == b'-' { b'_' } else { byte.to_ascii_uppercase() };
            if byte == u8::MAX {
                break bytes;
            }
            byte += 1;
        }
    };
    BYTES[usize::from(byte)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(headers: &[(&str, &str)], params: &[Param<'_>], facts: Facts<'_>) -> Vec<(String, String)> {
        let headers = headers.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()));
        meta_variables(&facts, headers, params)
            .iter()
            .map(|(n, v)| (String::from_utf8_lossy(n).into(), String::from_utf8_lossy(v).into()))
            .collect()
    }

    fn get<'v>(variables: &'v [(String, String)], name: &str) -> Option<&'v str> {
        let mut hits = variables.iter().filter(|(known, _)| known == name);
        let hit = hits.next().map(|(_, value)| value.as_str());
        assert!(hits.next().is_none(), "{name} stands twice");
        hit
    }

    #[test]
    fn required_variables_are_always_there() {
        let variables = build(&[], &[], Facts { path: b"/x", ..Facts::default() });
        for name in
            ["REQUEST_METHOD", "SCRIPT_NAME", "QUERY_STRING", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL"]
        {
            assert!(get(&variables, name).is_some(), "{name}");
        }
        assert_eq!(get(&variables, "PATH_INFO"), Some("/x"));
        assert_eq!(get(&variables, "CONTENT_LENGTH"), None);
        assert_eq!(get(&variables, "HTTPS"), None);
    }

    #[test]
    fn httpoxy_is_closed() {
        let variables = build(
            &[("Proxy", "http://evil"), ("PROXY", "x"), ("Proxy-Connection", "y")],
            &[],
            Facts::default(),
        );
        assert_eq!(get(&variables, "HTTP_PROXY"), None);
        assert_eq!(get(&variables, "HTTP_PROXY_CONNECTION"), Some("y"));
    }

    #[test]
    fn names_with_a_second_spelling_are_dropped() {
        let headers = [
            ("X_Forwarded_For", "evil"),
            ("X-Forwarded_For", "evil"),
            ("X.Forwarded.For", "evil"),
            ("Content_Length", "5"),
            ("Remote_User", "root"),
            ("X-Forwarded-For", "good"),
        ];
        let variables = build(&headers, &[], Facts::default());
        assert_eq!(get(&variables, "HTTP_X_FORWARDED_FOR"), Some("good"));
        assert!(!variables.iter().any(|(_, value)| value == "evil" || value == "root" || value == "5"));
    }

    #[test]
    fn second_spellings_pass_where_the_server_lets_them_in() {
        let facts = Facts { second_spellings: true, pass_authorization: true, ..Facts::default() };
        let build = |headers: &[(&str, &str)]| build(headers, &[], facts);
        let variables = build(&[("X_Token", "a"), ("x_token", "b")]);
        assert_eq!(get(&variables, "HTTP_X_TOKEN"), Some("a, b"));
        for other in ["X_Token", "x_TOKEN", "X-To_ken"] {
            let real = if other == "X-To_ken" { "X-To-Ken" } else { "X-Token" };
            for pair in [[(other, "evil"), (real, "good")], [(real, "good"), (other, "evil")]] {
                let variables = build(&pair);
                assert!(variables.iter().any(|(_, value)| value == "good"), "{variables:?}");
                assert!(!variables.iter().any(|(_, value)| value.contains("evil")), "{variables:?}");
            }
        }
        for name in [
            "Content_Length",
            "Content_Type",
            "content.length",
            "Remote_User",
            "Transfer_Encoding",
            "Proxy_",
            "Proxy_Authorization",
            "X_Forwarded_For",
            "X-Forwarded_For",
            "X.Real.IP",
            "Auth_Type",
            "X_A=B",
            "X.Other",
            "X~Y",
            "X A",
            "X_é",
            "X_A:",
            "X_\0",
        ] {
            let variables = build(&[(name, "evil")]);
            assert!(!variables.iter().any(|(_, value)| value == "evil"), "{name}");
        }
    }

    #[test]
    fn framing_and_credentials_do_not_pass() {
        let headers = [
            ("Transfer-Encoding", "chunked"),
            ("Content-Length", "7"),
            ("Content-Type", "x"),
            ("Authorization", "Basic x"),
        ];
        let variables = build(&headers, &[], Facts::default());
        assert!(!variables.iter().any(|(name, _)| name.starts_with("HTTP_")), "{variables:?}");
        let variables = build(&headers, &[], Facts { pass_authorization: true, ..Facts::default() });
        assert_eq!(get(&variables, "HTTP_AUTHORIZATION"), Some("Basic x"));
    }

    #[test]
    fn auth_type_needs_a_user() {
        let variables = build(&[], &[], Facts { auth_type: b"Basic", ..Facts::default() });
        assert_eq!(get(&variables, "AUTH_TYPE"), None);
        let variables =
            build(&[], &[], Facts { auth_type: b"Basic", remote_user: b"eve", ..Facts::default() });
        assert_eq!(
            (get(&variables, "AUTH_TYPE"), get(&variables, "REMOTE_USER")),
            (Some("Basic"), Some("eve"))
        );
    }

    #[test]
    fn repeated_headers_are_joined() {
        let headers =
            [("Accept", "a"), ("Cookie", "x=1"), ("accept", "b"), ("COOKIE", "y=2"), ("Accept", "c")];
        let variables = build(&headers, &[], Facts::default());
        assert_eq!(get(&variables, "HTTP_ACCEPT"), Some("a, b, c"));
        assert_eq!(get(&variables, "HTTP_COOKIE"), Some("x=1; y=2"));
    }

    #[test]
    fn params_win_and_may_be_conditional() {
        let params = [
            Param { name: b"SERVER_NAME", value: b"other", if_not_empty: false },
            Param { name: b"EMPTY", value: b"", if_not_empty: false },
            Param { name: b"ABSENT", value: b"", if_not_empty: true },
        ];
        let variables = build(&[], &params, Facts::default());
        assert_eq!(get(&variables, "SERVER_NAME"), Some("other"));
        assert_eq!(get(&variables, "EMPTY"), Some(""));
        assert_eq!(get(&variables, "ABSENT"), None);
    }

    #[test]
    fn a_script_name_of_the_administrator_moves_the_mount() {
        let params = [Param { name: b"SCRIPT_NAME", value: b"/a", if_not_empty: false }];
        let variables = build(&[], &params, Facts { path: b"/a/b", mount: b"/", ..Facts::default() });
        assert_eq!((get(&variables, "SCRIPT_NAME"), get(&variables, "PATH_INFO")), (Some("/a"), Some("/b")));
    }
}
