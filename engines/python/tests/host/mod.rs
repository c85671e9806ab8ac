// SPDX-License-Identifier: MIT OR Apache-2.0
//! A host of include/gangway.h in memory: it keeps the contract and notes every breach of it by the engine.

#![allow(dead_code, reason = "each binary that includes this module uses a part of it")]

pub(crate) mod pythons;

use std::{
    ffi::{CString, c_char, c_void},
    path::{Path, PathBuf},
    process::Command,
    ptr, slice,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, ThreadId},
};

use gangway_python_abi::{
    bytes::{borrow, fields, lend},
    ffi::*,
};

/// What a test wants the host to do with a request.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) variables: Vec<(Vec<u8>, Vec<u8>)>,
    /// Pieces that read_body gives one after the other.
    pub(crate) body: Vec<Vec<u8>>,
    /// Whether the length of the body is told.
    pub(crate) length_known: bool,
    /// The body breaks off after its pieces.
    pub(crate) body_breaks: bool,
    pub(crate) head_request: bool,
    /// Every first call with GW_NOWAIT is answered GW_AGAIN.
    pub(crate) always_again: bool,
    /// From this number of response bytes on, the client is gone.
    pub(crate) leaves_after: Option<usize>,
    /// Blocking calls wait until `Request::open_gate`.
    pub(crate) gate_shut: bool,
}

impl Default for Wish {
    fn default() -> Self {
        let variable = |(name, value): (&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        Self {
            variables: [
                ("GATEWAY_INTERFACE", "CGI/1.1"),
                ("SERVER_PROTOCOL", "HTTP/1.1"),
                ("SERVER_SOFTWARE", "fake/1.0"),
                ("SERVER_NAME", "example.test"),
                ("SERVER_PORT", "80"),
                ("REQUEST_METHOD", "GET"),
                ("REQUEST_URI", "/"),
                ("SCRIPT_NAME", ""),
                ("PATH_INFO", "/"),
                ("QUERY_STRING", ""),
                ("REMOTE_ADDR", "127.0.0.1"),
                ("REMOTE_PORT", "4711"),
                ("HTTP_HOST", "example.test"),
            ]
            .map(variable)
            .to_vec(),
            body: Vec::new(),
            length_known: true,
            body_breaks: false,
            head_request: false,
            always_again: false,
            leaves_after: None,
            gate_shut: false,
        }
    }
}

impl Wish {
    pub(crate) fn path(path: &str) -> Self {
        Self::default().with("PATH_INFO", path)
    }

