// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_pass SCHEME://TARGET`.

use std::{borrow::Cow, ffi::CStr, mem};

use gangway::error::{BAD_UPSTREAM, TWO_HANDLERS};
use nginx_sys::{ngx_http_upstream_add, ngx_http_upstream_srv_conf_t, ngx_parse_url, ngx_str_t, ngx_url_t};

use crate::{
    conf::{LocationConf, setter},
    raw::{Conf, ConfText},
};

/// A protocol to a backend, as `gangway_pass` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    FastCgi,
    Scgi,
    Uwsgi,
    /// uwsgi over TLS.
    Suwsgi,
}

impl Scheme {
    const ALL: [Self; 4] = [Self::FastCgi, Self::Scgi, Self::Uwsgi, Self::Suwsgi];

    /// The word before `://`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FastCgi => "fastcgi",
            Self::Scgi => "scgi",
            Self::Uwsgi => "uwsgi",
            Self::Suwsgi => "suwsgi",
        }
    }

    /// Whether the connection is one of TLS.
    pub(crate) fn is_tls(self) -> bool {
        self == Self::Suwsgi
    }
}

/// Where a location passes its requests.
#[derive(Clone, Copy)]
pub(crate) enum Pass {
    /// To the group or address that is in `conf.upstream`.
    Group(Scheme),
    /// To an address that each request makes of its variables.
    Address(Scheme, ConfText),
    /// To a `SCHEME://TARGET` that each request makes of its variables; [`split_scheme`] takes it apart.
    Url(ConfText),
}

impl Pass {
    /// Whether a connection may be one of TLS.
    #[cfg(ngx_feature = "ssl")]
    pub(crate) fn may_be_tls(self) -> bool {
        match self {
            Self::Group(scheme) | Self::Address(scheme, _) => scheme.is_tls(),
            Self::Url(_) => true,
        }
    }
}

/// The scheme of a `SCHEME://TARGET`, in any case of letters as nginx has it, and the target. `None` when it does not
/// begin with one of the schemes.
pub(crate) fn split_scheme(text: &[u8]) -> Option<(Scheme, &[u8])> {
    Scheme::ALL.into_iter().find_map(|scheme| {
        let (name, rest) = text.split_at_checked(scheme.name().len())?;
        let target = rest.strip_prefix(b"://")?;
        name.eq_ignore_ascii_case(scheme.name().as_bytes()).then_some((scheme, target))
    })
}

