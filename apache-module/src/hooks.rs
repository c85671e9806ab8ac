// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module as httpd knows it, and what httpd calls: each a few lines around a safe function.

#![expect(unsafe_code, reason = "what httpd calls")]

use std::{
    ffi::{c_char, c_int},
    ptr,
};

use gangway::engine::fence;
use gangway_httpd::{
    figures,
    module::{ModuleNames, module},
    request_hook,
    sys::{self, apr_pool_t, server_rec},
};

use crate::{
    claim, config,
    directives::{self, KINDS},
    phase_conf::{has_connections, has_handlers},
    phases,
    raw::{
        ChildPool, ConfigurationPool, ConnectionKey, DECLINED, Gangway, INTERNAL_SERVER_ERROR, OK, Request,
        converse, count_connection, register_authorities, register_filters,
    },
    socket, status,
};

/// The module. httpd numbers it when it loads it, and links it into its list.
#[unsafe(no_mangle)]
pub static mut gangway_module: sys::module =
    module::<Gangway>((&raw const directives::TABLE).cast(), register_hooks);

/// Backends of mod_proxy that are counted as well when they have had a request.
const OTHERS: usize = 64;

/// Modules that may claim a request before us: what they map to files or elsewhere is theirs.
static BEFORE: ModuleNames<6> =
    ModuleNames::new([c"mod_alias.c", c"mod_rewrite.c", c"mod_proxy.c", c"mod_userdir.c", c"mod_jk.c", c""]);
/// mod_vhost_alias maps every path to a file.
static AFTER: ModuleNames<2> = ModuleNames::new([c"mod_vhost_alias.c", c""]);

unsafe extern "C" fn register_hooks(pool: *mut apr_pool_t) {
    let none: *const *const c_char = ptr::null();
    let (middle, last) = (sys::APR_HOOK_MIDDLE as c_int, sys::APR_HOOK_LAST as c_int);
    // SAFETY: httpd calls this while it registers hooks; the lists of names live for the process.
    unsafe {
        sys::ap_hook_pre_config(Some(pre_config), none, none, middle);
        sys::ap_hook_check_config(Some(check_config), none, none, middle);
        sys::ap_hook_post_config(Some(post_config), none, none, middle);
        sys::ap_hook_child_init(Some(child_init), none, none, middle);
        sys::ap_hook_pre_connection(Some(count_connection), none, none, middle);
        sys::ap_hook_translate_name(Some(translate_name), BEFORE.as_ptr(), AFTER.as_ptr(), middle);
        // After httpd's own answers to TRACE and OPTIONS *, before the directory walk.
        sys::ap_hook_map_to_storage(Some(map_to_storage), none, none, last);
        sys::ap_hook_fixups(Some(fixups), none, none, middle);
        // After mod_dir, which looks for the index of a directory.
        sys::ap_hook_fixups(Some(last_fixups), none, none, sys::APR_HOOK_REALLY_LAST as c_int);
        sys::ap_hook_handler(Some(content_handler), none, none, middle);
        sys::ap_hook_suspend_connection(Some(suspend_connection), none, none, middle);
        sys::ap_hook_child_stopping(Some(child_stopping), none, none, middle);
        register_phases();
        register_authorities(pool, phases::SCRIPTS);
    }
    register_filters(phases::filter);
}

/// Modules of httpd that answer for their kind of authentication and authorization. A handler is asked before them, and they
/// where it declines.
static AUTHORITIES: ModuleNames<5> = ModuleNames::new([
    c"mod_auth_basic.c",
    c"mod_auth_digest.c",
    c"mod_auth_form.c",
    c"mod_authz_core.c",
    c"",
]);

/// The phases that applications have a say in.
///
/// # Safety
/// httpd registers hooks.
unsafe fn register_phases() {
    let none: *const *const c_char = ptr::null();
    let (middle, last) = (sys::APR_HOOK_MIDDLE as c_int, sys::APR_HOOK_LAST as c_int);
    // SAFETY: the caller's promise; the lists of names live for the process.
    unsafe {
        sys::ap_hook_post_read_request(Some(post_read_request), none, none, middle);
        sys::ap_hook_translate_name(Some(phase_path), BEFORE.as_ptr(), none, middle);
        sys::ap_hook_map_to_storage(Some(phase_storage), none, none, last);
        sys::ap_hook_translate_name(Some(phase_trans), none, none, sys::APR_HOOK_FIRST as c_int);
        sys::ap_hook_header_parser(Some(header_parser), none, none, middle);
        sys::ap_hook_access_checker(Some(access), none, none, middle);
        sys::ap_hook_force_authn(Some(force_authn), none, none, middle);
        sys::ap_hook_insert_filter(Some(insert_filters), none, none, middle);
        sys::ap_hook_check_user_id(Some(authen), none, AUTHORITIES.as_ptr(), middle);
        sys::ap_hook_auth_checker(Some(authz), none, AUTHORITIES.as_ptr(), middle);
        sys::ap_hook_type_checker(Some(type_checker), none, none, sys::APR_HOOK_FIRST as c_int);
        sys::ap_hook_fixups(Some(phase_fixup), none, none, middle);
        sys::ap_hook_handler(Some(phase_content), none, none, middle);
        // Before the module that writes the line: what a handler notes may stand in it.
        sys::ap_hook_process_connection(Some(process_connection), none, none, middle);
        sys::ap_hook_log_transaction(Some(phase_log), none, none, sys::APR_HOOK_FIRST as c_int);
    }
}

