// SPDX-License-Identifier: MIT OR Apache-2.0
//! The path of a request through the front: nothing but a call of the runtime.

use std::{ffi::c_void, sync::OnceLock};

use gangway_abi::ffi::{
    GW_ERROR, gw_app, gw_engine, gw_phase, gw_request, gw_request_head, gw_status, gw_transaction,
};
use gangway_python_shared::fence::fence;

/// The runtime's functions; set by the first load() that succeeds in opening it.
pub(crate) static RUNTIME: OnceLock<Runtime> = OnceLock::new();

type AppFn = unsafe extern "C" fn(*mut gw_app);
type ForkFn = unsafe extern "C" fn();

/// The functions of the runtime's table, all of which our own runtime has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Runtime {
    pub(crate) load: unsafe extern "C" fn(
        *const gangway_abi::ffi::gw_app_spec,
        *mut *mut gw_app,
        *mut std::ffi::c_char,
        usize,
    ) -> gw_status,
    enter: AppFn,
    leave: AppFn,
    thread_end: AppFn,
    handle: unsafe extern "C" fn(*mut gw_app, *mut gw_request, *const gw_request_head) -> gw_status,
    interrupt: unsafe extern "C" fn(*mut gw_app, *mut gw_request),
    unload: AppFn,
    fork_prepare: ForkFn,
    fork_parent: ForkFn,
    fork_child: unsafe extern "C" fn() -> gw_status,
    run_phase: unsafe extern "C" fn(*mut gw_app, *mut gw_transaction, *const gw_phase, *mut i32) -> gw_status,
    forget: unsafe extern "C" fn(*mut c_void),
    ready: unsafe extern "C" fn(*mut gw_app, *mut gw_request, u32),
}

impl Runtime {
    /// Takes the table apart; `None` if a function is missing.
    pub(crate) fn new(table: &gw_engine) -> Option<Self> {
        Some(Self {
            load: table.load?,
            enter: table.enter?,
            leave: table.leave?,
            thread_end: table.thread_end?,
            handle: table.handle?,
            interrupt: table.interrupt?,
            unload: table.unload?,
            fork_prepare: table.fork_prepare?,
            fork_parent: table.fork_parent?,
            fork_child: table.fork_child?,
            run_phase: table.run_phase?,
            forget: table.forget?,
            ready: table.ready?,
        })
    }
}

fn with(entry: &'static str, call: impl FnOnce(&Runtime)) {
    fence(entry, (), || {
        if let Some(runtime) = RUNTIME.get() {
            call(runtime);
        }
    });
}

pub(crate) unsafe extern "C" fn enter(app: *mut gw_app) {
    // SAFETY: the host keeps the contract of enter(); `app` came from the runtime's own load().
    with("enter", |runtime| unsafe { (runtime.enter)(app) });
}

pub(crate) unsafe extern "C" fn leave(app: *mut gw_app) {
    // SAFETY: the host calls leave() on the thread of its enter(); `app` came from the runtime's own load().
    with("leave", |runtime| unsafe { (runtime.leave)(app) });
}

pub(crate) unsafe extern "C" fn thread_end(app: *mut gw_app) {
    // SAFETY: the host calls thread_end() last on a thread; `app` came from the runtime's own load().
    with("thread_end", |runtime| unsafe { (runtime.thread_end)(app) });
}

pub(crate) unsafe extern "C" fn handle(
    app: *mut gw_app,
    request: *mut gw_request,
    head: *const gw_request_head,
) -> gw_status {
    fence("handle", GW_ERROR, || {
        // SAFETY: the host keeps the contract of handle(); `app` came from the runtime's own load().
        RUNTIME.get().map_or(GW_ERROR, |runtime| unsafe { (runtime.handle)(app, request, head) })
    })
}

pub(crate) unsafe extern "C" fn interrupt(app: *mut gw_app, request: *mut gw_request) {
    // SAFETY: the host keeps the contract of interrupt(); `app` came from the runtime's own load().
    with("interrupt", |runtime| unsafe { (runtime.interrupt)(app, request) });
}

pub(crate) unsafe extern "C" fn ready(app: *mut gw_app, request: *mut gw_request, what: u32) {
    // SAFETY: the host keeps the contract of ready(); `app` came from the runtime's own load().
    with("ready", |runtime| unsafe { (runtime.ready)(app, request, what) });
}

pub(crate) unsafe extern "C" fn unload(app: *mut gw_app) {
    // SAFETY: the host makes no call with it after unload(); `app` came from the runtime's own load().
    with("unload", |runtime| unsafe { (runtime.unload)(app) });
}

pub(crate) unsafe extern "C" fn fork_prepare() {
    // SAFETY: the host keeps the contract of fork_prepare().
    with("fork_prepare", |runtime| unsafe { (runtime.fork_prepare)() });
}

pub(crate) unsafe extern "C" fn fork_parent() {
    // SAFETY: the host calls fork_parent() on the thread of its fork_prepare().
    with("fork_parent", |runtime| unsafe { (runtime.fork_parent)() });
}

pub(crate) unsafe extern "C" fn fork_child() -> gw_status {
    fence("fork_child", GW_ERROR, || {
        // SAFETY: the host calls fork_child() in the child, on the thread of its fork_prepare().
        RUNTIME.get().map_or(GW_ERROR, |runtime| unsafe { (runtime.fork_child)() })
    })
}

pub(crate) unsafe extern "C" fn run_phase(
    app: *mut gw_app,
    transaction: *mut gw_transaction,
    phase: *const gw_phase,
    answer: *mut i32,
) -> gw_status {
    fence("run_phase", GW_ERROR, || {
        // SAFETY: the host keeps the contract of run_phase(); `app` came from the runtime's own load().
        RUNTIME
            .get()
            .map_or(GW_ERROR, |runtime| unsafe { (runtime.run_phase)(app, transaction, phase, answer) })
    })
}

pub(crate) unsafe extern "C" fn forget(state: *mut c_void) {
    // SAFETY: the host keeps the contract of forget(); the state came from the runtime's own run_phase().
    with("forget", |runtime| unsafe { (runtime.forget)(state) });
}
