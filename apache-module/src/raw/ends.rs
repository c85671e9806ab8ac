// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is called at the end of a configuration and of a child process: each has a pool, which calls it.

use std::{ffi::c_void, ptr, sync::OnceLock};

use gangway::engine::fence;

use super::sys::{self, apr_pool_t, apr_status_t};

/// The pool of a configuration.
pub(crate) struct ConfigurationPool(*mut apr_pool_t);

impl ConfigurationPool {
    /// Wraps it.
    ///
    /// # Safety
    /// `pool` is the one that httpd gave to post_config, and this value does not outlive the call.
    pub(crate) unsafe fn from_raw(pool: *mut apr_pool_t) -> Self {
        Self(pool)
    }
}

/// The pool of a child process.
pub(crate) struct ChildPool(*mut apr_pool_t);

impl ChildPool {
    /// Wraps it.
    ///
    /// # Safety
    /// `pool` is the one that httpd gave to child_init, and this value does not outlive the call.
    pub(crate) unsafe fn from_raw(pool: *mut apr_pool_t) -> Self {
        Self(pool)
    }
}

static CONFIGURATION: OnceLock<fn()> = OnceLock::new();
static CHILD: OnceLock<fn()> = OnceLock::new();

/// Has a function called when the configuration ends, before the module is unloaded. Children call it as well when they end.
pub(crate) fn on_configuration_end(pool: &ConfigurationPool, function: fn()) {
    let _ = CONFIGURATION.set(function);
    // SAFETY: httpd gives post_config the pool of the configuration. Clean-ups run in the order of last come, first served, and the module
    // was loaded before.
    unsafe { register(pool.0, end_configuration) }
}

/// Has a function called once when the child process ends.
pub(crate) fn on_exit(pool: &ChildPool, function: fn()) {
    if CHILD.set(function).is_ok() {
        // SAFETY: httpd gives child_init the pool of the process, and what it calls lives as long as the process.
        unsafe { register(pool.0, end_child) }
    }
}

/// A forked child that executes something else has nothing to end.
///
/// # Safety
/// The pool is live, nobody else uses it now, and `clean_up` is loaded for as long as it lives.
unsafe fn register(pool: *mut apr_pool_t, clean_up: unsafe extern "C" fn(*mut c_void) -> apr_status_t) {
    // SAFETY: the caller promises the pool and the function, which wants no data.
    unsafe {
        sys::apr_pool_cleanup_register(pool, ptr::null(), Some(clean_up), Some(sys::apr_pool_cleanup_null));
    }
}

unsafe extern "C" fn end_configuration(_: *mut c_void) -> apr_status_t {
    fence("the end of a configuration", (), || CONFIGURATION.get().map_or((), |function| function()));
    0
}

unsafe extern "C" fn end_child(_: *mut c_void) -> apr_status_t {
    fence("the end of the process", (), || CHILD.get().map_or((), |function| function()));
    0
}
