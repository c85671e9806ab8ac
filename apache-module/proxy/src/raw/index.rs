// SPDX-License-Identifier: MIT OR Apache-2.0
//! The number of the module, by which httpd finds what is the module's own.

use std::ffi::c_int;

use super::sys;

unsafe extern "C" {
    /// Stands in `hooks`, above everything that asks for its number.
    static proxy_gangway_module: sys::module;
}

/// The number of the module.
pub(crate) fn module_index() -> c_int {
    // SAFETY: httpd writes it while it loads modules, on one thread, before it calls anything of ours.
    unsafe { (&raw const proxy_gangway_module.module_index).read() }
}
