// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration of a section, as httpd keeps, merges and frees it: plain data in a pool.

use std::ffi::c_void;

use gangway::engine::fence;
use gangway_httpd::{
    module, param,
    pooled::{Pooled, Text},
};

use super::sys::apr_pool_t;
use crate::section::Section;

/// What a section says about the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Nothing: as the enclosing section.
    Inherit,
    /// `Off` of a directive for handlers.
    Off,
    /// The application with this number.
    Run(usize),
    /// Scripts, by the settings with this number.
    Script(usize),
}

/// The configuration of one section, or of the merged sections of a request.
#[derive(Clone, Copy)]
pub(crate) struct DirConf {
    choice: Choice,
    section: Section,
    pub(super) path: Text,
    pub(super) params: Pooled<param::Param>,
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

    pub(crate) fn set(&mut self, choice: Choice, section: Section, path: Text) {
        (self.choice, self.section, self.path) = (choice, section, path);
    }

    /// Adds variables, each in the place of an earlier one of its name.
    ///
    /// # Safety
    /// `pool` is that of this configuration.
    pub(crate) unsafe fn add_params(&mut self, pool: *mut apr_pool_t, more: &[param::Param]) {
        // SAFETY: the caller vouches for the pool.
        self.params = unsafe { param::with(self.params, pool, more) };
    }
}

pub(crate) unsafe extern "C" fn create(pool: *mut apr_pool_t, _path: *mut std::ffi::c_char) -> *mut c_void {
    // SAFETY: httpd calls this with a live pool.
    unsafe { module::put(pool, DirConf::EMPTY) }
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
            let (outer, inner) = (*outer.cast::<DirConf>(), *inner.cast::<DirConf>());
            let mut merged = if inner.choice == Choice::Inherit { outer } else { inner };
            merged.params = param::with(outer.params, pool, inner.params.as_slice());
            module::put(pool, merged)
        }
    })
}
