// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration of a section, as httpd keeps, merges and frees it: plain data in a pool.

use std::{ffi::c_void, ptr, slice};

use gangway::{cgi::Param, engine::fence};

use super::{
    Request,
    sys::{self, apr_pool_t},
};

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

/// Bytes in a pool that lives at least as long as the configuration that points to them.
#[derive(Clone, Copy)]
pub(super) struct Text {
    ptr: *const u8,
    len: usize,
}

impl Text {
    const EMPTY: Self = Self { ptr: ptr::null(), len: 0 };

    /// Copies bytes into a pool.
    ///
    /// # Safety
    /// `pool` is live.
    pub(super) unsafe fn copy(pool: *mut apr_pool_t, bytes: &[u8]) -> Self {
        // SAFETY: the caller vouches for the pool; the bytes are readable. APR aborts without memory.
        let ptr = unsafe { sys::apr_pstrmemdup(pool, bytes.as_ptr().cast(), bytes.len()) };
        Self { ptr: ptr.cast(), len: bytes.len() }
    }

    /// # Safety
    /// The pool of the copy lives for `'a`.
    unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.ptr.is_null() {
            return &[];
        }
        // SAFETY: made by `copy`, and the caller vouches for the pool.
        unsafe { slice::from_raw_parts(self.ptr, self.len) }
    }
}

/// One `GangwayParam`.
#[derive(Clone, Copy)]
pub(super) struct ParamEntry {
    pub(super) name: Text,
    pub(super) value: Text,
    /// Computes the value instead, if not NULL.
    pub(super) expr: *mut sys::ap_expr_info_t,
    pub(super) if_not_empty: bool,
}

/// The configuration of one section, or of the merged sections of a request.
#[derive(Clone, Copy)]
pub(crate) struct DirConf {
    choice: Choice,
    section: Section,
    path: Text,
    params: *const ParamEntry,
    param_count: usize,
}

impl DirConf {
    const EMPTY: Self = Self {
        choice: Choice::Inherit,
        section: Section::Server,
        path: Text::EMPTY,
        params: ptr::null(),
        param_count: 0,
    };

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
        unsafe { self.path.bytes() }
    }

    /// The variables for this request.
    ///
    /// # Errors
    /// The name of a variable whose expression failed, and why.
    pub(crate) fn params<'r>(&self, request: Request<'r>) -> Result<Vec<Param<'r>>, (&'r [u8], &'r [u8])> {
        // SAFETY: the configuration of a request lives at least as long as the request.
        let entries = unsafe { self.entries() };
        let param = |entry: &'r ParamEntry| {
            // SAFETY: as above, for each of the three.
            let (name, value) = unsafe { (entry.name.bytes(), entry.value.bytes()) };
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

    /// # Safety
    /// The pool of the configuration lives for `'a`.
    unsafe fn entries<'a>(&self) -> &'a [ParamEntry] {
        if self.param_count == 0 {
            return &[];
        }
        // SAFETY: made by `set_params`, and the caller vouches for the pool.
        unsafe { slice::from_raw_parts(self.params, self.param_count) }
    }

    /// Adds variables, each in the place of an earlier one of its name.
    ///
    /// # Safety
    /// `pool` is live, and `self` and `more` point into pools that live at least as long.
    pub(super) unsafe fn add_params(&mut self, pool: *mut apr_pool_t, more: &[ParamEntry]) {
        // SAFETY: the caller vouches for the pools.
        let mut all = unsafe { self.entries() }.to_vec();
        for entry in more {
            // SAFETY: as above.
            let same = |known: &&mut ParamEntry| unsafe { known.name.bytes() == entry.name.bytes() };
            match all.iter_mut().find(same) {
                Some(known) => *known = *entry,
                None => all.push(*entry),
            }
        }
        let size = size_of_val(all.as_slice());
        // SAFETY: APR gives `size` bytes, aligned for any type, or aborts.
        unsafe {
            let place = sys::apr_palloc(pool, size).cast::<ParamEntry>();
            ptr::copy_nonoverlapping(all.as_ptr(), place, all.len());
            self.params = place;
        }
        self.param_count = all.len();
    }
}

/// Puts a configuration into a pool, which frees it: nothing in it needs more.
///
/// # Safety
/// `pool` is live.
unsafe fn place(pool: *mut apr_pool_t, conf: DirConf) -> *mut c_void {
    // SAFETY: APR gives memory that is aligned for any type, or aborts.
    unsafe {
        let place = sys::apr_palloc(pool, size_of::<DirConf>()).cast::<DirConf>();
        place.write(conf);
        place.cast()
    }
}

pub(super) unsafe extern "C" fn create(pool: *mut apr_pool_t, _path: *mut std::ffi::c_char) -> *mut c_void {
    // SAFETY: httpd calls this with a live pool.
    unsafe { place(pool, DirConf::EMPTY) }
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
            (merged.params, merged.param_count) = (outer.params, outer.param_count);
            match (outer.param_count, inner.param_count) {
                (_, 0) => {}
                (0, _) => (merged.params, merged.param_count) = (inner.params, inner.param_count),
                _ => merged.add_params(pool, inner.entries()),
            }
            place(pool, merged)
        }
    })
}