    pub(crate) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.variables.retain(|(known, _)| known != name.as_bytes());
        self.variables.push((name.as_bytes().to_vec(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn post(mut self, pieces: &[&[u8]]) -> Self {
        self.body = pieces.iter().map(|piece| piece.to_vec()).collect();
        let length: usize = self.body.iter().map(Vec::len).sum();
        self.with("REQUEST_METHOD", "POST").with("CONTENT_LENGTH", length.to_string())
    }

    pub(crate) fn chunked(mut self) -> Self {
        self.length_known = false;
        self.variables.retain(|(name, _)| name != b"CONTENT_LENGTH");
        self
    }

    pub(crate) fn head(mut self) -> Self {
        self.head_request = true;
        self.with("REQUEST_METHOD", "HEAD")
    }

    pub(crate) fn again(mut self) -> Self {
        self.always_again = true;
        self
    }

    pub(crate) fn leaves_after(mut self, bytes: usize) -> Self {
        self.leaves_after = Some(bytes);
        self
    }
}

/// What came of a request.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: Option<u16>,
    pub(crate) reason: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// What reached the host, in order: "head", "write 5", "write 5 flush", "file 10 20", "finish 0", "status 0".
    pub(crate) events: Vec<String>,
    /// The argument of finish().
    pub(crate) finished: Option<gw_status>,
    /// What handle() returned.
    pub(crate) returned: gw_status,
    /// Lines of the log with this request's context: level and text.
    pub(crate) log: Vec<(u32, String)>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let wanted = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        wanted.map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn logged(&self, part: &str) -> bool {
        self.log.iter().any(|(_, line)| line.contains(part))
    }
}

/// One request as the host has it; `gw_request` points to it.
pub(crate) struct Request {
    wish: Wish,
    state: Mutex<State>,
    gate: Condvar,
    cancelled: AtomicBool,
}

#[derive(Default)]
struct State {
    answer: Answer,
    thread: Option<ThreadId>,
    pieces: Vec<Vec<u8>>,
    at: usize,
    asked: bool,
    limit: Option<u64>,
    gate_open: bool,
    waiting: bool,
    borrows: Vec<Borrow>,
    ended: bool,
}

struct Borrow {
    release: gw_release_fn,
    context: usize,
}

/// Lines without a request: level and text.
static LOG: Mutex<Vec<(u32, String)>> = Mutex::new(Vec::new());
/// Breaches of the contract.
static BREACHES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn breach(text: impl Into<String>) {
    lock(&BREACHES).push(text.into());
}

/// Takes the log lines that belong to no request.
pub(crate) fn take_log() -> Vec<(u32, String)> {
    std::mem::take(&mut *lock(&LOG))
}

/// Takes the breaches that were noted.
pub(crate) fn take_breaches() -> Vec<String> {
    std::mem::take(&mut *lock(&BREACHES))
}

impl Request {
    pub(crate) fn new(wish: Wish) -> Box<Self> {
        let pieces = wish.body.clone();
        let state = State { pieces, gate_open: !wish.gate_shut, ..State::default() };
        Box::new(Self {
            wish,
            state: Mutex::new(state),
            gate: Condvar::new(),
            cancelled: AtomicBool::new(false),
        })
    }

    pub(crate) fn raw(&self) -> *mut gw_request {
        ptr::from_ref(self).cast_mut().cast()
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        self.open_gate();
    }

    pub(crate) fn open_gate(&self) {
        lock(&self.state).gate_open = true;
        self.gate.notify_all();
    }

    /// Waits until the engine waits inside a blocking call.
    pub(crate) fn wait_until_waiting(&self) {
        let mut state = lock(&self.state);
        while !state.waiting {
            state = self.gate.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until this condition holds of the answer so far.
    pub(crate) fn events(&self) -> Vec<String> {
        lock(&self.state).answer.events.clone()
    }

    /// The beginning of every host call: checks the thread, and waits at the gate where the call may wait.
    fn call(&self, flags: u32) -> Result<MutexGuard<'_, State>, gw_status> {
        let mut state = lock(&self.state);
        if state.ended {
            breach("a call for a request whose handle() has returned");
        }
        if state.thread != Some(thread::current().id()) {
            breach("a call from another thread than that of handle()");
        }
        if self.wish.always_again && flags & GW_NOWAIT != 0 && !state.asked {
            state.asked = true;
            return Err(GW_AGAIN);
        }
        state.asked = false;
        if !state.gate_open {
            if flags & GW_NOWAIT != 0 {
                return Err(GW_AGAIN);
            }
            state.waiting = true;
            self.gate.notify_all();
            while !state.gate_open {
                state = self.gate.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.waiting = false;
        }
        if self.cancelled.load(Ordering::SeqCst) {
            return Err(GW_CANCELLED);
        }
        Ok(state)
    }

    /// Takes a block of the response.
    fn put(&self, state: &mut State, data: &[u8], event: &str, flags: u32) -> gw_status {
        if state.answer.status.is_none() || state.answer.finished.is_some() {
            breach(format!("{event} before start() or after finish()"));
            return GW_MISUSE;
        }
        let flush = if flags & GW_FLUSH != 0 { " flush" } else { "" };
        state.answer.events.push(format!("{event} {}{flush}", data.len()));
        let allowed = state.limit.map_or(data.len(), |limit| {
            let left = limit.saturating_sub(state.answer.body.len() as u64);
            data.len().min(usize::try_from(left).unwrap_or(usize::MAX))
        });
        if !self.wish.head_request {
            state.answer.body.extend_from_slice(&data[..allowed]);
        }
        if self.wish.leaves_after.is_some_and(|limit| state.answer.body.len() >= limit) {
            self.cancelled.store(true, Ordering::SeqCst);
        }
        if allowed < data.len() { GW_INVALID } else { GW_OK }
    }
}

/// # Safety
/// `request` is a live `Request`.
unsafe fn request<'a>(request: *mut gw_request) -> &'a Request {
    // SAFETY: the caller's guarantee.
    unsafe { &*request.cast::<Request>() }
}

unsafe extern "C" fn read_body(
    raw: *mut gw_request,
    buffer: *mut u8,
    capacity: usize,
    flags: u32,
    length: *mut usize,
) -> gw_status {
    if capacity == 0 {
        breach("read_body with no capacity");
    }
    // SAFETY: the engine passes a live request, a buffer of that capacity and a place for the length.
    let (request, buffer) = unsafe { (request(raw), slice::from_raw_parts_mut(buffer, capacity)) };
    let mut state = match request.call(flags) {
        Ok(state) => state,
        Err(status) => return status,
    };
    let count = match state.pieces.first() {
        None if request.wish.body_breaks => return GW_ERROR,
        None => 0,
        Some(piece) => {
            let rest = &piece[state.at..];
            let count = rest.len().min(capacity);
            buffer[..count].copy_from_slice(&rest[..count]);
            let done = count == rest.len();
            state.at = if done { 0 } else { state.at + count };
            if done {
                state.pieces.remove(0);
            }
            count
        }
    };
    // SAFETY: as above.
    unsafe { *length = count };
    GW_OK
}

unsafe extern "C" fn start(
    raw: *mut gw_request,
    status: u16,
    reason: gw_bytes,
    headers: *const gw_field,
    count: usize,
) -> gw_status {
    // SAFETY: the engine passes a live request and borrowed bytes.
    let (request, reason, headers) = unsafe { (request(raw), borrow(reason), fields(headers, count)) };
    let mut state = lock(&request.state);
    if state.thread != Some(thread::current().id()) || state.ended {
        breach("start() at the wrong time or on the wrong thread");
    }
    if state.answer.status.is_some() {
        breach("start() twice");
        return GW_MISUSE;
    }
    state.answer.status = Some(status);
    state.answer.reason = String::from_utf8_lossy(reason).into_owned();
    for field in headers {
        // SAFETY: as above.
        let (name, value) = unsafe { (borrow(field.name), borrow(field.value)) };
        let text = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
        if name.eq_ignore_ascii_case(b"content-length") {
            state.limit = text(value).parse().ok();
        }
        state.answer.headers.push((text(name), text(value)));
    }
    state.answer.events.push("head".to_owned());
    if request.cancelled.load(Ordering::SeqCst) { GW_CANCELLED } else { GW_OK }
}

unsafe extern "C" fn write(raw: *mut gw_request, data: *const u8, length: usize, flags: u32) -> gw_status {
    // SAFETY: the engine passes a live request and borrowed bytes.
    let (request, data) = unsafe { (request(raw), slice::from_raw_parts(data, length)) };
    match request.call(flags) {
        Ok(mut state) => request.put(&mut state, data, "write", flags),
        Err(status) => status,
    }
}

unsafe extern "C" fn write_owned(
    raw: *mut gw_request,
    data: *const u8,
    length: usize,
    release: gw_release_fn,
    context: *mut c_void,
    flags: u32,
) -> gw_status {
    // SAFETY: the engine passes a live request and bytes that stay until they are released.
    let (request, data) = unsafe { (request(raw), slice::from_raw_parts(data, length)) };
    match request.call(flags) {
        Ok(mut state) => {
            state.borrows.push(Borrow { release, context: context.expose_provenance() });
            request.put(&mut state, data, "owned", flags)
        }
        Err(status) => status,
    }
}

unsafe extern "C" fn send_file(
    raw: *mut gw_request,
    fd: i32,
    offset: u64,
    length: u64,
    flags: u32,
) -> gw_status {
    use std::os::fd::FromRawFd;
    use std::os::unix::fs::FileExt;
    // SAFETY: the engine passes a live request.
    let request = unsafe { request(raw) };
    let mut state = match request.call(flags) {
        Ok(state) => state,
        Err(status) => return status,
    };
    // SAFETY: the descriptor is open for the call; ManuallyDrop leaves it open.
    let file = std::mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(fd) });
    let mut data = vec![0; usize::try_from(length).unwrap_or(0)];
    if let Err(error) = file.read_exact_at(&mut data, offset) {
        breach(format!("send_file of {length} bytes from {offset}: {error}"));
    }
    request.put(&mut state, &data, "file", flags)
}

unsafe extern "C" fn flush(_raw: *mut gw_request, _flags: u32) -> gw_status {
    GW_OK
}

unsafe extern "C" fn finish(raw: *mut gw_request, outcome: gw_status) -> gw_status {
    // SAFETY: the engine passes a live request.
    let request = unsafe { request(raw) };
    let mut state = lock(&request.state);
    if state.thread != Some(thread::current().id()) || state.ended {
        breach("finish() at the wrong time or on the wrong thread");
    }
    if state.answer.finished.replace(outcome).is_some() {
        breach("finish() twice");
    }
    if outcome == GW_OK && state.answer.status.is_none() {
        breach("finish(GW_OK) without a head");
    }
    state.answer.events.push(format!("finish {outcome}"));
    GW_OK
}

unsafe extern "C" fn cancelled(raw: *mut gw_request) -> i32 {
    // SAFETY: the engine passes a live request.
    i32::from(unsafe { request(raw) }.cancelled.load(Ordering::SeqCst))
}

unsafe extern "C" fn log(raw: *mut gw_request, level: u32, text: *const u8, length: usize) {
    // SAFETY: the engine passes null or a live request, and borrowed bytes.
    let text = unsafe { slice::from_raw_parts(text, length) };
    let line = String::from_utf8_lossy(text).into_owned();
    if std::env::var_os("GANGWAY_TEST_LOG").is_some() {
        eprintln!("    log {level} {}: {line}", if raw.is_null() { "-" } else { "r" });
    }
    if line.contains('\n') {
        breach(format!("a log line with a line end: {line:?}"));
    }
    if raw.is_null() {
        lock(&LOG).push((level, line));
    } else {
        // SAFETY: as above.
        lock(&unsafe { request(raw) }.state).answer.log.push((level, line));
    }
}

/// The host's table.
pub(crate) static HOST: Table = Table(gw_host {
    struct_size: size_of::<gw_host>(),
    abi_major: GW_ABI_MAJOR,
    abi_minor: GW_ABI_MINOR,
    read_body: Some(read_body),
    start: Some(start),
    write: Some(write),
    write_owned: Some(write_owned),
    send_file: Some(send_file),
    flush: Some(flush),
    finish: Some(finish),
    cancelled: Some(cancelled),
    log: Some(log),
});

pub(crate) struct Table(pub(crate) gw_host);

// SAFETY: the table is never written.
unsafe impl Sync for Table {}

/// A specification as a test writes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spec {
    pub(crate) target: String,
    pub(crate) options: Vec<(String, String)>,
    pub(crate) threads: u32,
    pub(crate) multiprocess: bool,
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
            struct_size: size_of::<gw_app_spec>(),
            name: lend(self.target.as_bytes()),
            interface_name: lend(b"wsgi"),
            target: lend(self.target.as_bytes()),
            options: options.as_ptr(),
            option_count: options.len(),
            threads: self.threads,
            flags: if self.multiprocess { GW_APP_MULTIPROCESS } else { 0 },
        })
    }
}

