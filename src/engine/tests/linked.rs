// SPDX-License-Identifier: MIT OR Apache-2.0
//! An engine written in Rust against `gangway.h` and linked into the tests, so that Miri sees both sides of the ABI:
//! pool threads, lent bytes, requests that outlive their call. The engines of tests/engines are C, which Miri cannot run.

use std::{
    ffi::{c_char, c_void},
    ptr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use gangway_abi::{
    bytes::{EMPTY, borrow, fields, lend_field},
    ffi::{self as abi, GW_AGAIN, GW_ERROR, GW_OK},
};

use crate::{
    engine::{App, Engine, Spec},
    exchange::{Body, BodyPart, Cause, Channel, Delivery, End, Exchange, Mailbox, Piece, ROOM, RequestHead},
    pool::{Pool, PoolLimits},
};

/// A table may stand in a static: its pointers are to constants.
struct Table(abi::gw_engine);

// SAFETY: nothing in it is ever written, and what it points to is constant.
unsafe impl Sync for Table {}

static BLOCKING: Table = Table(abi::gw_engine {
    enter: Some(enter),
    leave: Some(leave),
    thread_end: Some(leave),
    handle: Some(handle),
    interrupt: Some(interrupt),
    ..BASE
});

static LATER: Table =
    Table(abi::gw_engine { flags: abi::GW_ENGINE_ASYNC as u64, handle: Some(handle_later), ..BASE });

const BASE: abi::gw_engine = abi::gw_engine {
    struct_size: size_of::<abi::gw_engine>(),
    abi_major: abi::GW_ABI_MAJOR,
    abi_minor: abi::GW_ABI_MINOR,
    name: c"rust".as_ptr(),
    flags: 0,
    interfaces: ptr::null(),
    interface_count: 0,
    check: None,
    load: Some(load),
    enter: None,
    leave: None,
    thread_end: None,
    handle: None,
    interrupt: None,
    unload: Some(unload),
    fork_prepare: None,
    fork_parent: None,
    fork_child: None,
    run_phase: None,
    forget: None,
    ready: None,
};

/// What the engine keeps for an application.
#[derive(Default)]
struct State {
    calls: AtomicUsize,
    later: Mutex<Vec<thread::JoinHandle<()>>>,
}

unsafe extern "C" fn blocking_entry(_host: *const abi::gw_host) -> *const abi::gw_engine {
    &raw const BLOCKING.0
}

unsafe extern "C" fn later_entry(_host: *const abi::gw_host) -> *const abi::gw_engine {
    &raw const LATER.0
}

unsafe extern "C" fn load(
    spec: *const abi::gw_app_spec,
    app: *mut *mut abi::gw_app,
    error: *mut c_char,
    capacity: usize,
) -> abi::gw_status {
    // SAFETY: gangway.h: the specification is borrowed for the call; `app` and `error` are the host's and writable.
    unsafe {
        if borrow((*spec).target) == b"broken" {
            gangway_abi::bytes::put_line("this one never loads", error, capacity);
            return GW_ERROR;
        }
        app.write(Box::into_raw(Box::new(State::default())).cast());
    }
    GW_OK
}

unsafe extern "C" fn unload(app: *mut abi::gw_app) {
    // SAFETY: load() made it of a Box, and the host passes it here once, when no call about it runs.
    let state = unsafe { Box::from_raw(app.cast::<State>()) };
    for thread in state.later.into_inner().unwrap() {
        thread.join().unwrap();
    }
}

/// # Safety
/// `app` is what load() gave to the host, and unload() has not been called.
unsafe fn state<'a>(app: *mut abi::gw_app) -> &'a State {
    // SAFETY: load() made it of a Box of this type, which unload() frees.
    unsafe { &*app.cast::<State>() }
}

unsafe extern "C" fn enter(app: *mut abi::gw_app) {
    // SAFETY: the host calls it between load() and unload().
    unsafe { state(app) }.calls.fetch_add(1, Ordering::Relaxed);
}

unsafe extern "C" fn leave(app: *mut abi::gw_app) {
    // SAFETY: the host calls it between load() and unload().
    unsafe { state(app) }.calls.fetch_add(1, Ordering::Relaxed);
}

unsafe extern "C" fn interrupt(app: *mut abi::gw_app, request: *mut abi::gw_request) {
    // SAFETY: the host calls it between load() and unload(), with a live request.
    unsafe {
        state(app).calls.fetch_add(1, Ordering::Relaxed);
        host().cancelled.unwrap()(request);
    }
}

fn host() -> &'static abi::gw_host {
    super::HOST.get()
}

