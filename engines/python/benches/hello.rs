// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long the engine takes for one request, beside what the application and the interpreter take by themselves:
//! `cargo bench -p gangway-python`. The host does nothing, so all of the time is the engine's and the application's.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../tests/host/mod.rs"]
mod host;

use std::{
    ffi::c_void,
    fs,
    hint::black_box,
    path::Path,
    ptr,
    time::{Duration, Instant},
};

use gangway_abi::{bytes::lend, ffi::*};
use host::{App, Engine, HOST, Spec, Table};

const ROUNDS: usize = 7;
const REQUESTS: usize = 100_000;

const APPS: &str = "
BODY = [b'hello']
LARGE = [b'x' * 65536]
def nothing(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', '5')])
    return BODY
def counted(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'hello']
def large(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', '65536')])
    return LARGE
def stream(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    for _ in range(100):
        yield b'x' * 1024
def echo(environ, start_response):
    data = environ['wsgi.input'].read()
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', str(len(data)))])
    return [data]
def bare(environ, outer):
    import time
    def start_response(status, headers, exc_info=None):
        pass
    begin = time.perf_counter()
    for _ in range(100000):
        nothing({}, start_response)
    print('a bare Python call of the same application takes %.2f us' % ((time.perf_counter() - begin) * 10))
    return nothing(environ, outer)
";

static IDLE: Table = Table(gw_host {
    read_body: Some(read_body),
    start: Some(start),
    write: Some(write),
    write_owned: Some(write_owned),
    send_file: Some(send_file),
    flush: Some(flush),
    finish: Some(finish),
    cancelled: Some(cancelled),
    log: Some(log),
    ..HOST.0
});

/// The request of this host: body bytes that are left.
struct Left(usize);

unsafe extern "C" fn read_body(
    request: *mut gw_request,
    _to: *mut u8,
    room: usize,
    _: u32,
    len: *mut usize,
) -> gw_status {
    // SAFETY: the request is a `Left`, and the engine gives a place for the length.
    unsafe {
        let left = &mut *request.cast::<Left>();
        *len = left.0.min(room);
        left.0 -= *len;
    }
    GW_OK
}
unsafe extern "C" fn start(
    _: *mut gw_request,
    _: u16,
    _: gw_bytes,
    fields: *const gw_field,
    count: usize,
) -> gw_status {
    black_box((fields, count));
    GW_OK
}
unsafe extern "C" fn write(_: *mut gw_request, data: *const u8, length: usize, _: u32) -> gw_status {
    black_box((data, length));
    GW_OK
}
unsafe extern "C" fn write_owned(
    _: *mut gw_request,
    data: *const u8,
    length: usize,
    release: gw_release_fn,
    context: *mut c_void,
    _: u32,
) -> gw_status {
    black_box((data, length));
    if let Some(release) = release {
        // SAFETY: once, with the engine's context.
        unsafe { release(context) };
    }
    GW_OK
}
unsafe extern "C" fn send_file(_: *mut gw_request, _: i32, _: u64, _: u64, _: u32) -> gw_status {
    GW_OK
}
unsafe extern "C" fn flush(_: *mut gw_request, _: u32) -> gw_status {
    GW_OK
}
unsafe extern "C" fn finish(_: *mut gw_request, outcome: gw_status) -> gw_status {
    assert_eq!(outcome, GW_OK);
    GW_OK
}
unsafe extern "C" fn cancelled(_: *mut gw_request) -> i32 {
    0
}
unsafe extern "C" fn log(_: *mut gw_request, _: u32, text: *const u8, length: usize) {
    // SAFETY: the engine lends the text for the call.
    println!("{}", String::from_utf8_lossy(unsafe { std::slice::from_raw_parts(text, length) }));
}

fn main() {
    let folder = tempfile::tempdir().expect("temp dir");
    host::build_engine(folder.path());
    fs::write(folder.path().join("bench_app.py"), APPS).expect("write");
    let engine = Engine::open_with(folder.path(), &IDLE);
    let request = typical_request();
    let fields: Vec<gw_field> = request
        .iter()
        .map(|(name, value)| gw_field { name: lend(name), value: lend(&value[..value.len() - 1]) })
        .collect();
    let bench = Bench { engine, folder: folder.path(), fields };
    bench.measure("nothing", REQUESTS, 0);
    bench.measure("counted", REQUESTS, 0);
    bench.measure("large", REQUESTS, 0);
    bench.measure("echo", REQUESTS, 16 * 1024);
    bench.measure("stream", REQUESTS / 50, 0);
    bench.run(bench.load("bare"), 1, 0);
}

struct Bench<'b> {
    engine: Engine,
    folder: &'b Path,
    fields: Vec<gw_field>,
}

impl Bench<'_> {
    fn load(&self, name: &str) -> App {
        let spec = Spec::new(&format!("bench_app:{name}")).option("root", self.folder);
        let spec = match std::env::var_os("GANGWAY_TEST_PYTHONS") {
            Some(python) => spec.option("python", &python),
            None => spec,
        };
        self.engine.load(&spec).expect("load")
    }

    /// So many requests with a body of so many bytes. Answers how long they took.
    fn run(&self, app: App, requests: usize, body: usize) -> Duration {
        let head = gw_request_head {
            struct_size: size_of::<gw_request_head>(),
            variables: self.fields.as_ptr(),
            variable_count: self.fields.len(),
            content_length: body as i64,
            flags: 0,
            reserved: 0,
            fields: ptr::null(),
            field_count: 0,
            local_port: 0,
            reserved2: 0,
        };
        self.engine.enter(app);
        let begin = Instant::now();
        for _ in 0..requests {
            let mut left = Left(body);
            assert_eq!(self.engine.handle_raw(app, ptr::from_mut(&mut left).cast(), &head), GW_OK);
        }
        let took = begin.elapsed();
        self.engine.leave(app);
        took
    }

    fn measure(&self, name: &str, requests: usize, body: usize) {
        let app = self.load(name);
        let mut rounds: Vec<f64> = (0..ROUNDS)
            .map(|_| self.run(app, requests, body).as_secs_f64() * 1e6 / requests as f64)
            .collect();
        rounds.sort_by(f64::total_cmp);
        println!(
            "{name:8} {:7.2} us (median of {ROUNDS} rounds; {:.2} to {:.2})",
            rounds[ROUNDS / 2],
            rounds[0],
            rounds[ROUNDS - 1]
        );
    }
}

/// What a server passes for a browser's request; values end with a NUL.
fn typical_request() -> Vec<(Vec<u8>, Vec<u8>)> {
    [
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_SOFTWARE", "nginx/1.22.1"),
        ("SERVER_NAME", "www.example.test"),
        ("SERVER_ADDR", "192.0.2.1"),
        ("SERVER_PORT", "443"),
        ("REQUEST_METHOD", "GET"),
        ("REQUEST_URI", "/articles/2024/?page=2"),
        ("REQUEST_SCHEME", "https"),
        ("HTTPS", "on"),
        ("SCRIPT_NAME", ""),
        ("PATH_INFO", "/articles/2024/"),
        ("QUERY_STRING", "page=2"),
        ("DOCUMENT_ROOT", "/srv/www"),
        ("REMOTE_ADDR", "198.51.100.7"),
        ("REMOTE_PORT", "50714"),
        ("HTTP_HOST", "www.example.test"),
        ("HTTP_USER_AGENT", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        ("HTTP_ACCEPT", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("HTTP_ACCEPT_LANGUAGE", "en-US,en;q=0.5"),
        ("HTTP_ACCEPT_ENCODING", "gzip, deflate, br"),
        ("HTTP_CONNECTION", "keep-alive"),
        ("HTTP_COOKIE", "session=0123456789abcdef0123456789abcdef"),
        ("HTTP_REFERER", "https://www.example.test/articles/"),
    ]
    .map(|(name, value)| (name.as_bytes().to_vec(), [value.as_bytes(), b"\0"].concat()))
    .to_vec()
}
