// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module as httpd and mod_proxy know it, and what they call: each a few lines around a safe function.

#![expect(unsafe_code, reason = "what httpd calls")]

use std::{
    ffi::{c_char, c_int},
    ptr,
};

use gangway::{engine::fence, error::BAD_UPSTREAM};
use gangway_httpd::{
    figures,
    module::{ModuleNames, module},
    notes, request_hook,
    sys::{self, apr_pool_t, request_rec, server_rec},
    text,
};

use crate::{
    canonical, directives, pass,
    raw::{self, Board, DECLINED, INTERNAL_SERVER_ERROR, OK, ProxyGangway, ProxyTarget, Request},
    serve,
};

/// The module. httpd numbers it when it loads it, and links it into its list.
#[unsafe(no_mangle)]
pub static mut proxy_gangway_module: sys::module =
    module::<ProxyGangway>((&raw const directives::TABLE).cast(), register_hooks);

/// Backends that are counted by themselves.
const BACKENDS: usize = 64;

/// Modules that may claim a request before us: what they map to files or elsewhere is theirs.
static BEFORE: ModuleNames<6> = ModuleNames::new([
    c"mod_alias.c",
    c"mod_rewrite.c",
    c"mod_proxy.c",
    c"mod_userdir.c",
    c"mod_gangway.c",
    c"",
]);
/// mod_vhost_alias maps every path to a file.
static AFTER: ModuleNames<2> = ModuleNames::new([c"mod_vhost_alias.c", c""]);

unsafe extern "C" fn register_hooks(_pool: *mut apr_pool_t) {
    let none: *const *const c_char = ptr::null();
    let (first, middle) = (sys::APR_HOOK_FIRST as c_int, sys::APR_HOOK_MIDDLE as c_int);
    // SAFETY: httpd calls this while it registers hooks; the lists of names live for the process. The optional hook has the type that mod_proxy.h gives it.
    unsafe {
        sys::proxy_hook_scheme_handler(Some(scheme_handler), none, none, first);
        sys::proxy_hook_canon_handler(Some(canon_handler), none, none, first);
        sys::ap_hook_post_config(Some(post_config), none, none, middle);
        sys::ap_hook_translate_name(Some(translate_name), BEFORE.as_ptr(), AFTER.as_ptr(), middle);
        sys::ap_hook_fixups(Some(fixups), none, none, sys::APR_HOOK_LAST as c_int);
        let status = request_status as unsafe extern "C" fn(*mut c_int, *mut request_rec) -> c_int;
        let status = std::mem::transmute::<*const (), unsafe extern "C" fn()>(status as *const ());
        sys::apr_optional_hook_add(c"request_status".as_ptr(), Some(status), none, none, middle);
    }
}

unsafe extern "C" fn post_config(
    pool: *mut apr_pool_t,
    _: *mut apr_pool_t,
    _: *mut apr_pool_t,
    servers: *mut server_rec,
) -> c_int {
    fence("post_config", INTERNAL_SERVER_ERROR, || {
        raw::install_log();
        // The children inherit it.
        let _ = Board::shared();
        // SAFETY: httpd calls post_config with the pool of the configuration.
        unsafe { figures::open(pool, BACKENDS) };
        notes::look();
        // SAFETY: httpd calls this with the pool of the configuration and its servers, on one thread.
        match unsafe { raw::define_workers(pool, servers) } {
            Ok(()) => OK,
            Err(why) => {
                raw::log_startup(&format!("{BAD_UPSTREAM} {why}"));
                INTERNAL_SERVER_ERROR
            }
        }
    })
}

unsafe extern "C" fn canon_handler(r: *mut request_rec, url: *mut c_char) -> c_int {
    fence("the canonical form of a URL", INTERNAL_SERVER_ERROR, || {
        // SAFETY: mod_proxy calls this with a request that lives for the call, and a C string.
        let (request, url) = unsafe { (Request::from_raw(r), text(url)) };
        request.map_or(DECLINED, |request| canonical::canonicalise(request, url))
    })
}

unsafe extern "C" fn scheme_handler(
    r: *mut request_rec,
    worker: *mut sys::proxy_worker,
    conf: *mut sys::proxy_server_conf,
    url: *mut c_char,
    proxy: *const c_char,
    port: u16,
) -> c_int {
    fence("a request for a backend", INTERNAL_SERVER_ERROR, || {
        // SAFETY: mod_proxy calls this with a request that lives for the call, and a worker of its configuration.
        unsafe {
            let Some(request) = Request::from_raw(r) else { return DECLINED };
            serve::serve(ProxyTarget::from_raw(request, worker, conf, url, (proxy, port)))
        }
    })
}

request_hook!(translate_name, pass::translate);
request_hook!(fixups, pass::fixups);

unsafe extern "C" fn request_status(status: *mut c_int, r: *mut request_rec) -> c_int {
    fence("request_status", DECLINED, || {
        // SAFETY: mod_proxy calls this with a request that lives for the call, and a number.
        unsafe { Request::from_raw(r).map_or(DECLINED, |request| raw::follow(request, &mut *status)) }
    })
}