unsafe extern "C" fn free_lent(context: *mut c_void) {
    // SAFETY: answer() made the context of a Box of this type and lends it once.
    drop(unsafe { Box::from_raw(context.cast::<Vec<u8>>()) });
}

/// Answers with the path and the body, lent.
///
/// # Safety
/// `request` and `head` are those of a handle() call, and finish() has not been called.
unsafe fn answer(request: *mut abi::gw_request, head: *const abi::gw_request_head) -> abi::gw_status {
    // SAFETY: gangway.h: both are valid until finish(); what is passed on is ours and lives for the calls.
    unsafe {
        let variables = fields((*head).variables, (*head).variable_count);
        let path = variables.iter().find(|field| borrow(field.name) == b"PATH_INFO");
        let mut text = Box::new(path.map_or(&b""[..], |field| borrow(field.value)).to_vec());
        let (mut part, mut length) = ([0u8; 7], 1);
        while length > 0 {
            let status = host().read_body.unwrap()(request, part.as_mut_ptr(), 7, 0, &raw mut length);
            if status != GW_OK {
                return GW_ERROR;
            }
            text.extend_from_slice(&part[..length]);
        }
        host().log.unwrap()(request, abi::GW_LOG_INFO, text.as_ptr(), text.len());
        let header = lend_field(b"X-Engine", b"rust");
        let status = host().start.unwrap()(request, 200, EMPTY, &raw const header, 1);
        if status != GW_OK {
            return status;
        }
        host().write.unwrap()(request, b"<".as_ptr(), 1, 0);
        let (data, length, context) = (text.as_ptr(), text.len(), Box::into_raw(text));
        let status = host().write_owned.unwrap()(request, data, length, Some(free_lent), context.cast(), 0);
        if ![GW_OK, abi::GW_INVALID].contains(&status) {
            // The loan was not taken.
            free_lent(context.cast());
        }
        status
    }
}

unsafe extern "C" fn handle(
    _app: *mut abi::gw_app,
    request: *mut abi::gw_request,
    head: *const abi::gw_request_head,
) -> abi::gw_status {
    // SAFETY: the host guarantees both for the call.
    unsafe {
        if answer(request, head) != GW_OK {
            return GW_ERROR;
        }
        host().finish.unwrap()(request, GW_OK)
    }
}

/// Pointers that another thread of the engine may use until it calls finish().
struct Job(*mut abi::gw_request, *const abi::gw_request_head);

// SAFETY: gangway.h: an asynchronous engine may use both from any thread until finish().
unsafe impl Send for Job {}

unsafe extern "C" fn handle_later(
    app: *mut abi::gw_app,
    request: *mut abi::gw_request,
    head: *const abi::gw_request_head,
) -> abi::gw_status {
    let job = Job(request, head);
    let thread = thread::spawn(move || {
        let Job(request, head) = { job };
        // SAFETY: this thread alone has the request, until finish().
        unsafe {
            let status = answer(request, head);
            host().finish.unwrap()(request, if status == GW_OK { GW_OK } else { GW_ERROR });
        }
    });
    // SAFETY: the host calls it between load() and unload().
    unsafe { state(app) }.later.lock().unwrap().push(thread);
    GW_AGAIN
}

fn load_app(entry: crate::engine::EntryFn, target: &str) -> Result<Arc<App>, String> {
    // SAFETY: the entry points above are those of engines that keep to gangway.h.
    let engine = unsafe { Engine::linked("rust", entry) }.unwrap();
    let spec = Spec {
        name: "demo".into(),
        interface: "test",
        target: target.into(),
        options: vec![("key".into(), b"value".to_vec())],
        threads: 2,
        multiprocess: false,
    };
    engine.check(&[&spec])?;
    engine.load(&spec, &Arc::default()).map(Arc::new)
}

