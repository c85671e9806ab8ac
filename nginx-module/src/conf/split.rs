// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_split_path_info`: a pattern that takes a path apart.

#[cfg(ngx_feature = "pcre")]
use gangway::{error::BAD_VALUE, report};
#[cfg(ngx_feature = "pcre")]
use nginx_sys::{ngx_int_t, ngx_str_t};

use crate::raw::{Conf, Request};

/// A compiled pattern with two groups: script name and path info.
#[derive(Clone, Copy)]
pub(crate) struct Split {
    #[cfg(ngx_feature = "pcre")]
    regex: *mut nginx_sys::ngx_regex_t,
    /// For the log.
    #[cfg(ngx_feature = "pcre")]
    pattern: ngx_str_t,
}

impl Split {
    /// Compiles a pattern; an error is the rest of a line that begins with the directive.
    #[cfg(ngx_feature = "pcre")]
    pub(crate) fn compile(cf: &Conf, pattern: &[u8]) -> Result<Self, String> {
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
        Ok(Self { regex: compiled.regex, pattern: name })
    }

    #[cfg(not(ngx_feature = "pcre"))]
    pub(crate) fn compile(_: &Conf, _: &[u8]) -> Result<Self, String> {
        Err("requires PCRE library".into())
    }

    /// Script name and path info of a path. `None` when the pattern failed, which has been logged.
    #[cfg(ngx_feature = "pcre")]
    pub(crate) fn apply<'r>(self, request: &Request, path: &'r [u8]) -> Option<(&'r [u8], &'r [u8])> {
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
            report!(
                *request,
                Error,
                gangway::error::SERVER_FAILED,
                "gangway_split_path_info \"{pattern}\" failed with {status} on \"{}\"",
                gangway::log::escape(path),
            );
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
    pub(crate) fn apply<'r>(self, _: &Request, path: &'r [u8]) -> Option<(&'r [u8], &'r [u8])> {
        Some((path, b""))
    }
}
