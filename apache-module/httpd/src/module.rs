// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a module presents itself to httpd, and where httpd keeps what is configured.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    ptr,
};

use crate::sys::{self, ap_conf_vector_t, apr_pool_t, command_rec};

/// Makes the configuration of a section.
pub type Create = unsafe extern "C" fn(*mut apr_pool_t, *mut c_char) -> *mut c_void;
/// Makes one of those of an outer and an inner section.
pub type Merge = unsafe extern "C" fn(*mut apr_pool_t, *mut c_void, *mut c_void) -> *mut c_void;
/// Registers the hooks.
pub type Register = unsafe extern "C" fn(*mut apr_pool_t);

/// A module with a configuration by section, as `LoadModule` looks for it.
#[must_use]
pub const fn module(
    name: &'static CStr,
    create: Create,
    merge: Merge,
    commands: *const command_rec,
    register: Register,
) -> sys::module {
    sys::module {
        version: sys::MODULE_MAGIC_NUMBER_MAJOR as c_int,
        minor_version: sys::MODULE_MAGIC_NUMBER_MINOR as c_int,
        module_index: -1,
        name: name.as_ptr(),
        dynamic_load_handle: ptr::null_mut(),
        next: ptr::null_mut(),
        magic: sys::GANGWAY_MAGIC_COOKIE,
        rewrite_args: None,
        create_dir_config: Some(create),
        merge_dir_config: Some(merge),
        create_server_config: None,
        merge_server_config: None,
        cmds: commands,
        register_hooks: Some(register),
        flags: 0,
    }
}

/// `ap_get_module_config`: the place of a module in a list of configurations or of a request's own data.
///
/// # Safety
/// The list is httpd's, made when the module was loaded already.
#[must_use]
pub unsafe fn place_of(vector: *mut ap_conf_vector_t, module_index: c_int) -> *mut *mut c_void {
    let index = usize::try_from(module_index).unwrap_or(0);
    // SAFETY: the list has a place for each loaded module.
    unsafe { vector.cast::<*mut c_void>().add(index) }
}

/// The core's configuration.
///
/// # Safety
/// As for [`place_of`], and the list does not change for `'a`.
#[must_use]
pub unsafe fn core_conf<'a>(vector: *mut ap_conf_vector_t) -> Option<&'a sys::core_dir_config> {
    // SAFETY: the core's configuration has this type and is not changed while requests are served.
    unsafe {
        let index = (&raw const sys::core_module.module_index).read();
        place_of(vector, index).read().cast::<sys::core_dir_config>().as_ref()
    }
}

/// Puts plain data into a pool, which frees it.
///
/// # Safety
/// `pool` is live.
pub unsafe fn put<T: Copy>(pool: *mut apr_pool_t, value: T) -> *mut c_void {
    // SAFETY: APR gives memory that is aligned for any type, or aborts.
    unsafe {
        let place = sys::apr_palloc(pool, size_of::<T>()).cast::<T>();
        place.write(value);
        place.cast()
    }
}
