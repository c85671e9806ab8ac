// SPDX-License-Identifier: MIT OR Apache-2.0
//! The engine under test, and its calls.

use std::{
    ffi::{CStr, CString, c_char, c_void},
    path::Path,
    ptr,
    sync::atomic::Ordering,
    thread,
};

use gangway_abi::{bytes::lend, ffi::*};

use super::{
    HOST, Table, breach, lock,
    request::{Answer, Request, Wish},
};

/// A specification as a test writes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spec {
    pub(crate) target: String,
    pub(crate) options: Vec<(String, String)>,
    pub(crate) threads: u32,
    pub(crate) multiprocess: bool,
    pub(crate) template: bool,
}

impl Spec {
    pub(crate) fn new(target: &str) -> Self {
        Self { target: target.to_owned(), threads: 4, ..Self::default() }
    }

    pub(crate) fn option(mut self, key: &str, value: impl AsRef<Path>) -> Self {
        self.options.push((key.to_owned(), value.as_ref().to_string_lossy().into_owned()));
        self
    }

    fn with_raw<R>(&self, use_it: impl FnOnce(&gw_app_spec) -> R) -> R {
        let options: Vec<gw_field> = self
            .options
            .iter()
            .map(|(key, value)| gw_field { name: lend(key.as_bytes()), value: lend(value.as_bytes()) })
            .collect();
        use_it(&gw_app_spec {
            place: ptr::null_mut(),
            struct_size: size_of::<gw_app_spec>(),
            name: lend(self.target.as_bytes()),
            interface_name: lend(b"wsgi"),
            target: lend(self.target.as_bytes()),
            options: options.as_ptr(),
            option_count: options.len(),
            threads: self.threads,
            flags: if self.multiprocess { GW_APP_MULTIPROCESS } else { 0 }
                | if self.template { GW_APP_TEMPLATE } else { 0 },
        })
    }
}