unsafe extern "C" fn pre_config(_: *mut apr_pool_t, _: *mut apr_pool_t, _: *mut apr_pool_t) -> c_int {
    fence("pre_config", INTERNAL_SERVER_ERROR, || {
        config::reset();
        OK
    })
}

unsafe extern "C" fn check_config(
    _: *mut apr_pool_t,
    _: *mut apr_pool_t,
    _: *mut apr_pool_t,
    _: *mut server_rec,
) -> c_int {
    fence(
        "check_config",
        INTERNAL_SERVER_ERROR,
        || if directives::check() { OK } else { INTERNAL_SERVER_ERROR },
    )
}

unsafe extern "C" fn post_config(
    pool: *mut apr_pool_t,
    _: *mut apr_pool_t,
    _: *mut apr_pool_t,
    _: *mut server_rec,
) -> c_int {
    fence("post_config", INTERNAL_SERVER_ERROR, || {
        // SAFETY: it has no conditions.
        let rehearsal = unsafe {
            sys::ap_state_query(sys::AP_SQ_MAIN_STATE as c_int) == sys::AP_SQ_MS_CREATE_PRE_CONFIG as c_int
        };
        // SAFETY: httpd calls post_config with the pool of the configuration.
        unsafe { figures::open(pool, status::count() + OTHERS) };
        phases::register_includes();
        // SAFETY: httpd gives the pool of the configuration.
        let pool = unsafe { ConfigurationPool::from_raw(pool) };
        if rehearsal || KINDS.iter().all(|kind| (kind.prepare)(&pool)) { OK } else { INTERNAL_SERVER_ERROR }
    })
}

unsafe extern "C" fn child_init(pool: *mut apr_pool_t, _server: *mut server_rec) {
    fence("child_init", (), || {
        // SAFETY: httpd gives the pool of the child.
        let pool = unsafe { ChildPool::from_raw(pool) };
        phases::begin_servers(&pool);
        KINDS.iter().for_each(|kind| (kind.start)(&pool));
        phases::begin_process();
    });
}

/// A connection goes on without the calling thread.
unsafe extern "C" fn suspend_connection(connection: *mut sys::conn_rec, _: *mut sys::request_rec) {
    // SAFETY: httpd calls this hook with a live connection.
    fence("suspend_connection", (), || socket::suspended(unsafe { ConnectionKey::of_suspended(connection) }));
}

unsafe extern "C" fn child_stopping(_: *mut apr_pool_t, graceful: c_int) {
    fence("child_stopping", (), || socket::stop(graceful != 0));
}

request_hook!(translate_name, claim::translate);
request_hook!(map_to_storage, map_to_storage_of_kinds);
request_hook!(fixups, claim::fixups);
request_hook!(last_fixups, claim::last_fixups);
request_hook!(content_handler, serve);
request_hook!(post_read_request, phases::post_read_request, if has_handlers);
request_hook!(phase_trans, phases::trans, if has_handlers);
request_hook!(phase_path, phases::take_path, if has_handlers);
request_hook!(phase_storage, phases::map_to_storage, if has_handlers);
request_hook!(header_parser, phases::header_parser, if has_handlers);
request_hook!(access, phases::access, if has_handlers);
request_hook!(force_authn, phases::force_authn, if has_handlers);
request_hook!(authen, phases::authen, if has_handlers);
request_hook!(authz, phases::authz, if has_handlers);
request_hook!(type_checker, phases::type_checker, if has_handlers);
request_hook!(phase_fixup, phases::fixup, if has_handlers);
request_hook!(phase_content, phases::content);
request_hook!(phase_log, phases::log, if has_handlers);

unsafe extern "C" fn insert_filters(r: *mut sys::request_rec) {
    if has_handlers() {
        fence("insert_filters", (), || {
            // SAFETY: httpd calls this with a request that lives for the call, on the request's thread.
            if let Some(request) = unsafe { Request::from_raw(r) } {
                phases::insert_filters(request);
            }
        });
    }
}

unsafe extern "C" fn process_connection(connection: *mut sys::conn_rec) -> c_int {
    if !has_connections() {
        return DECLINED;
    }
    fence("process_connection", OK, || {
        // SAFETY: httpd calls this with a new connection, on the thread that serves it.
        unsafe { converse(connection, phases::connection) }
    })
}

fn map_to_storage_of_kinds(request: Request<'_>) -> c_int {
    claim::map_to_storage(request, &KINDS)
}

fn serve(request: Request<'_>) -> c_int {
    claim::serve(request, &KINDS)
}
