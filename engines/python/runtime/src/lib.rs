// SPDX-License-Identifier: MIT OR Apache-2.0
//! The runtime of the Python engine, `gangway_python_abi3.so`.
//!
//! It runs WSGI and ASGI applications in the libpython that the front, `gangway_python.so`, has opened before it. It is
//! linked against none: its Python symbols are undefined and of the stable ABI of 3.9, so one file serves every
//! version from there on. Front and runtime speak include/gangway.h with each other.

mod app;
mod asgi;
mod asgi_options;
mod body;
mod children;
mod cold;
mod environ;
mod errors_stream;
mod exchange;
mod failure;
mod file_wrapper;
mod files;
mod forked;
mod gil;
mod input;
mod interpreter;
mod leave;
mod locale;
mod page;
mod phases;
mod release;
mod request;
mod request_objects;
mod respond;
mod send;
mod spawn;
mod start_response;
mod symbols;
mod template;
mod text;
mod threads;

use std::{
    ffi::{c_char, c_void},
    ptr,
    sync::atomic::{AtomicUsize, Ordering},
};

use gangway_abi::{
    Level,
    bytes::put_line,
    constant::Constant,
    ffi::{
        GW_ABI_MAJOR, GW_ABI_MINOR, GW_ERROR, GW_OK, gw_app, gw_app_spec, gw_engine, gw_host, gw_phase,
        gw_request, gw_request_head, gw_status, gw_transaction,
    },
    host,
};
use gangway_python_shared::{codes::Code, fence::fence, log::log};
use pyo3::Python;

use crate::{
    app::{App, Spec},
    asgi::AsgiApp,
    phases::Handlers,
};

/// What load() has made: what a gw_app points to.
enum Loaded {
    Wsgi(Box<App>),
    Asgi(AsgiApp),
    Handlers(Handlers),
}

/// Applications that are loaded; with the last one the interpreter ends.
static APPS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: what the table points to is constant.
static ENGINE: Constant<gw_engine> = unsafe {
    Constant::new(gw_engine {
        struct_size: size_of::<gw_engine>(),
        abi_major: GW_ABI_MAJOR,
        abi_minor: GW_ABI_MINOR,
        name: c"python".as_ptr(),
        flags: 0,
        // The front speaks for both.
        interfaces: ptr::null(),
        interface_count: 0,
        check: None,
        load: Some(load),
        enter: Some(enter),
        leave: Some(leave),
        thread_end: Some(thread_end),
        handle: Some(handle),
        interrupt: Some(interrupt),
        unload: Some(unload),
        fork_prepare: Some(fork_prepare),
        fork_parent: Some(fork_parent),
        fork_child: Some(fork_child),
        run_phase: Some(run_phase),
        forget: Some(forget),
        ready: Some(ready),
    })
};

/// The handshake of include/gangway.h, made by the front.
///
/// # Safety
/// `table` is null or the host's table, valid until the process ends.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gw_engine_entry(table: *const gw_host) -> *const gw_engine {
    fence("gw_engine_entry", ptr::null(), || {
        // SAFETY: the front passes null or the host's table, which is valid until the process ends.
        match unsafe { host::accept(table) } {
            Ok(_) => ENGINE.get(),
            Err(_) => ptr::null(),
        }
    })
}

/// The fence of a function that runs code of the application, which may have forked.
fn entry<R>(name: &'static str, fallback: R, body: impl FnOnce() -> R) -> R {
    let result = fence(name, fallback, body);
    forked::stop_child();
    result
}

unsafe extern "C" fn load(
    spec: *const gw_app_spec,
    app: *mut *mut gw_app,
    error: *mut c_char,
    capacity: usize,
) -> gw_status {
    let loaded = entry("load", Err("defect in the Python engine; see the error log".to_owned()), || {
        // SAFETY: the front gives a specification that lives for the call.
        let raw = unsafe { spec.as_ref() }.ok_or("the specification is missing")?;
        // SAFETY: gangway.h promises that what a specification points to lives for the call.
        let spec = unsafe { Spec::read(raw) }?;
        for (name, value) in &spec.variables {
            interpreter::set_variable(name, value)?;
        }
        interpreter::start(spec.program.as_deref(), spec.module().as_bytes(), !spec.is_template)?;
        let app = match spec.asgi.clone() {
            // A process that is to be forked has no loop: whether the application can be imported is all that it finds out.
            Some(options) if !spec.is_template => AsgiApp::load(spec, options).map(Loaded::Asgi),
            _ => Python::attach(|py| {
                if spec.has_handlers() {
                    Handlers::load(py, &spec).map(Loaded::Handlers)
                } else {
                    App::load(py, spec, None).map(|app| Loaded::Wsgi(Box::new(app)))
                }
            }),
        };
        // What the application printed while it was imported.
        errors_stream::flush();
        app
    });
    match loaded {
        Ok(loaded) => {
            APPS.fetch_add(1, Ordering::AcqRel);
            // SAFETY: the host gives a place for the application.
            unsafe { *app = Box::into_raw(Box::new(loaded)).cast() };
            GW_OK
        }
        Err(text) => {
            // SAFETY: the host gives a buffer of that capacity.
            unsafe { put_line(&text, error, capacity) };
            GW_ERROR
        }
    }
}

