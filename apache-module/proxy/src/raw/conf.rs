// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration of a section, as httpd keeps, merges and frees it: plain data in a pool.

use std::ffi::CStr;

use gangway::log::Level;
use gangway_httpd::{
    directive::Expression,
    param::{self, Param},
    pool::Pool,
};

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
pub(crate) enum Pseudo<'p> {
    /// As the enclosing section.
    #[default]
    Unset,
    /// No header does.
    Off,
    /// The header of the module's own name.
    On,
    /// This header.
    Named(&'p CStr),
}

/// One `ProxyFCGISetEnvIf`.
#[derive(Clone, Copy)]
pub(crate) struct SetEnvIf<'p> {
    pub(crate) condition: Expression<'p>,
    /// None to take the variable out.
    pub(crate) value: Option<Expression<'p>>,
    /// Without the `!` of the second form.
    pub(crate) name: &'p CStr,
}

/// What a section says.
#[derive(Clone, Copy, Default)]
pub(crate) struct DirConf<'p> {
    pub(crate) backend_type: BackendType,
    pub(crate) set_env_if: &'p [SetEnvIf<'p>],
    pub(crate) params: &'p [Param<'p>],
    pub(crate) pass: Option<Pass<'p>>,
    pub(crate) script_check: Option<bool>,
    pub(crate) script_suffixes: Option<&'p [&'p [u8]]>,
    pub(crate) stderr_level: Option<Level>,
    pub(crate) head_max: Option<usize>,
    pub(crate) flush_wait: Option<u32>,
    pub(crate) keep_conn: Option<bool>,
    pub(crate) scgi_sendfile: Pseudo<'p>,
    pub(crate) scgi_redirect: Pseudo<'p>,
}

/// One `GangwayPass`.
#[derive(Clone, Copy)]
pub(crate) enum Pass<'p> {
    Off,
    To(Backend<'p>),
}

/// Where `GangwayPass` sends requests.
#[derive(Clone, Copy)]
pub(crate) struct Backend<'p> {
    /// As mod_proxy spells it, perhaps with a socket.
    pub(crate) url: &'p [u8],
    /// The URL without the socket.
    pub(crate) origin: &'p [u8],
    /// The path that it stands at.
    pub(crate) mount: &'p [u8],
    pub(crate) kind: Kind,
}

impl<'p> DirConf<'p> {
    /// Where `GangwayPass` sends requests.
    pub(crate) fn pass(&self) -> Option<Backend<'p>> {
        match self.pass {
            Some(Pass::To(backend)) => Some(backend),
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
    pub(crate) fn script_suffixes(&self) -> Option<&'p [&'p [u8]]> {
        self.script_suffixes
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
    pub(crate) fn sendfile_header(&self) -> Option<&'p CStr> {
        match self.scgi_sendfile {
            Pseudo::Unset | Pseudo::Off => None,
            Pseudo::On => Some(c"X-Sendfile"),
            Pseudo::Named(name) => Some(name),
        }
    }

    /// The header that asks for an internal redirect, if one does.
    pub(crate) fn redirect_header(&self) -> Option<&'p CStr> {
        match self.scgi_redirect {
            Pseudo::Off => None,
            Pseudo::Unset | Pseudo::On => Some(c"Location"),
            Pseudo::Named(name) => Some(name),
        }
    }

    /// Adds a variable, in the place of an earlier one of its name.
    pub(crate) fn add_param(&mut self, param: Param<'p>, pool: Pool<'p>) {
        self.params = param::with(self.params, &[param], pool);
    }

    pub(super) fn merged(outer: &Self, inner: &Self, pool: Pool<'p>) -> Self {
        let pick = |inner, outer| if matches!(inner, Pseudo::Unset) { outer } else { inner };
        Self {
            backend_type: match inner.backend_type {
                BackendType::Unknown => outer.backend_type,
                chosen @ (BackendType::Fpm | BackendType::Generic) => chosen,
            },
            set_env_if: pool.copy(&[outer.set_env_if, inner.set_env_if].concat()),
            params: param::with(outer.params, inner.params, pool),
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
