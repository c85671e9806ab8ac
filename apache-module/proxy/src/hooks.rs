// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module as httpd and mod_proxy know it, and what they call: each a few lines around a safe function.

#![expect(unsafe_code, reason = "what httpd calls")]

use std::{
    ffi::{c_char, c_int},
    ptr,
};

use gangway::{engine::fence, error::BAD_UPSTREAM};
use gangway_httpd::{
    module::module,
    sys::{self, apr_pool_t, request_rec, server_rec},
    text,
};

use crate::{
    canonical, directives, pass,
    raw::{self, Board, DECLINED, INTERNAL_SERVER_ERROR, OK, Request, Target},
    serve,
};

/// The module. httpd numbers it when it loads it, and links it into its list.
#[unsafe(no_mangle)]
pub static mut proxy_gangway_module: sys::module = module(
    c"mod_proxy_gangway.c",
    raw::create_conf,
    raw::merge_conf,
    (&raw const directives::TABLE).cast(),
    register_hooks,
);

/// Modules that may claim a request before us: what they map to files or elsewhere is theirs.
#[repr(transparent)]
struct Names<const N: usize>([*const c_char; N]);

// SAFETY: only read.
unsafe impl<const N: usize> Sync for Names<N> {}

static BEFORE: Names<6> = Names([
    c"mod_alias.c".as_ptr(),
    c"mod_rewrite.c".as_ptr(),
    c"mod_proxy.c".as_ptr(),
    c"mod_userdir.c".as_ptr(),
    c"mod_gangway.c".as_ptr(),
    ptr::null(),
]);
/// mod_vhost_alias maps every path to a file.
static AFTER: Names<2> = Names([c"mod_vhost_alias.c".as_ptr(), ptr::null()]);

unsafe extern "C" fn register_hooks(_pool: *mut apr_pool_t) {
    let none: *const *const c_char = ptr::null();
    let (first, middle) = (sys::APR_HOOK_FIRST as c_int, sys::APR_HOOK_MIDDLE as c_int);
    // SAFETY: httpd calls this while it registers hooks; the lists of names live for the process. The optional hook has the type that mod_proxy.h gives it.
    unsafe {
        sys::proxy_hook_scheme_handler(Some(scheme_handler), none, none, first);
        sys::proxy_hook_canon_handler(Some(canon_handler), none, none, first);
        sys::ap_hook_post_config(Some(post_config), none, none, middle);
        sys::ap_hook_translate_name(Some(translate_name), BEFORE.0.as_ptr(), AFTER.0.as_ptr(), middle);
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
        // The children inherit it.
        let _ = Board::shared();
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
            serve::serve(Target::from_raw(request, worker, conf, url, (proxy, port)))
        }
    })
}

unsafe extern "C" fn translate_name(r: *mut request_rec) -> c_int {
    fence("translate_name", INTERNAL_SERVER_ERROR, || {
        // SAFETY: httpd calls a request hook with a request that lives for the call.
        unsafe { Request::from_raw(r) }.map_or(DECLINED, pass::translate)
    })
}

unsafe extern "C" fn fixups(r: *mut request_rec) -> c_int {
    fence("fixups", INTERNAL_SERVER_ERROR, || {
        // SAFETY: httpd calls a request hook with a request that lives for the call.
        unsafe { Request::from_raw(r) }.map_or(DECLINED, pass::fixups)
    })
}

unsafe extern "C" fn request_status(status: *mut c_int, r: *mut request_rec) -> c_int {
    fence("request_status", DECLINED, || {
        // SAFETY: mod_proxy calls this with a request that lives for the call, and a number.
        unsafe { Request::from_raw(r).map_or(DECLINED, |request| request.follow(&mut *status)) }
    })
}
