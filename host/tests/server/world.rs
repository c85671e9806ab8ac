// SPDX-License-Identifier: MIT OR Apache-2.0
//! gangway-host as a process, and a web server's side of FastCGI, written from the specification.
//!
//! Everything that waits does so for a condition, and panics after [`PATIENCE`].

#![allow(dead_code, reason = "each binary that includes this module uses a part of it")]

use std::{
    fs,
    io::{Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for a condition.
pub(crate) fn await_that<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < end, "still not: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The complete engine in C, compiled once.
pub(crate) fn engine() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let file =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("host-native.{}.so", std::process::id()));
        let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        let built = Command::new(cc)
            .args(["-std=c99", "-shared", "-fPIC", "-pthread", "-I"])
            .arg(root.join("include"))
            .arg("-o")
            .arg(&file)
            .arg(root.join("tests/engines/good/native.c"))
            .status();
        assert!(built.unwrap().success());
        file
    })
}

/// The program with its words; nothing of this process's environment that could matter.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gangway-host"));
    for name in ["FCGI_WEB_SERVER_ADDRS", "LISTEN_PID", "LISTEN_FDS", "NOTIFY_SOCKET", "JOURNAL_STREAM"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// A running gangway-host, ended with this value.
pub(crate) struct Host {
    child: Child,
    folder: tempfile::TempDir,
}

impl Host {
    /// Runs the engine in C with these options.
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_with(options, |_| {})
    }

    pub(crate) fn start_with(options: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = program();
        command.arg("--listen").arg(format!("unix:{}", folder.path().join("socket").display()));
        command.arg("native").arg(engine()).arg("env=GREETING=Moin").args(options);
        Self::launch(folder, command, change)
    }

    /// The same for words of the caller's, which make it listen at `socket` below the folder.
    pub(crate) fn launch(
        folder: tempfile::TempDir,
        mut command: Command,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let log = fs::File::create(folder.path().join("log")).unwrap();
        command.stderr(log);
        change(&mut command);
        let child = command.spawn().unwrap();
        let mut host = Self { child, folder };
        await_that("it listens", || {
            let ended = host.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended with {ended:?}: {}", host.log());
            UnixStream::connect(host.socket()).ok()
        });
        host
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::new(UnixStream::connect(self.socket()).unwrap())
    }

    /// One request on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> Response {
        let mut connection = self.connect();
        connection.send(&Request::new(path).bytes());
        connection.response()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        await_that("it ends", || self.child.try_wait().unwrap())
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The error is that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn record(kind: u8, id: u16, content: &[u8]) -> Vec<u8> {
    let (id, length) = (id.to_be_bytes(), u16::try_from(content.len()).unwrap().to_be_bytes());
    [&[1, kind, id[0], id[1], length[0], length[1], 0, 0], content].concat()
}

/// What a web server sends for one request.
#[derive(Clone)]
pub(crate) struct Request {
    id: u16,
    role: u8,
    keep: bool,
    variables: Vec<(String, String)>,
    body: Vec<u8>,
    is_whole: bool,
}

impl Request {
    pub(crate) fn new(path: &str) -> Self {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let variables = [
            ("REQUEST_METHOD", "GET"),
            ("SCRIPT_NAME", ""),
            ("PATH_INFO", path),
            ("QUERY_STRING", query),
            ("REQUEST_URI", path),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { id: 1, role: 1, keep: true, variables, body: Vec::new(), is_whole: true }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    pub(crate) fn id(mut self, id: u16) -> Self {
        self.id = id;
        self
    }

    pub(crate) fn role(mut self, role: u8) -> Self {
        self.role = role;
        self
    }

    pub(crate) fn closing(mut self) -> Self {
        self.keep = false;
        self
    }

    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    /// More of the body follows.
    pub(crate) fn unfinished(mut self) -> Self {
        self.is_whole = false;
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = record(1, self.id, &[0, self.role, u8::from(self.keep), 0, 0, 0, 0, 0]);
        let mut pairs = Vec::new();
        for (name, value) in &self.variables {
            for text in [name, value] {
                match u8::try_from(text.len()) {
                    Ok(length @ ..=127) => pairs.push(length),
                    _ => pairs.extend((u32::try_from(text.len()).unwrap() | 1 << 31).to_be_bytes()),
                }
            }
            pairs.extend([name.as_bytes(), value.as_bytes()].concat());
        }
        for part in pairs.chunks(60_000) {
            out.extend(record(4, self.id, part));
        }
        out.extend(record(4, self.id, b""));
        for part in self.body.chunks(30_000) {
            out.extend(record(5, self.id, part));
        }
        if self.is_whole {
            out.extend(record(5, self.id, b""));
        }
        out
    }
}

/// More of a body; none ends it.
pub(crate) fn more_body(bytes: &[u8]) -> Vec<u8> {
    record(5, 1, bytes)
}

pub(crate) fn abort() -> Vec<u8> {
    record(2, 1, b"")
}

pub(crate) fn management(kind: u8, content: &[u8]) -> Vec<u8> {
    record(kind, 0, content)
}

/// What came for a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) output: Vec<u8>,
    pub(crate) errors: String,
    /// The protocol status of FCGI_END_REQUEST; none: the connection was closed without it.
    pub(crate) end: Option<u8>,
}

impl Response {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }

    pub(crate) fn body(&self) -> String {
        self.text().split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned())
    }

    pub(crate) fn status(&self) -> u16 {
        let text = self.text();
        text.strip_prefix("Status: ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or_default()
    }
}

/// A web server's connection.
pub(crate) struct Connection(pub(crate) UnixStream);

impl Connection {
    pub(crate) fn new(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// Whether the host has read everything that was sent.
    pub(crate) fn is_read(&self) -> bool {
        gangway::sys::has_unread(self.0.as_raw_fd(), true) == Some(false)
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Response {
        self.send(&request.bytes());
        self.response()
    }

    /// The next record; none at the end.
    pub(crate) fn record(&mut self) -> Option<(u8, u16, Vec<u8>)> {
        let mut header = [0; 8];
        match self.0.read(&mut header) {
            Ok(0) => return None,
            Ok(count) => self.0.read_exact(&mut header[count..]).unwrap(),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("{error}"),
        }
        assert_eq!(header[0], 1);
        let mut content =
            vec![0; usize::from(u16::from_be_bytes([header[4], header[5]])) + usize::from(header[6])];
        self.0.read_exact(&mut content).unwrap();
        content.truncate(content.len() - usize::from(header[6]));
        Some((header[1], u16::from_be_bytes([header[2], header[3]]), content))
    }

    pub(crate) fn response(&mut self) -> Response {
        let mut response = Response::default();
        while let Some((kind, _, content)) = self.record() {
            match kind {
                6 => response.output.extend(content),
                7 => response.errors.push_str(&String::from_utf8_lossy(&content)),
                3 => {
                    response.end = Some(content[4]);
                    break;
                }
                other => panic!("a record of type {other}"),
            }
        }
        response
    }

    /// Whether the host has closed it.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.record().is_none()
    }
}
