// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_split_path_info`, `$gangway_script_name` and `$gangway_path_info`, as their `fastcgi_` namesakes.

use gangway::engine::fence;
use nginx_sys::{
    NGX_HTTP_VAR_NOCACHEABLE, NGX_HTTP_VAR_NOHASH, NGX_HTTP_VAR_PREFIX, ngx_conf_t, ngx_http_add_variable,
    ngx_http_get_variable_pt, ngx_http_request_t, ngx_http_variable_value_t, ngx_int_t, ngx_str_t,
};

use super::{super::script::names, UpstreamConf};
use crate::{
    conf::{LocationConf, setter},
    raw::{Conf, Request, add_memo, str_bytes},
    upstream::Authorization,
};

/// A compiled pattern with two groups: script name and path info.
#[derive(Clone, Copy)]
pub(crate) struct Split {
    #[cfg(ngx_feature = "pcre")]
    regex: *mut nginx_sys::ngx_regex_t,
    /// For the log.
    #[cfg(ngx_feature = "pcre")]
    pattern: ngx_str_t,
}

setter!(set_split_path_info, LocationConf, |cf: &Conf, location: &mut LocationConf| {
    let words = cf.words();
    location.upstream.split = Some(compile(cf, words.get(1).copied().unwrap_or_default())?);
    Ok(())
});

#[cfg(ngx_feature = "pcre")]
fn compile(cf: &Conf, pattern: &[u8]) -> Result<Split, String> {
    use gangway::error::BAD_VALUE;
    let mut reason = [0_u8; nginx_sys::NGX_MAX_CONF_ERRSTR as usize];
    let name = ngx_str_t { len: pattern.len(), data: pattern.as_ptr().cast_mut() };
    // SAFETY: all-zero is what the C code starts from; the pool is live and the pattern lives as long as the cycle.
    let (status, compiled) = unsafe {
        let mut compiled: nginx_sys::ngx_regex_compile_t = std::mem::zeroed();
        compiled.pattern = name;
        compiled.pool = (*cf.raw()).pool;
        compiled.err = ngx_str_t { len: reason.len(), data: reason.as_mut_ptr() };
        (nginx_sys::ngx_regex_compile(&raw mut compiled), compiled)
    };
    let text = String::from_utf8_lossy(pattern);
    if status != 0 {
        let reason = reason.get(..compiled.err.len).unwrap_or_default();
        return Err(format!("{BAD_VALUE} has an unusable pattern: {}", String::from_utf8_lossy(reason)));
    }
    if compiled.captures != 2 {
        return Err(format!(
            "{BAD_VALUE} pattern \"{text}\" must have 2 captures, for example ^(.+\\.php)(.*)$"
        ));
    }
    Ok(Split { regex: compiled.regex, pattern: name })
}

#[cfg(not(ngx_feature = "pcre"))]
fn compile(_: &Conf, _: &[u8]) -> Result<Split, String> {
    Err("requires PCRE library".into())
}

/// Script name (without `gangway_index`) and path info of the request's path. `None` when the pattern failed, which
/// has been logged.
pub(crate) fn split_path<'r>(request: &'r Request, conf: &UpstreamConf) -> Option<(&'r [u8], &'r [u8])> {
    let path = request.uri();
    match conf.split {
        None => Some((path, b"")),
        Some(split) => split.apply(request, path),
    }
}

impl Split {
    #[cfg(ngx_feature = "pcre")]
    fn apply<'r>(self, request: &Request, path: &'r [u8]) -> Option<(&'r [u8], &'r [u8])> {
        // PCRE wants room for a third of its own.
        let mut groups = [0; (1 + 2) * 3];
        let mut text = ngx_str_t { len: path.len(), data: path.as_ptr().cast_mut() };
        // SAFETY: compiled by this cycle's configuration; nginx reads the text and writes as many groups as it may.
        let status = unsafe {
            nginx_sys::ngx_regex_exec(self.regex, &raw mut text, groups.as_mut_ptr(), groups.len())
        };
        if status == nginx_sys::NGX_REGEX_NO_MATCHED as ngx_int_t {
            return Some((path, b""));
        }
        if status < 0 {
            let pattern = String::from_utf8_lossy(self.pattern.as_bytes());
            let line = format!(
                "{} gangway_split_path_info \"{pattern}\" failed with {status} on \"{}\"",
                gangway::error::SERVER_FAILED,
                gangway::log::escape(path)
            );
            request.log(gangway::log::Level::Error, &line);
            return None;
        }
        let group = |at: usize| {
            let start = usize::try_from(*groups.get(at)?).ok()?;
            let end = usize::try_from(*groups.get(at + 1)?).ok()?;
            path.get(start..end)
        };
        // A group that took no part in the match has the offsets -1.
        Some((group(2).unwrap_or_default(), group(4).unwrap_or_default()))
    }

    #[cfg(not(ngx_feature = "pcre"))]
    fn apply<'r>(self, _: &Request, path: &'r [u8]) -> Option<(&'r [u8], &'r [u8])> {
        Some((path, b""))
    }
}