/// The word of a `gangway_pass`, taken apart.
#[derive(Debug, PartialEq, Eq)]
enum Word<'w> {
    Fixed(Scheme, &'w [u8]),
    Address(Scheme, &'w [u8]),
    Url(&'w [u8]),
}

/// Takes the word apart; an error is the rest of a line that begins with the directive.
fn parse(word: &[u8]) -> Result<Word<'_>, String> {
    let variables = word.iter().position(|&byte| byte == b'$');
    if let Some((scheme, target)) = split_scheme(word) {
        return match (variables, target) {
            (_, b"") => Err(format!(
                "has no target after \"{0}://\": write {0}://HOST:PORT or {0}://unix:/PATH",
                scheme.name()
            )),
            (None, _) => Ok(Word::Fixed(scheme, target)),
            (Some(_), _) => Ok(Word::Address(scheme, target)),
        };
    }
    if variables == Some(0) {
        return Ok(Word::Url(word));
    }
    let text = String::from_utf8_lossy(word);
    Err(match text.split_once("://") {
        Some((scheme, rest)) => {
            format!("has the unknown scheme \"{scheme}\" in \"{text}\": {}", cure(scheme, rest))
        }
        None => {
            format!("has no scheme in \"{text}\": write fastcgi://{text} (or scgi://, uwsgi://, suwsgi://)")
        }
    })
}

/// What to write for a scheme that is another module's, or nobody's.
fn cure(scheme: &str, rest: &str) -> String {
    match scheme.to_ascii_lowercase().as_str() {
        "fcgi" => format!("write fastcgi://{rest}"),
        "uwsgis" => format!("write suwsgi://{rest}"),
        "http" | "https" => "the directive for HTTP is proxy_pass".into(),
        "grpc" | "grpcs" => "the directive for gRPC is grpc_pass".into(),
        _ => "write fastcgi, scgi, uwsgi or suwsgi".into(),
    }
}

setter!(set_pass, LocationConf, |cf: &Conf, location: &mut LocationConf| {
    if location.programs.is_some() {
        return Err(two_handlers("gangway_cgi"));
    }
    let conf = &mut location.upstream;
    if conf.pass.is_some() {
        return Err("is duplicate".into());
    }
    if location.handler.is_some() {
        return Err(two_handlers("gangway_wsgi"));
    }
    let words = cf.words();
    let word = words.get(1).copied().unwrap_or_default();
    let bad = |text: Cow<'static, str>| format!("{BAD_UPSTREAM} {text}");
    let pass = match parse(word).map_err(|text| bad(text.into()))? {
        Word::Fixed(scheme, target) => {
            check_tls(scheme)?;
            conf.conf.upstream = add_upstream(cf, scheme, target).map_err(|text| bad(text.into()))?;
            Pass::Group(scheme)
        }
        Word::Address(scheme, target) => {
            check_tls(scheme)?;
            Pass::Address(scheme, compile(cf, target)?)
        }
        Word::Url(url) => Pass::Url(compile(cf, url)?),
    };
    conf.pass = Some(pass);
    cf.set_content_handler(crate::upstream::content_handler);
    cf.redirect_to_slash();
    Ok(())
});

setter!(set_authorize, LocationConf, |cf: &Conf, location: &mut LocationConf| {
    let conf = &mut location.upstream;
    if conf.authorize.is_some() {
        return Err("is duplicate".into());
    }
    let words = cf.words();
    let word = words.get(1).copied().unwrap_or_default();
    if word == b"off" {
        conf.authorize = Some(None);
        return Ok(());
    }
    let text = String::from_utf8_lossy(word);
    match parse(word) {
        Ok(Word::Fixed(Scheme::FastCgi, target)) => {
            let upstream =
                add_upstream(cf, Scheme::FastCgi, target).map_err(|text| format!("{BAD_UPSTREAM} {text}"))?;
            conf.authorize = Some(Some(upstream));
            Ok(())
        }
        Ok(Word::Fixed(..)) => Err(format!(
            "{BAD_UPSTREAM} has \"{text}\": only FastCGI has authorizers, write fastcgi://HOST:PORT or off"
        )),
        Ok(_) => Err(format!(
            "{BAD_UPSTREAM} has variables in \"{text}\": name one backend or upstream block, or off"
        )),
        Err(error) => Err(format!("{BAD_UPSTREAM} {error}")),
    }
});

setter!(set_authorize_param, LocationConf, |cf: &Conf, location: &mut LocationConf| {
    let param = crate::conf::param(cf)?;
    location.upstream.authorize_params.get_or_insert_default().push(param);
    Ok(())
});

/// The rest of a line about a second handler in one location.
pub(crate) fn two_handlers(other: &str) -> String {
    format!("{TWO_HANDLERS} cannot stand beside \"{other}\" in one location: give each a location of its own")
}

fn compile(cf: &Conf, text: &[u8]) -> Result<ConfText, String> {
    cf.compile(text).ok_or_else(|| "has a value that nginx cannot compile".into())
}

#[cfg(ngx_feature = "ssl")]
fn check_tls(_: Scheme) -> Result<(), String> {
    Ok(())
}

#[cfg(not(ngx_feature = "ssl"))]
fn check_tls(scheme: Scheme) -> Result<(), String> {
    if scheme.is_tls() {
        return Err(format!("{BAD_UPSTREAM} needs an nginx with TLS for suwsgi://: use uwsgi://"));
    }
    Ok(())
}

/// The group of that name or the address, as `fastcgi_pass` finds it.
fn add_upstream(
    cf: &Conf,
    scheme: Scheme,
    target: &[u8],
) -> Result<*mut ngx_http_upstream_srv_conf_t, String> {
    let mut url = url_of(target);
    // Once to learn what is wrong, in a line of ours; a second time in a fresh one, because it is changed.
    // SAFETY: the pool of a configuration phase is live in it, and the target's bytes live as long as the cycle.
    let status = unsafe { ngx_parse_url((*cf.raw()).pool, &raw mut url) };
    if status != 0 {
        let reason = if url.err.is_null() {
            Cow::Borrowed("nginx refuses it")
        } else {
            // SAFETY: nginx's reason is a C string in its code.
            unsafe { CStr::from_ptr(url.err) }.to_string_lossy()
        };
        let (name, target) = (scheme.name(), String::from_utf8_lossy(target));
        return Err(format!(
            "has an unusable target \"{target}\" ({reason}): write {name}://HOST:PORT, {name}://unix:/PATH or \
             {name}:// and the name of an upstream block"
        ));
    }
    let mut url = url_of(target);
    // SAFETY: as above; in an http block the upstream module's configuration is there.
    let upstream = unsafe { ngx_http_upstream_add(cf.raw(), &raw mut url, 0) };
    if upstream.is_null() { Err("is not accepted; the line before says why".into()) } else { Ok(upstream) }
}

fn url_of(target: &[u8]) -> ngx_url_t {
    // SAFETY: the C code starts from all-zero as well.
    let mut url: ngx_url_t = unsafe { mem::zeroed() };
    url.url = ngx_str_t { len: target.len(), data: target.as_ptr().cast_mut() };
    url.set_no_resolve(1);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_found_in_any_case() {
        assert_eq!(split_scheme(b"fastcgi://a:1"), Some((Scheme::FastCgi, &b"a:1"[..])));
        assert_eq!(split_scheme(b"FastCGI://unix:/s"), Some((Scheme::FastCgi, &b"unix:/s"[..])));
        assert_eq!(split_scheme(b"suwsgi://"), Some((Scheme::Suwsgi, &b""[..])));
        for text in ["", "uwsgi", "uwsgi:/", "uwsgi:a:1", "http://a", "xscgi://a", "://a"] {
            assert_eq!(split_scheme(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn words_are_taken_apart() {
        let fixed = |scheme, target: &'static str| Ok(Word::Fixed(scheme, target.as_bytes()));
        let address = |scheme, target: &'static str| Ok(Word::Address(scheme, target.as_bytes()));
        let url = |text: &'static str| Ok(Word::Url(text.as_bytes()));
        for (word, parsed) in [
            ("fastcgi://127.0.0.1:9000", fixed(Scheme::FastCgi, "127.0.0.1:9000")),
            ("scgi://unix:/run/app.sock", fixed(Scheme::Scgi, "unix:/run/app.sock")),
            ("uwsgi://backend", fixed(Scheme::Uwsgi, "backend")),
            ("suwsgi://[::1]:1", fixed(Scheme::Suwsgi, "[::1]:1")),
            ("fastcgi://$host:9000", address(Scheme::FastCgi, "$host:9000")),
            ("fastcgi://unix:/run/${user}.sock", address(Scheme::FastCgi, "unix:/run/${user}.sock")),
            ("$backend", url("$backend")),
            ("${scheme}://a:1", url("${scheme}://a:1")),
        ] {
            assert_eq!(parse(word.as_bytes()), parsed, "{word}");
        }
    }

    #[test]
    fn refused_words_name_the_cure() {
        for (word, part) in [
            ("127.0.0.1:9000", "write fastcgi://127.0.0.1:9000 (or"),
            ("unix:/run/a", "write fastcgi://unix:/run/a (or"),
            ("127.0.0.1:$port", "write fastcgi://127.0.0.1:$port (or"),
            ("", "no scheme"),
            ("http://a:80", "scheme \"http\" in \"http://a:80\": the directive for HTTP is proxy_pass"),
            ("ajp://a:80", "scheme \"ajp\" in \"ajp://a:80\": write fastcgi, scgi, uwsgi or suwsgi"),
            ("fcgi://a:1", "write fastcgi://a:1"),
            ("scgi://", "write scgi://HOST:PORT or scgi://unix:/PATH"),
        ] {
            let error = parse(word.as_bytes()).unwrap_err();
            assert!(error.contains(part), "{word}: {error}");
        }
    }
}