/// A request, and the server's side of it.
fn request(path: &str, body: &[u8]) -> (Arc<Exchange>, Arc<Channel>, Arc<Mailbox>) {
    let mut head = RequestHead { content_length: Some(body.len() as u64), ..RequestHead::default() };
    head.variables.push(b"PATH_INFO", path.as_bytes());
    let mailbox = Arc::new(Mailbox::default());
    let body = Body::new([BodyPart::Memory(body.to_vec())]);
    let channel = Channel::new(1, mailbox.clone(), body, ROOM);
    (Exchange::new(head, channel.clone()), channel, mailbox)
}

/// What has come until the end.
fn receive(channel: &Channel, mailbox: &Mailbox) -> (Vec<u8>, End) {
    let (mut all, mut end) = (Delivery::default(), None);
    let deadline = Instant::now() + Duration::from_secs(60);
    while end.is_none() {
        let (_, lines) = mailbox.wait(Some(deadline));
        assert!(Instant::now() < deadline, "the engine does not answer; its last lines: {lines:?}");
        let delivery = channel.take();
        channel.sent(delivery.weight());
        end = delivery.end;
        all.append(delivery);
    }
    let bytes = all.pieces.iter().flat_map(|piece| match piece {
        Piece::Copied(bytes) => bytes.as_slice(),
        Piece::Lent(lent) => lent.as_slice(),
        Piece::File(_) => unreachable!("no files here"),
    });
    (bytes.copied().collect(), end.unwrap())
}

fn stop(pool: &Pool, app: Arc<App>) {
    assert!(pool.stop(Instant::now() + Duration::from_secs(60)));
    let _ = Arc::into_inner(app).map(App::unload);
}

#[test]
fn a_blocking_engine_answers_from_pool_threads() {
    let app = load_app(blocking_entry, "app").unwrap();
    let pool = Pool::new(PoolLimits { threads: 2, queue: 10 });
    assert_eq!(pool.open(&app, "demo").unwrap(), 2);
    let requests: Vec<_> = (0..4).map(|number| request(&format!("/{number}"), b" with a body")).collect();
    for (exchange, ..) in &requests {
        pool.submit(Arc::clone(exchange)).unwrap();
    }
    for (number, (exchange, channel, mailbox)) in requests.iter().enumerate() {
        let expected = format!("</{number} with a body").into_bytes();
        assert_eq!(receive(channel, mailbox), (expected, End::Complete));
        app.interrupt(exchange);
    }
    stop(&pool, app);
}

#[test]
fn an_asynchronous_engine_answers_when_handle_has_returned() {
    let app = load_app(later_entry, "app").unwrap();
    assert!(app.is_async());
    let (exchange, channel, mailbox) = request("/later", b"");
    app.handle(&exchange);
    // The engine's reference is enough.
    drop(exchange);
    assert_eq!(receive(&channel, &mailbox), (b"</later".to_vec(), End::Complete));
    let _ = Arc::into_inner(app).map(App::unload);
}

#[test]
fn a_client_that_leaves_meets_both_kinds_of_engine() {
    for entry in [blocking_entry, later_entry] as [crate::engine::EntryFn; 2] {
        let app = load_app(entry, "app").unwrap();
        let (exchange, channel, _mailbox) = request("/gone", b"");
        thread::scope(|scope| {
            scope.spawn(|| {
                exchange.cancel(Cause::ClientGone);
                app.interrupt(&exchange);
            });
            app.enter();
            app.handle(&exchange);
            app.leave();
        });
        let _ = Arc::into_inner(app).map(App::unload);
        assert!(exchange.is_finished());
        drop((channel, exchange));
    }
}

#[test]
fn a_reason_for_not_loading_comes_through() {
    assert_eq!(load_app(blocking_entry, "broken").err().unwrap(), "this one never loads");
}
