// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration of a section, as httpd keeps, merges and frees it: plain data in a pool.

use std::ffi::{CStr, c_void};

use gangway::{engine::fence, log::Level};
use gangway_httpd::{
    module,
    param::{self, Param},
    pooled::{Pooled, Text},
};

use super::sys::{self, apr_pool_t};
use crate::scheme::Kind;

/// What `ProxyFCGIBackendType` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BackendType {
    /// Nothing: it may be php-fpm.
    #[default]
    Unknown,
    /// `FPM`.
    Fpm,
    /// `GENERIC`.
    Generic,
}

/// A response header that asks the server for something, of mod_proxy_scgi.
#[derive(Clone, Copy, Default)]
pub(crate) enum Pseudo {
    /// As the enclosing section.
    #[default]
    Unset,
    /// No header does.
    Off,
    /// The header of the module's own name.
    On,
    /// This header.
    Named(Text),
}

/// One `ProxyFCGISetEnvIf`.
#[derive(Clone, Copy)]
pub(crate) struct SetEnvIf {
    pub(crate) condition: *mut sys::ap_expr_info_t,
    /// NULL to take the variable out.
    pub(crate) value: *mut sys::ap_expr_info_t,
    /// Without the `!` of the second form.
    pub(crate) name: Text,
}

/// What a section says.
#[derive(Clone, Copy, Default)]
pub(crate) struct DirConf {
    pub(crate) backend_type: BackendType,
    pub(crate) set_env_if: Pooled<SetEnvIf>,
    pub(crate) params: Pooled<Param>,
    pub(crate) pass: Option<Pass>,
    pub(crate) script_check: Option<bool>,
    pub(crate) script_suffixes: Option<Pooled<Text>>,
    pub(crate) stderr_level: Option<Level>,
    pub(crate) head_max: Option<usize>,
    pub(crate) flush_wait: Option<u32>,
    pub(crate) keep_conn: Option<bool>,
    pub(crate) scgi_sendfile: Pseudo,
    pub(crate) scgi_redirect: Pseudo,
}

/// One `GangwayPass`.
#[derive(Clone, Copy)]
pub(crate) enum Pass {
    Off,
    To(Place),
}

/// Where `GangwayPass` sends requests.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// As mod_proxy spells it, perhaps with a socket.
    pub(crate) url: Text,
    /// The URL without the socket.
    pub(crate) origin: Text,
    /// The path that it stands at.
    pub(crate) mount: Text,
    pub(crate) kind: Kind,
}

impl DirConf {
    /// Where `GangwayPass` sends requests.
    pub(crate) fn pass(&self) -> Option<&Place> {
        match &self.pass {
            Some(Pass::To(place)) => Some(place),
            Some(Pass::Off) | None => None,
        }
    }

    pub(crate) fn may_be_fpm(&self) -> bool {
        self.backend_type != BackendType::Generic
    }

    pub(crate) fn checks_scripts(&self) -> bool {
        self.script_check.unwrap_or(true)
    }

    /// The suffixes of scripts; `None` for the built-in ones.
    pub(crate) fn script_suffixes(&self) -> Option<&[Text]> {
        self.script_suffixes.as_ref().map(Pooled::as_slice)
    }

    pub(crate) fn stderr_level(&self) -> Level {
        self.stderr_level.unwrap_or(Level::Error)
    }

    /// Bytes that the head of a response may have.
    pub(crate) fn head_max(&self) -> usize {
        self.head_max.unwrap_or(64 * 1024)
    }

    /// Milliseconds that output may wait for more.
    pub(crate) fn flush_wait(&self) -> Option<u32> {
        self.flush_wait
    }

    pub(crate) fn keeps_connections(&self) -> bool {
        self.keep_conn.unwrap_or(true)
    }

    /// Whether they are kept also where nobody here sees what the backend reads.
    pub(crate) fn keeps_blindly(&self) -> bool {
        self.keep_conn == Some(true)
    }

    /// The header that asks for a file, if one does.
    pub(crate) fn sendfile_header(&self) -> Option<&CStr> {
        match &self.scgi_sendfile {
            Pseudo::Unset | Pseudo::Off => None,
            Pseudo::On => Some(c"X-Sendfile"),
            Pseudo::Named(name) => Some(name.as_c_str()),
        }
    }

    /// The header that asks for an internal redirect, if one does.
    pub(crate) fn redirect_header(&self) -> Option<&CStr> {
        match &self.scgi_redirect {
            Pseudo::Off => None,
            Pseudo::Unset | Pseudo::On => Some(c"Location"),
            Pseudo::Named(name) => Some(name.as_c_str()),
        }
    }

    fn merged(pool: *mut apr_pool_t, outer: &Self, inner: &Self) -> Self {
        let fixups = [outer.set_env_if.as_slice(), inner.set_env_if.as_slice()].concat();
        let pick = |inner: Pseudo, outer: Pseudo| if matches!(inner, Pseudo::Unset) { outer } else { inner };
        Self {
            backend_type: match inner.backend_type {
                BackendType::Unknown => outer.backend_type,
                chosen @ (BackendType::Fpm | BackendType::Generic) => chosen,
            },
            // SAFETY: `merge` gives the pool of the merged configuration.
            set_env_if: unsafe { Pooled::copy(pool, &fixups) },
            // SAFETY: as above.
            params: unsafe { param::with(outer.params, pool, inner.params.as_slice()) },
            pass: inner.pass.or(outer.pass),
            script_check: inner.script_check.or(outer.script_check),
            script_suffixes: inner.script_suffixes.or(outer.script_suffixes),
            stderr_level: inner.stderr_level.or(outer.stderr_level),
            head_max: inner.head_max.or(outer.head_max),
            flush_wait: inner.flush_wait.or(outer.flush_wait),
            keep_conn: inner.keep_conn.or(outer.keep_conn),
            scgi_sendfile: pick(inner.scgi_sendfile, outer.scgi_sendfile),
            scgi_redirect: pick(inner.scgi_redirect, outer.scgi_redirect),
        }
    }
}

pub(crate) unsafe extern "C" fn create(pool: *mut apr_pool_t, _path: *mut std::ffi::c_char) -> *mut c_void {
    // SAFETY: httpd calls this with a live pool.
    unsafe { module::put(pool, DirConf::default()) }
}

pub(crate) unsafe extern "C" fn merge(
    pool: *mut apr_pool_t,
    outer: *mut c_void,
    inner: *mut c_void,
) -> *mut c_void {
    fence("merge", outer, || {
        // SAFETY: httpd calls this with two configurations that `create` or `merge` made, and a pool that does
        // not outlive theirs.
        unsafe {
            module::put(pool, DirConf::merged(pool, &*outer.cast::<DirConf>(), &*inner.cast::<DirConf>()))
        }
    })
}
