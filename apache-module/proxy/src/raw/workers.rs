// SPDX-License-Identifier: MIT OR Apache-2.0
//! Workers of mod_proxy for the backends of `GangwayPass`.
//!
//! A backend without one is served by mod_proxy's worker for all addresses, which looks the address up for every request. They
//! are made when all directives have been read: a worker that somebody has configured for the same address is the one, wherever its
//! line stands, and ProxyPass never finds one of ours in its place.

use std::{
    ffi::{CStr, c_void},
    ptr,
};

use gangway::log;
use gangway_httpd::{directive::Command, module::place_of};

use super::{
    Text,
    sys::{self, apr_pool_t, server_rec},
    text,
};

/// A backend that a directive has named, in the pool of the configuration.
struct Wish {
    /// Whose the directive is.
    server: *mut server_rec,
    url: Text,
    next: *const Self,
}

/// What the list is called in that pool, with which it goes.
const KEY: &CStr = c"gangway-pass";

/// Notes that requests will be passed to this URL. The name of a worker does not hold the path of a socket, so that two sockets would be
/// one worker; the worker for all addresses takes the path from the request, and looks nothing up.
pub(crate) fn wish(command: &Command<'_>, url: Text) {
    if url.as_slice().starts_with(b"unix:") {
        return;
    }
    let pool = command.pool();
    let next = wishes(pool);
    // SAFETY: a live command, and the pool of the configuration, in which the wish and its URL live.
    unsafe {
        let wish = sys::apr_palloc(pool, size_of::<Wish>()).cast::<Wish>();
        wish.write(Wish { server: (*command.as_ptr()).server, url, next });
        sys::apr_pool_userdata_setn(wish.cast(), KEY.as_ptr(), None, pool);
    }
}

fn wishes(pool: *mut apr_pool_t) -> *const Wish {
    let mut first: *mut c_void = ptr::null_mut();
    // SAFETY: the pool of the configuration, in which only `wish` writes under this key.
    unsafe { sys::apr_pool_userdata_get(&raw mut first, KEY.as_ptr(), pool) };
    first.cast::<Wish>()
}

/// Makes the workers. mod_proxy makes their connection pools with those of its own, in each child.
///
/// # Errors
/// What mod_proxy says of an address.
///
/// # Safety
/// What httpd calls a post_config hook with.
pub(crate) unsafe fn define(pool: *mut apr_pool_t, servers: *mut server_rec) -> Result<(), String> {
    let mut next = wishes(pool);
    // SAFETY: the wishes live in the pool; httpd's servers are a list that is complete and live.
    unsafe {
        while let Some(wish) = next.as_ref() {
            let mut server = servers;
            while !server.is_null() {
                // What the main server says holds in virtual hosts too.
                if wish.server == server || wish.server == servers {
                    define_for(pool, server, wish.url.as_slice())?;
                }
                server = (*server).next;
            }
            next = wish.next;
        }
    }
    Ok(())
}

/// Makes a worker of one server, if none is there that serves the whole address.
///
/// # Safety
/// Live ones, in the configuration phase.
unsafe fn define_for(pool: *mut apr_pool_t, server: *mut server_rec, url: &[u8]) -> Result<(), String> {
    let mut worker: *mut sys::proxy_worker = ptr::null_mut();
    // SAFETY: mod_proxy numbers itself when it is loaded, and each server has a configuration of it, or that of the main server. The
    // strings live in the pool. A worker that it defines without an error has its shared part.
    unsafe {
        let index = (&raw const sys::proxy_module.module_index).read();
        let conf = (*place_of((*server).module_config, index)).cast::<sys::proxy_server_conf>();
        let whole = Text::copy(pool, &[url, b"/"].concat());
        if !sys::ap_proxy_get_worker(pool, ptr::null_mut(), conf, whole.as_c_str().as_ptr()).is_null() {
            return Ok(());
        }
        let name = Text::copy(pool, url);
        let error = sys::ap_proxy_define_worker(
            pool,
            &raw mut worker,
            ptr::null_mut(),
            conf,
            name.as_c_str().as_ptr(),
            0,
        );
        if !error.is_null() {
            let (url, why) = (log::escape(url), log::escape(text(error)));
            return Err(format!("mod_proxy cannot use the address {url}: {why}"));
        }
        // As for a ProxyPass.
        let (shared, conf) = (&mut *(*worker).s, &*conf);
        shared.timeout = conf.timeout;
        shared.set_timeout_set(conf.timeout_set());
        shared.recv_buffer_size = conf.recv_buffer_size;
        shared.set_recv_buffer_size_set(conf.recv_buffer_size_set());
        shared.io_buffer_size = conf.io_buffer_size;
        shared.set_io_buffer_size_set(conf.io_buffer_size_set());
    }
    Ok(())
}
