// SPDX-License-Identifier: MIT OR Apache-2.0
//! The nginx module of Gangway: nginx's types to the core's and back.
//!
//! ```text
//! process      what a process begins and ends with
//! directives   what the configuration may say, and who answers
//! status       the page that says how applications do
//! phases       handlers of the phases of a request
//! wsgi         requests for applications in this process
//! cgi          requests for scripts, on nginx's upstream
//! managed      requests for applications in processes of their own, on nginx's upstream
//! upstream     requests for other processes, over FastCGI, SCGI and uwsgi, on nginx's upstream
//! serve        what each of them gives to nginx: the head, internal redirects, meta-variables
//! conf         what the configuration says
//! raw          nginx's memory
//! ```
//! Each names those below it (and `wsgi` neither `cgi` nor `upstream`); all may name the module itself, which is here.

mod cgi;
mod conf;
mod directives;
mod managed;
mod phases;
mod process;
mod raw;
mod serve;
mod status;
mod upstream;
mod wsgi;

use std::{ffi::c_char, ptr};

use nginx_sys::{NGX_HTTP_MODULE, ngx_http_module_t, ngx_module_t};

static MODULE_CONTEXT: Shared<ngx_http_module_t> = Shared(ngx_http_module_t {
    preconfiguration: Some(directives::add_variables),
    postconfiguration: Some(directives::postconfiguration),
    create_main_conf: Some(directives::create_main),
    init_main_conf: None,
    create_srv_conf: None,
    merge_srv_conf: None,
    create_loc_conf: Some(directives::create_location),
    merge_loc_conf: Some(directives::merge_location),
});

/// The module, as nginx knows it.
#[unsafe(no_mangle)]
pub static mut ngx_http_gangway_module: ngx_module_t = ngx_module_t {
    ctx: (&raw const MODULE_CONTEXT).cast_mut().cast(),
    commands: (&raw const directives::COMMANDS).cast_mut().cast(),
    type_: NGX_HTTP_MODULE as usize,
    init_module: Some(process::init_module),
    init_process: Some(process::init_process),
    exit_process: Some(process::exit_process),
    ..ngx_module_t::default()
};

/// The module, for reading: nginx has numbered it before any of our code runs.
fn module() -> &'static ngx_module_t {
    // SAFETY: nginx writes to it while modules are loaded, on one thread, and never while our code runs.
    unsafe { &*ptr::addr_of!(ngx_http_gangway_module) }
}

static FILTER_CONTEXT: Shared<ngx_http_module_t> = Shared(ngx_http_module_t {
    preconfiguration: None,
    postconfiguration: Some(directives::install_filters),
    create_main_conf: None,
    init_main_conf: None,
    create_srv_conf: None,
    merge_srv_conf: None,
    create_loc_conf: None,
    merge_loc_conf: None,
});

/// A second one, for a place of its own among nginx's filters.
#[unsafe(no_mangle)]
pub static mut ngx_http_gangway_filter_module: ngx_module_t = ngx_module_t {
    ctx: (&raw const FILTER_CONTEXT).cast_mut().cast(),
    type_: NGX_HTTP_MODULE as usize,
    ..ngx_module_t::default()
};

/// The second module, for reading.
fn filter_module() -> &'static ngx_module_t {
    // SAFETY: nginx writes to it while modules are loaded, on one thread, and never while our code runs.
    unsafe { &*ptr::addr_of!(ngx_http_gangway_filter_module) }
}

/// A table for C with pointers in it, which nobody writes to.
#[repr(transparent)]
struct Shared<T>(T);

// SAFETY: only read after it was made, by nginx's one thread.
unsafe impl<T> Sync for Shared<T> {}

/// What nginx looks for in a dynamic module.
#[unsafe(no_mangle)]
static ngx_modules: Shared<[*const ngx_module_t; 3]> =
    Shared([&raw const ngx_http_gangway_module, &raw const ngx_http_gangway_filter_module, ptr::null()]);

#[unsafe(no_mangle)]
static ngx_module_names: Shared<[*const c_char; 3]> =
    Shared([c"ngx_http_gangway_module".as_ptr(), c"ngx_http_gangway_filter_module".as_ptr(), ptr::null()]);

/// Before the module whose filter reads files into memory, which is called first. The module that has no place here comes last.
#[unsafe(no_mangle)]
static ngx_module_order: Shared<[*const c_char; 3]> = Shared([
    c"ngx_http_gangway_filter_module".as_ptr(),
    c"ngx_http_copy_filter_module".as_ptr(),
    ptr::null(),
]);
