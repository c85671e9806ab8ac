// SPDX-License-Identifier: MIT OR Apache-2.0
//! The canonical form of our URLs, and what mod_proxy's users control about it. In each detail as
//! mod_proxy_fcgi, mod_proxy_scgi and mod_proxy_uwsgi, because SCRIPT_FILENAME is made of it.

use std::ffi::c_int;

use gangway::{
    error::REQUEST_REFUSED,
    http::Decimal,
    log::{self},
    report,
};

use crate::{
    raw::{
        BAD_REQUEST, DECLINED, FORBIDDEN, OK, Request,
        canonical::{Address, decode_keeping_slashes, encode_path, split_address},
        is_mounted, look_for_script,
    },
    scheme::{Kind, Scheme},
};

/// Makes the request's file name of the URL. Answers what mod_proxy's hook answers.
pub(crate) fn canonicalise(request: Request<'_>, url: &[u8]) -> c_int {
    let Some((scheme, rest)) = Scheme::of(url) else { return DECLINED };
    if let Some((origin, plain)) = mounted(request, url) {
        return match path(request, scheme.kind, plain) {
            Ok(path) => finish(request, scheme.kind, &[b"proxy:", origin, b"/", path], (plain, path)),
            Err(status) => status,
        };
    }
    let address = match split_address(request, rest, scheme.hidden_port()) {
        Ok(address) => address,
        Err(why) => {
            let (url, why) = (log::escape(url), log::escape(why));
            report!(request, Error, REQUEST_REFUSED, "the URL {url} cannot be used: {why}");
            return BAD_REQUEST;
        }
    };
    let path = match path(request, scheme.kind, address.path) {
        Ok(path) => path,
        Err(status) => return status,
    };
    finish(request, scheme.kind, &[&canonical_url(scheme, &address, path)], (address.path, path))
}

/// The address and the path of a request that `GangwayPass` has given this URL: the configuration phase has looked at the address.
fn mounted<'r>(request: Request<'r>, url: &'r [u8]) -> Option<(&'r [u8], &'r [u8])> {
    let backend = request.conf().filter(|_| is_mounted(request))?.pass()?;
    let (origin, below) = url.split_at_checked(backend.origin.len())?;
    let path = if below.is_empty() { below } else { below.strip_prefix(b"/")? };
    (origin == backend.origin).then_some((origin, path))
}

/// Sets the file name, and PATH_INFO of the path as it was and encoded.
fn finish(request: Request<'_>, kind: Kind, name: &[&[u8]], (plain, path): (&[u8], &[u8])) -> c_int {
    request.set_filename(name);
    match kind {
        Kind::FastCgi => set_fastcgi_path_info(request, plain, path),
        Kind::Scgi if request.variable(c"proxy-scgi-pathinfo").is_some() => {
            request.set_path_info(&[b"/", path].concat());
        }
        Kind::Scgi | Kind::Uwsgi => {}
    }
    OK
}

fn canonical_url(scheme: Scheme, address: &Address<'_>, path: &[u8]) -> Vec<u8> {
    let [prefix, name] = scheme.name();
    let [open, close]: [&[u8]; 2] = if address.host.contains(&b':') { [b"[", b"]"] } else { [b"", b""] };
    let mut digits = Decimal::default();
    let port: [&[u8]; 2] =
        if address.port == scheme.hidden_port() { [b"", b""] } else { [b":", digits.write(address.port)] };
    [b"proxy:", prefix, name, b"://", open, address.host, close, port[0], port[1], b"/", path].concat()
}

