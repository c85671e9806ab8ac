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
use gangway_httpd::{directive::Command, module::place_of, pool::Pool};

use super::{
    sys::{self, apr_pool_t, server_rec},
    text,
};

/// A backend that a directive has named, in the pool of the configuration.
#[derive(Clone, Copy)]
struct NamedBackend {
    /// Whose the directive is.
    server: *mut server_rec,
    /// In the pool, too.
    url: *const [u8],
    next: *const Self,
}

/// What the list is called in that pool, with which it goes.
const KEY: &CStr = c"gangway-pass";

/// Notes that requests will be passed to this URL. The name of a worker does not hold the path of a socket, so that two sockets would be
/// one worker; the worker for all addresses takes the path from the request, and looks nothing up.
pub(crate) fn note_backend<'c>(command: &Command<'c>, url: &'c [u8]) {
    if url.starts_with(b"unix:") {
        return;
    }
    let pool = command.pool();
    let first = pool.put(NamedBackend { server: command.server(), url, next: named(pool) });
    // SAFETY: the pool of a command is live; the list lives in it, and APR keeps the key, which lives for the process.
    unsafe {
        sys::apr_pool_userdata_setn(ptr::from_mut(first).cast(), KEY.as_ptr(), None, pool.as_ptr());
    }
}

/// The list in the pool of a configuration: NULL or its last backend, with those before behind it.
fn named(pool: Pool<'_>) -> *const NamedBackend {
    let mut first: *mut c_void = ptr::null_mut();
    // SAFETY: a `Pool` is live, and only `note_backend` writes under this key.
    unsafe { sys::apr_pool_userdata_get(&raw mut first, KEY.as_ptr(), pool.as_ptr()) };
    first.cast()
}

/// Makes the workers. mod_proxy makes their connection pools with those of its own, in each child.
///
/// # Errors
/// What mod_proxy says of an address.
///
/// # Safety
/// What httpd calls a post_config hook with.
pub(crate) unsafe fn define(pool: *mut apr_pool_t, servers: *mut server_rec) -> Result<(), String> {
    // SAFETY: httpd calls the hook with the pool of the configuration, on the thread that reads it; the list lives in the pool, and httpd's
    // servers are a list that is complete and live.
    unsafe {
        let pool = Pool::from_raw(pool);
        let mut next = named(pool);
        while let Some(backend) = next.as_ref() {
            let mut server = servers;
            while !server.is_null() {
                // What the main server says holds in virtual hosts too.
                if backend.server == server || backend.server == servers {
                    define_for(pool, server, &*backend.url)?;
                }
                server = (*server).next;
            }
            next = backend.next;
        }
    }
    Ok(())
}

/// Makes a worker of one server, if none is there that serves the whole address.
///
/// # Safety
/// A live server, in the configuration phase whose pool this is.
unsafe fn define_for(pool: Pool<'_>, server: *mut server_rec, url: &[u8]) -> Result<(), String> {
    let mut worker: *mut sys::proxy_worker = ptr::null_mut();
    // SAFETY: mod_proxy numbers itself when it is loaded, and each server has a configuration of it, or that of the main server. The
    // strings live in the pool. A worker that it defines without an error has its shared part.
    unsafe {
        let index = (&raw const sys::proxy_module.module_index).read();
        let conf = (*place_of((*server).module_config, index)).cast::<sys::proxy_server_conf>();
        let whole = pool.join(&[url, b"/"]);
        let (raw, name) = (pool.as_ptr(), pool.keep(url));
        if !sys::ap_proxy_get_worker(raw, ptr::null_mut(), conf, whole).is_null() {
            return Ok(());
        }
        let error = sys::ap_proxy_define_worker(raw, &raw mut worker, ptr::null_mut(), conf, name, 0);
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