/// The engine under test.
#[derive(Clone, Copy)]
pub(crate) struct Engine(&'static gw_engine);

// SAFETY: the table of an engine is constant, and its functions name the threads that may call them.
unsafe impl Send for Engine {}
// SAFETY: it is only read.
unsafe impl Sync for Engine {}

/// A loaded application.
#[derive(Clone, Copy)]
pub(crate) struct App(*mut gw_app);

impl App {
    pub(crate) fn address(self) -> usize {
        self.0.addr()
    }
}

// SAFETY: the engine says that pool threads may use an application at the same time.
unsafe impl Send for App {}
// SAFETY: the pointer is only handed to the engine, which lets pool threads share an application.
unsafe impl Sync for App {}

impl Engine {
    /// Opens the engine from `folder`, where both shared objects have their final names.
    pub(crate) fn open(folder: &Path) -> Self {
        Self::open_with(folder, &HOST)
    }

    /// The same with another host.
    pub(crate) fn open_with(folder: &Path, host: &'static Table) -> Self {
        let path = CString::new(folder.join("gangway_python.so").to_string_lossy().as_bytes()).expect("path");
        // SAFETY: the path is NUL-terminated.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        if handle.is_null() {
            // SAFETY: dlerror returns a string after a failure.
            let error = unsafe { std::ffi::CStr::from_ptr(libc::dlerror()) };
            panic!("{}", error.to_string_lossy());
        }
        // SAFETY: the handle is open, the name NUL-terminated, and the symbol has this type.
        let entry = unsafe {
            std::mem::transmute::<*mut c_void, gw_engine_entry_fn>(libc::dlsym(
                handle,
                GW_ENGINE_ENTRY.as_ptr().cast(),
            ))
        };
        // SAFETY: the host's table is static.
        let table = unsafe { entry.expect("entry")(&raw const host.0).as_ref() };
        Self(table.expect("the engine accepts this host"))
    }

    pub(crate) fn check(self, specs: &[Spec]) -> Result<(), String> {
        fn nest(engine: Engine, left: &[Spec], raw: &mut Vec<*const gw_app_spec>) -> Result<(), String> {
            if let Some((first, rest)) = left.split_first() {
                return first.with_raw(|spec| {
                    raw.push(spec);
                    nest(engine, rest, raw)
                });
            }
            let mut error = [0 as c_char; 1024];
            // SAFETY: the specifications live in the frames above; the buffer has that capacity.
            let status = unsafe {
                engine.0.check.expect("check")(raw.as_ptr(), raw.len(), error.as_mut_ptr(), error.len())
            };
            line_of(status, &error)
        }
        nest(self, specs, &mut Vec::new())
    }

    pub(crate) fn load(self, spec: &Spec) -> Result<App, String> {
        spec.with_raw(|raw| {
            let mut app = ptr::null_mut();
            let mut error = [0 as c_char; 1024];
            // SAFETY: the specification lives for the call; the buffer has that capacity.
            let status =
                unsafe { self.0.load.expect("load")(raw, &raw mut app, error.as_mut_ptr(), error.len()) };
            line_of(status, &error).map(|()| App(app))
        })
    }

    /// handle() alone, for a host that has requests of its own kind.
    pub(crate) fn handle_raw(self, app: App, request: *mut gw_request, head: &gw_request_head) -> gw_status {
        // SAFETY: the application is loaded; the request and the head live for the call.
        unsafe { self.0.handle.expect("handle")(app.0, request, head) }
    }

    pub(crate) fn enter(self, app: App) {
        // SAFETY: the application is loaded; this is a pool thread.
        unsafe { self.0.enter.expect("enter")(app.0) };
    }

    pub(crate) fn leave(self, app: App) {
        // SAFETY: the application is loaded; enter() was called on this thread.
        unsafe { self.0.leave.expect("leave")(app.0) };
    }

    pub(crate) fn thread_end(self, app: App) {
        // SAFETY: the application is loaded; this is a pool thread that makes no call afterwards.
        unsafe { self.0.thread_end.expect("thread_end")(app.0) };
    }

    pub(crate) fn interrupt(self, app: App, request: &Request) {
        // SAFETY: the application is loaded and the request lives.
        unsafe { self.0.interrupt.expect("interrupt")(app.0, request.raw()) };
    }

    /// Forks this process, which has one thread, and runs this in the child. Answers the status of the child.
    pub(crate) fn fork(self, child: impl FnOnce()) -> i32 {
        let mut status = 0;
        // SAFETY: an application is loaded, this thread has loaded it and is the only one, and the child never returns.
        unsafe {
            self.0.fork_prepare.expect("fork_prepare")();
            let pid = libc::fork();
            if pid == 0 {
                let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    assert_eq!(self.0.fork_child.expect("fork_child")(), GW_OK);
                    child();
                }));
                libc::_exit(i32::from(ran.is_err()));
            }
            self.0.fork_parent.expect("fork_parent")();
            libc::waitpid(pid, &raw mut status, 0);
        }
        libc::WEXITSTATUS(status)
    }

    pub(crate) fn unload(self, app: App) {
        // SAFETY: the application is loaded and nobody uses it any more.
        unsafe { self.0.unload.expect("unload")(app.0) };
    }

    /// Runs a request whose `Request` the caller keeps, between enter() and leave() of the caller.
    pub(crate) fn handle(self, app: App, request: &Request) -> Answer {
        let variables: Vec<(Vec<u8>, Vec<u8>)> = request
            .wish
            .variables
            .iter()
            .map(|(name, value)| (name.clone(), [value.as_slice(), b"\0"].concat()))
            .collect();
        let fields: Vec<gw_field> = variables
            .iter()
            .map(|(name, value)| gw_field { name: lend(name), value: lend(&value[..value.len() - 1]) })
            .collect();
        let length: usize = request.wish.body.iter().map(Vec::len).sum();
        let head = gw_request_head {
            struct_size: size_of::<gw_request_head>(),
            variables: fields.as_ptr(),
            variable_count: fields.len(),
            content_length: if request.wish.length_known { i64::try_from(length).unwrap_or(-1) } else { -1 },
            flags: if request.wish.head_request { GW_REQUEST_NO_BODY } else { 0 },
            reserved: 0,
            fields: ptr::null(),
            field_count: 0,
            local_port: 0,
            reserved2: 0,
        };
        lock(&request.state).thread = Some(thread::current().id());
        // SAFETY: the application is loaded; the request and the head live for the call.
        let returned = unsafe { self.0.handle.expect("handle")(app.0, request.raw(), &raw const head) };
        let mut state = lock(&request.state);
        state.ended = true;
        state.answer.returned = returned;
        if returned == GW_OK && state.answer.finished.is_none() {
            breach("handle() returned GW_OK without finish()");
        }
        let borrows = std::mem::take(&mut state.borrows);
        let answer = std::mem::take(&mut state.answer);
        drop(state);
        // As a server does: after the request, on a thread that has nothing to do with the interpreter.
        if !borrows.is_empty() {
            thread::spawn(move || {
                for borrow in borrows {
                    let context = ptr::with_exposed_provenance_mut(borrow.context);
                    // SAFETY: once per accepted borrow.
                    unsafe { borrow.release.expect("release")(context) };
                }
            })
            .join()
            .expect("release does not panic");
        }
        answer
    }

    /// Runs one request on this thread.
    pub(crate) fn run(self, app: App, wish: Wish) -> Answer {
        let request = Request::new(wish);
        self.enter(app);
        let answer = self.handle(app, &request);
        self.leave(app);
        answer
    }

    /// GET of a path.
    pub(crate) fn get(self, app: App, path: &str) -> Answer {
        self.run(app, Wish::path(path))
    }
}

fn line_of(status: gw_status, error: &[c_char]) -> Result<(), String> {
    if status == GW_OK {
        return Ok(());
    }
    // SAFETY: the engine writes a NUL-terminated line on GW_ERROR; the buffer began as zeros.
    let line = unsafe { std::ffi::CStr::from_ptr(error.as_ptr()) };
    Err(line.to_string_lossy().into_owned())
}
