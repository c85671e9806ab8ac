// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_pass SCHEME://TARGET`.

use std::{borrow::Cow, ffi::CStr, mem};

use gangway::error::BAD_UPSTREAM;
use nginx_sys::{ngx_http_upstream_add, ngx_http_upstream_srv_conf_t, ngx_parse_url, ngx_str_t, ngx_url_t};

use crate::{
    conf::{Backend, Counted, HandlerKind, LocationConf, MainConf, Pass, Scheme, split_scheme},
    directives::{check_is_first, param::param, set_handler, setter},
    raw::{Conf, ConfText},
    upstream,
};

/// Requests for other processes.
pub(in crate::directives) static KIND: HandlerKind = HandlerKind {
    prepare: upstream::make_signals,
    stop: upstream::stop_listening,
    ..HandlerKind::new(upstream::content_handler)
};

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
    check_is_first("gangway_pass", location)?;
    let conf = &mut location.upstream;
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
    let counted = cf.change_http(|main: &mut MainConf| main.kinds.entry::<Counted>().add_backend(word));
    set_handler(cf, location, "gangway_pass", &KIND, Backend { counted });
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
    let param = param(cf)?;
    location.upstream.authorize_params.get_or_insert_default().push(param);
    Ok(())
});

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
    // SAFETY: the target's bytes live as long as the cycle; in an http block the upstream module's configuration is there.
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