unsafe extern "C" fn enter(_app: *mut gw_app) {
    fence("enter", (), || {
        threads::enter();
    });
}

unsafe extern "C" fn leave(_app: *mut gw_app) {
    fence("leave", (), threads::leave);
}

unsafe extern "C" fn thread_end(_app: *mut gw_app) {
    fence("thread_end", (), threads::end);
}

unsafe extern "C" fn handle(
    app: *mut gw_app,
    request: *mut gw_request,
    head: *const gw_request_head,
) -> gw_status {
    entry("handle", GW_ERROR, || {
        // SAFETY: the host gives an application of load() that is not unloaded, a live request and its head.
        match (unsafe { app.cast::<Loaded>().as_ref() }, unsafe { head.as_ref() }) {
            // SAFETY: gangway.h promises that the request lives until handle() has returned or finish() was called.
            (Some(Loaded::Wsgi(app)), Some(head)) => unsafe { request::handle(app, request, head) },
            (Some(Loaded::Asgi(app)), Some(head)) => app.handle(request, head),
            _ => GW_ERROR,
        }
    })
}

unsafe extern "C" fn interrupt(app: *mut gw_app, request: *mut gw_request) {
    entry("interrupt", (), || {
        // SAFETY: the host gives an application of load() that is not unloaded.
        match unsafe { app.cast::<Loaded>().as_ref() } {
            Some(Loaded::Wsgi(app)) => request::interrupt(app, request),
            Some(Loaded::Asgi(app)) => app.interrupt(request),
            Some(Loaded::Handlers(_)) | None => {}
        }
    });
}

unsafe extern "C" fn ready(app: *mut gw_app, request: *mut gw_request, what: u32) {
    fence("ready", (), || {
        // SAFETY: the host gives an application of load() that is not unloaded.
        if let Some(Loaded::Asgi(app)) = unsafe { app.cast::<Loaded>().as_ref() } {
            app.ready(request, what);
        }
    });
}

unsafe extern "C" fn unload(app: *mut gw_app) {
    entry("unload", (), || {
        if app.is_null() {
            return;
        }
        // SAFETY: the application is from load(), and the host makes no call with it after this one.
        let app = unsafe { Box::from_raw(app.cast::<Loaded>()) };
        match *app {
            Loaded::Asgi(app) => app.unload(),
            other => Python::attach(|_| drop(other)),
        }
        Python::attach(|py| {
            release::drain(py);
            phases::drain(py);
        });
        if APPS.fetch_sub(1, Ordering::AcqRel) == 1 {
            interpreter::end();
        }
    });
}

unsafe extern "C" fn fork_prepare() {
    fence("fork_prepare", (), template::prepare);
}

unsafe extern "C" fn fork_parent() {
    fence("fork_parent", (), template::parent);
}

unsafe extern "C" fn fork_child() -> gw_status {
    match fence("fork_child", Ok(()), template::child) {
        Ok(()) => GW_OK,
        Err(error) => {
            log(Level::Error, Code::NotForked, format_args!("cannot start a thread: {error}"));
            GW_ERROR
        }
    }
}

unsafe extern "C" fn run_phase(
    app: *mut gw_app,
    transaction: *mut gw_transaction,
    phase: *const gw_phase,
    answer: *mut i32,
) -> gw_status {
    entry("run_phase", GW_ERROR, || {
        // SAFETY: the host gives an application of load() that is not unloaded, and a phase and a place for the call.
        let parts = unsafe { (app.cast::<Loaded>().as_ref(), phase.as_ref(), answer.as_mut()) };
        let (Some(Loaded::Handlers(handlers)), Some(phase), Some(answer)) = parts else { return GW_ERROR };
        // SAFETY: gangway.h promises that the transaction and the phase live until run_phase() has returned.
        match unsafe { phases::run(handlers, transaction, phase) } {
            Some(given) => {
                *answer = given;
                GW_OK
            }
            None => GW_ERROR,
        }
    })
}

unsafe extern "C" fn forget(state: *mut c_void) {
    // SAFETY: gangway.h: what run_phase() has left for a transaction that has ended, once.
    fence("forget", (), || unsafe { phases::forget(state) });
}
