// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether nginx itself has authenticated the user.

use std::ffi::CStr;

use nginx_sys::{ngx_cycle, ngx_http_complex_value_t, ngx_module_t};

use super::{ConfText, Request};

/// Whether auth_basic guards the request's location, so that a user of the request has been let in by it.
///
/// `$remote_user` is what the client claims: nginx takes it from `Authorization` whether or not anybody checked it.
/// auth_basic's configuration is private; its first member has been the realm since nginx 0.8, NULL without one.
pub(crate) fn auth_basic_guards(request: Request) -> bool {
    if request.user().is_empty() {
        return false;
    }
    let Some(module) = number(c"ngx_http_auth_basic_module") else { return false };
    let conf = request.location_slot(module).cast::<*mut ngx_http_complex_value_t>();
    // SAFETY: NULL, or the module's location configuration, made by its create_loc_conf, which begins with a pointer.
    let realm = unsafe { conf.as_ref() }.copied().unwrap_or(std::ptr::null_mut());
    if realm.is_null() || realm.addr() == usize::MAX {
        return false;
    }
    // SAFETY: what a configuration of the request's cycle holds lives as long as that.
    let realm = unsafe { ConfText::from_module(realm) };
    request.evaluate(realm).is_some_and(|realm| realm != b"off")
}

/// nginx's number of an http module that this process has.
fn number(name: &CStr) -> Option<usize> {
    // SAFETY: the list of modules of the cycle that the process runs.
    unsafe { number_in((*ngx_cycle).modules, name) }
}

/// The number of an http module in a list of modules.
///
/// # Safety
/// The list is a cycle's.
pub(super) unsafe fn number_in(modules: *mut *mut ngx_module_t, name: &CStr) -> Option<usize> {
    // SAFETY: such a list ends with NULL; the names of modules are C strings or NULL.
    unsafe {
        let mut next = modules;
        while let Some(module) = (*next).as_ref() {
            if !module.name.is_null() && CStr::from_ptr(module.name) == name {
                return Some(module.ctx_index);
            }
            next = next.add(1);
        }
        None
    }
}