/// Adds the variables; nginx calls it before it reads the http block.
pub(crate) unsafe extern "C" fn add_variables(cf: *mut ngx_conf_t) -> ngx_int_t {
    let variables: [(&'static [u8], ngx_http_get_variable_pt); 3] = [
        (b"gangway_script_name", Some(script_name)),
        (b"gangway_path_info", Some(path_info)),
        (b"gangway_host", Some(host)),
    ];
    for (name, handler) in variables {
        let mut name = ngx_str_t { len: name.len(), data: name.as_ptr().cast_mut() };
        let flags = NGX_HTTP_VAR_NOCACHEABLE | NGX_HTTP_VAR_NOHASH;
        // SAFETY: nginx calls this in a configuration phase, and copies the name.
        let variable = unsafe { ngx_http_add_variable(cf, &raw mut name, flags as usize).as_mut() };
        let Some(variable) = variable else { return -1 };
        variable.get_handler = handler;
    }
    let mut name = crate::upstream::text(PREFIX);
    let flags = NGX_HTTP_VAR_NOCACHEABLE | NGX_HTTP_VAR_NOHASH | NGX_HTTP_VAR_PREFIX;
    // SAFETY: as above.
    match unsafe { ngx_http_add_variable(cf, &raw mut name, flags as usize).as_mut() } {
        Some(variable) => variable.get_handler = Some(authorized),
        None => return -1,
    }
    // SAFETY: as above.
    unsafe { add_memo(cf) }.map_or(-1, |()| 0)
}

/// `$gangway_variable_NAME`: what the authorizer has said in `Variable-NAME`.
const PREFIX: &[u8] = b"gangway_variable_";

unsafe extern "C" fn authorized(
    r: *mut ngx_http_request_t,
    value: *mut ngx_http_variable_value_t,
    name: usize,
) -> ngx_int_t {
    fence("authorized", -1, || {
        // SAFETY: nginx asks for a variable of a live request; for a prefix the data is the variable's whole name.
        let (request, value, name) = unsafe {
            let name = std::ptr::with_exposed_provenance::<ngx_str_t>(name);
            (Request::from_raw(r), &mut *value, str_bytes(&*name))
        };
        let wanted = name.get(PREFIX.len()..).unwrap_or_default();
        let same = |known: &[u8]| {
            known.len() == wanted.len()
                && known.iter().zip(wanted).all(|(a, b)| match a {
                    b'-' => *b == b'_',
                    _ => a.eq_ignore_ascii_case(b),
                })
        };
        let authorization = Authorization::of(request);
        let mut variables = authorization.iter().flat_map(|answer| answer.variables());
        match variables.find(|(known, _)| same(known)) {
            Some((_, text)) => set(request, value, text),
            None => {
                value.set_not_found(1);
                0
            }
        }
    })
}

unsafe extern "C" fn script_name(
    r: *mut ngx_http_request_t,
    value: *mut ngx_http_variable_value_t,
    _: usize,
) -> ngx_int_t {
    fence("script_name", -1, || {
        // SAFETY: nginx asks for a variable of a live request and gives room for its value.
        let (request, value) = unsafe { (Request::from_raw(r), &mut *value) };
        names(request, &request.location::<LocationConf>().upstream)
            .map_or(-1, |place| set(request, value, place.script_name()))
    })
}

unsafe extern "C" fn path_info(
    r: *mut ngx_http_request_t,
    value: *mut ngx_http_variable_value_t,
    _: usize,
) -> ngx_int_t {
    fence("path_info", -1, || {
        // SAFETY: as above.
        let (request, value) = unsafe { (Request::from_raw(r), &mut *value) };
        names(request, &request.location::<LocationConf>().upstream)
            .map_or(-1, |place| set(request, value, place.path_info()))
    })
}

/// `$gangway_host`: HTTP_HOST, or what an application makes of SERVER_NAME and SERVER_PORT without it.
unsafe extern "C" fn host(
    r: *mut ngx_http_request_t,
    value: *mut ngx_http_variable_value_t,
    _: usize,
) -> ngx_int_t {
    fence("host", -1, || {
        // SAFETY: as above.
        let (request, value) = unsafe { (Request::from_raw(r), &mut *value) };
        if let Some(told) = request.told_host() {
            return set(request, value, told);
        }
        let port = request.server_port().to_string();
        set(request, value, &[request.server_name(), b":", port.as_bytes()].concat())
    })
}

/// Gives nginx a copy that lives as long as the request.
fn set(request: Request, value: &mut ngx_http_variable_value_t, bytes: &[u8]) -> ngx_int_t {
    let (Ok(len), Some(text)) = (u32::try_from(bytes.len()), request.text(bytes)) else { return -1 };
    value.set_len(len);
    value.set_valid(1);
    value.set_no_cacheable(0);
    value.set_not_found(0);
    value.data = text.data;
    0
}