/// The engine under test.
#[derive(Clone, Copy)]
pub(crate) struct Engine(&'static gw_engine);

// SAFETY: the table of an engine is constant, and its functions name the threads that may call them.
unsafe impl Send for Engine {}
// SAFETY: as above.
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
// SAFETY: as above.
unsafe impl Sync for App {}

impl Engine {
    /// Opens the engine from `folder`, where both shared objects have their final names.
    pub(crate) fn open(folder: &Path) -> Self {
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
        let table = unsafe { entry.expect("entry")(&raw const HOST.0).as_ref() };
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

    pub(crate) fn enter(self, app: App) {
        // SAFETY: the application is loaded; this is a pool thread.
        unsafe { self.0.enter.expect("enter")(app.0) };
    }

    pub(crate) fn leave(self, app: App) {
        // SAFETY: as for enter().
        unsafe { self.0.leave.expect("leave")(app.0) };
    }

    pub(crate) fn thread_end(self, app: App) {
        // SAFETY: as for enter().
        unsafe { self.0.thread_end.expect("thread_end")(app.0) };
    }

    pub(crate) fn interrupt(self, app: App, request: &Request) {
        // SAFETY: the application is loaded and the request lives.
        unsafe { self.0.interrupt.expect("interrupt")(app.0, request.raw()) };
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

/// Builds both shared objects with the profile of this binary and puts them, with their final names, into `folder`.
pub(crate) fn build_engine(folder: &Path) {
    // This binary is target/<profile>/deps/<name>.
    let own = std::env::current_exe().expect("own path");
    let profile = own.parent().and_then(Path::parent).expect("target folder").to_owned();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "-p", "gangway-python", "-p", "gangway-python-runtime"]);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    cargo.arg("--target-dir").arg(profile.parent().expect("target folder"));
    let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
    assert!(status.success(), "cargo build of the engine failed");
    for name in ["gangway_python.so", "gangway_python_abi3.so"] {
        std::fs::copy(profile.join(format!("lib{name}")), folder.join(name)).expect("copy the engine");
    }
}

/// The applications of the tests.
pub(crate) fn apps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps")
}