/// The path to forward: encoded, unless somebody has done that or it is the name of a file.
fn path<'r>(request: Request<'r>, kind: Kind, path: &'r [u8]) -> Result<&'r [u8], c_int> {
    let as_it_is = match kind {
        Kind::Scgi => false,
        Kind::FastCgi | Kind::Uwsgi => {
            request.note(c"proxy-nocanon").is_some()
                || request.note(c"proxy-noencode").is_some()
                || kind == Kind::FastCgi && request.note(c"proxy-sethandler").is_some()
        }
    };
    if !as_it_is {
        return encode_path(request, path).ok_or(BAD_REQUEST);
    }
    // php-fpm cuts the name of a script at a question mark.
    let may_be_fpm = request.conf().is_none_or(|conf| conf.may_be_fpm());
    let is_wrong = |byte: &u8| match kind {
        Kind::FastCgi => byte.is_ascii_control() || may_be_fpm && *byte == b'?',
        Kind::Scgi | Kind::Uwsgi => *byte <= b' ' || *byte == 0x7f,
    };
    if path.iter().any(is_wrong) {
        let path = log::escape(path);
        report!(request, Error, REQUEST_REFUSED, "the path {path} holds bytes that are not forwarded");
        return Err(FORBIDDEN);
    }
    Ok(path)
}

/// `SetEnv proxy-fcgi-pathinfo`.
fn set_fastcgi_path_info(request: Request<'_>, url: &[u8], path: &[u8]) {
    let Some(kind) = request.variable(c"proxy-fcgi-pathinfo") else { return };
    let dot = match kind.to_ascii_lowercase().as_slice() {
        b"full" => return look_for_script(request, &[b"/", url].concat()),
        b"first-dot" => path.iter().position(|byte| *byte == b'.'),
        b"last-dot" => path.iter().rposition(|byte| *byte == b'.'),
        b"unescape" => {
            return request.set_path_info(decode_keeping_slashes(request, &[b"/", path].concat()));
        }
        _ => return request.set_path_info(&[b"/", path].concat()),
    };
    if let Some(info) = after_dot(path, dot) {
        request.set_path_info(decode_keeping_slashes(request, info));
    }
}

/// What follows the segment with the dot, from its slash on.
fn after_dot(path: &[u8], dot: Option<usize>) -> Option<&[u8]> {
    let rest = path.get(dot?..)?;
    rest.get(rest.iter().position(|byte| *byte == b'/')?..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str, host: &str, port: u16, path: &str) -> String {
        let (scheme, _) = Scheme::of(text.as_bytes()).unwrap();
        let address = Address { host: host.as_bytes(), port, path: b"" };
        String::from_utf8(canonical_url(scheme, &address, path.as_bytes())).unwrap()
    }

    #[test]
    fn ports_that_mod_proxy_knows_are_left_out_and_ipv6_has_brackets() {
        assert_eq!(url("fcgi://", "h", 8000, "a.php"), "proxy:fcgi://h/a.php");
        assert_eq!(url("fcgi://", "h", 9000, ""), "proxy:fcgi://h:9000/");
        assert_eq!(url("scgi://", "::1", 4000, "a"), "proxy:scgi://[::1]/a");
        assert_eq!(url("uwsgi://", "h", 3031, "a"), "proxy:uwsgi://h/a");
        assert_eq!(url("gangway+uwsgi://", "h", 1, "a"), "proxy:gangway+uwsgi://h:1/a");
        assert_eq!(url("gangway+uwsgi://", "h", 3031, "a"), "proxy:gangway+uwsgi://h:3031/a");
        assert_eq!(url("gangway+uwsgi://", "h", 0, "a"), "proxy:gangway+uwsgi://h/a");
    }

    #[test]
    fn path_info_follows_the_segment_with_the_dot() {
        for (path, first, last) in [
            ("srv/a.php/b", Some("/b"), Some("/b")),
            ("srv/a.php", None, None),
            ("v1.2/a.php/b.c/d", Some("/a.php/b.c/d"), Some("/d")),
            ("v1.2/a.php", Some("/a.php"), None),
            ("plain/path", None, None),
        ] {
            let path = path.as_bytes();
            let dot = |found: Option<usize>| after_dot(path, found).map(|info| str::from_utf8(info).unwrap());
            assert_eq!(dot(path.iter().position(|byte| *byte == b'.')), first);
            assert_eq!(dot(path.iter().rposition(|byte| *byte == b'.')), last);
        }
    }
}
