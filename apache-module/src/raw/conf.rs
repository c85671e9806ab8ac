// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration of a section, as httpd keeps, merges and frees it: plain data in a pool.

use std::ffi::c_void;

use gangway::{cgi::Param, engine::fence};
use gangway_httpd::{
    module, param,
    pooled::{Pooled, Text},
};

use super::{Request, sys::apr_pool_t};

/// What a section says about the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Nothing: as the enclosing section.
    Inherit,
    /// `GangwayWSGI Off` or `GangwayCGI Off`.
    Off,
    /// The application with this number.
    Run(usize),
    /// Scripts, by the settings with this number.
    Script(usize),
}

/// The kind of section that a directive stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    /// None: the server or a virtual host.
    Server,
    /// `<Location>` with a plain path.
    Location,
    /// `<LocationMatch>`, or a `<Location>` with wildcards.
    Pattern,
    /// `<Directory>` with a plain path.
    Directory,
    /// `<DirectoryMatch>`, or a `<Directory>` with wildcards.
    DirectoryPattern,
    /// `<Files>` and `<FilesMatch>`.
    Files,
}

/// The configuration of one section, or of the merged sections of a request.
#[derive(Clone, Copy)]
pub(crate) struct DirConf {
    choice: Choice,
    section: Section,
    path: Text,
    params: Pooled<param::Param>,
}

impl DirConf {
    const EMPTY: Self =
        Self { choice: Choice::Inherit, section: Section::Server, path: Text::EMPTY, params: Pooled::EMPTY };

    pub(crate) fn choice(&self) -> Choice {
        self.choice
    }

    pub(crate) fn section(&self) -> Section {
        self.section
    }

    pub(super) fn set(&mut self, choice: Choice, section: Section, path: Text) {
        (self.choice, self.section, self.path) = (choice, section, path);
    }

    /// The path of the section, for a request that this configuration belongs to.
    pub(crate) fn path<'r>(&self, _: Request<'r>) -> &'r [u8] {
        // SAFETY: the configuration of a request lives at least as long as the request.
        unsafe { self.path.for_life() }
    }

    /// The variables for this request.
    ///
    /// # Errors
    /// The name of a variable whose expression failed, and why.
    pub(crate) fn params<'r>(&self, request: Request<'r>) -> Result<Vec<Param<'r>>, (&'r [u8], &'r [u8])> {
        // SAFETY: the configuration of a request lives at least as long as the request.
        let entries = unsafe { self.params.for_life() };
        let param = |entry: &'r param::Param| {
            // SAFETY: as above, for both.
            let (name, value) = unsafe { (entry.name.for_life(), entry.value.for_life()) };
            let value = if entry.expr.is_null() {
                value
            } else {
                // SAFETY: the expression was parsed into the configuration's pool.
                unsafe { request.evaluate(entry.expr) }.map_err(|why| (name, why))?
            };
            Ok(Param { name, value, if_not_empty: entry.if_not_empty })
        };
        entries.iter().map(param).collect()
    }

    /// Adds variables, each in the place of an earlier one of its name.
    ///
    /// # Safety
    /// `pool` is that of this configuration.
    pub(super) unsafe fn add_params(&mut self, pool: *mut apr_pool_t, more: &[param::Param]) {
        // SAFETY: the caller vouches for the pool.
        self.params = unsafe { param::with(self.params, pool, more) };
    }
}

pub(super) unsafe extern "C" fn create(pool: *mut apr_pool_t, _path: *mut std::ffi::c_char) -> *mut c_void {
    // SAFETY: httpd calls this with a live pool.
    unsafe { module::put(pool, DirConf::EMPTY) }
}

pub(super) unsafe extern "C" fn merge(
    pool: *mut apr_pool_t,
    outer: *mut c_void,
    inner: *mut c_void,
) -> *mut c_void {
    fence("merge", outer, || {
        // SAFETY: httpd calls this with two configurations that `create` or `merge` made, and a pool that does
        // not outlive theirs.
        unsafe {
            let (outer, inner) = (*outer.cast::<DirConf>(), *inner.cast::<DirConf>());
            let mut merged = if inner.choice == Choice::Inherit { outer } else { inner };
            merged.params = param::with(outer.params, pool, inner.params.as_slice());
            module::put(pool, merged)
        }
    })
}
