// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_ssl_certificate_cache`: certificates of backends whose file names have variables, kept in memory.

use gangway::error::BAD_VALUE;
use nginx_sys::{ngx_parse_time, ngx_ssl_cache_init, ngx_str_t, time_t};

use crate::{
    conf::{LocationConf, unset::Setting},
    directives::setter,
    raw::Conf,
};

/// What the words say.
#[derive(Debug, PartialEq, Eq)]
struct Cache {
    max: usize,
    /// Seconds without use after which a certificate is dropped.
    inactive: time_t,
    /// Seconds after which a file is looked at again.
    valid: time_t,
}

setter!(set_certificate_cache, LocationConf, |cf: &Conf, location: &mut LocationConf| {
    let conf = &mut location.upstream.conf;
    if conf.ssl_certificate_cache != Setting::UNSET {
        return Err("is duplicate".into());
    }
    let words = cf.words();
    let Some(cache) = parse(words.get(1..).unwrap_or_default())? else {
        conf.ssl_certificate_cache = Setting::NONE;
        return Ok(());
    };
    // SAFETY: the pool of a configuration phase is live in it and drops what nginx makes.
    conf.ssl_certificate_cache =
        unsafe { ngx_ssl_cache_init((*cf.raw()).pool, cache.max, cache.valid, cache.inactive) };
    if conf.ssl_certificate_cache.is_null() { Err("no memory".into()) } else { Ok(()) }
});

/// `None`: off.
fn parse(words: &[&[u8]]) -> Result<Option<Cache>, String> {
    let mut cache = Cache { max: 0, inactive: 10, valid: 60 };
    let mut off = false;
    for word in words {
        let bad = || {
            let word = String::from_utf8_lossy(word);
            format!(
                "{BAD_VALUE} has the invalid parameter \"{word}\": write off or max=N [inactive=TIME] [valid=TIME]"
            )
        };
        if let Some(number) = word.strip_prefix(b"max=") {
            let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
            cache.max = number.filter(|max| *max > 0).ok_or_else(bad)?;
        } else if let Some(time) = word.strip_prefix(b"inactive=") {
            cache.inactive = seconds(time).ok_or_else(bad)?;
        } else if let Some(time) = word.strip_prefix(b"valid=") {
            cache.valid = seconds(time).ok_or_else(bad)?;
        } else if *word == b"off" {
            off = true;
        } else {
            return Err(bad());
        }
    }
    match (off, cache.max) {
        (true, _) => Ok(None),
        (false, 0) => Err(format!("{BAD_VALUE} must have the \"max\" parameter")),
        (false, _) => Ok(Some(cache)),
    }
}

fn seconds(text: &[u8]) -> Option<time_t> {
    let mut text = ngx_str_t { len: text.len(), data: text.as_ptr().cast_mut() };
    // SAFETY: nginx reads the text.
    let seconds = unsafe { ngx_parse_time(&raw mut text, 1) };
    time_t::try_from(seconds).ok().filter(|seconds| *seconds >= 0)
}
