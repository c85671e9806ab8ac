// SPDX-License-Identifier: MIT OR Apache-2.0
//! A server with the program, the engine of Python and the application of these tests.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use gangway::{
    config::{Engines, Managed, Parser, Placed},
    supervise::segment::SlotState,
};

use crate::{
    harness::{Server, until},
    world::{Connection, Request, Response},
};

static INSTALLED: OnceLock<PathBuf> = OnceLock::new();

/// The program and the engine where every user can reach them, until this process ends.
fn installed() -> &'static Path {
    extern "C" fn remove() {
        if let Some(folder) = INSTALLED.get() {
            let _ = fs::remove_dir_all(folder);
        }
    }
    INSTALLED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap().keep();
        // SAFETY: the function lives as long as the process.
        unsafe { libc::atexit(remove) };
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_gangway-host"));
        let built = program.parent().unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "-p", "gangway-python", "-p", "gangway-python-runtime"]);
        if built.ends_with("release") {
            cargo.arg("--release");
        }
        cargo.arg("--target-dir").arg(built.parent().unwrap());
        assert!(cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
        for name in ["gangway_python.so", "gangway_python_abi3.so"] {
            fs::copy(built.join(format!("lib{name}")), folder.join(name)).unwrap();
        }
        fs::copy(program, folder.join("gangway-host")).unwrap();
        folder
    })
}

pub(crate) fn server() -> Server {
    let server = Server::with_host(installed().join("gangway-host"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/template/app.py");
    fs::copy(source, server.folder.path().join("app.py")).unwrap();
    server
}

/// The application with these words more.
pub(crate) fn application(server: &Server, words: &[&str]) -> Managed {
    placed(server, words).unwrap()
}

pub(crate) fn placed(server: &Server, words: &[&str]) -> Result<Managed, String> {
    let mut engines = Engines::new();
    engines.name_directory(Path::new("/"), installed().as_os_str().as_encoded_bytes()).unwrap();
    let root = format!("root={}", server.folder.path().display());
    let mut first = vec!["app:application", &root];
    if !words.iter().any(|word| word.starts_with("name=")) {
        first.push("name=blog");
    }
    if !words.iter().any(|word| ["processes=", "user=", "preload="].iter().any(|key| word.starts_with(key))) {
        first.push("processes=1");
    }
    let words: Vec<&[u8]> = first.iter().chain(words).map(|word| word.as_bytes()).collect();
    let parser = Parser { base: Path::new("/"), timeout: None };
    match parser.placed_interface(&mut engines, "wsgi", &words) {
        Ok(Placed::Managed(managed)) => Ok(*managed),
        Ok(Placed::InProcess(_)) => Err("in process".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// A server with one application.
pub(crate) fn serving(words: &[&str]) -> Server {
    let mut server = server();
    let managed = application(&server, words);
    server.configure_managed(&[managed]);
    server
}

/// What the process of a slot answers.
pub(crate) fn answer(server: &Server, app: usize, slot: u16) -> Response {
    let stream = UnixStream::connect(server.segment(app).socket_path(slot)).unwrap();
    let mut connection = Connection::new(stream);
    connection.ask(&Request::new("/"))
}

/// What a process says of itself.
pub(crate) struct Facts(String);

impl Facts {
    /// Of all processes that are ready.
    pub(crate) fn of(server: &Server, app: usize) -> Vec<Self> {
        let ready = server.slots(app, SlotState::Ready);
        ready.iter().map(|slot| Self(answer(server, app, *slot).body())).collect()
    }

    /// Of the only one, when it is another one than before.
    pub(crate) fn of_another(server: &Server, before: u32) -> Self {
        until("another process is ready", || {
            let now = server.pids(0, SlotState::Ready);
            now.len() == 1 && now[0] != before && now[0] != 0
        });
        Self::of(server, 0).remove(0)
    }

    pub(crate) fn text(&self, key: &str) -> &str {
        let start = format!("\"{key}\": ");
        let rest = self.0.split_once(&start).unwrap_or_else(|| panic!("{key}: {}", self.0)).1;
        let end = match rest.as_bytes()[0] {
            b'[' => rest.find(']').unwrap() + 1,
            b'{' => rest.find('}').unwrap() + 1,
            _ => rest.find([',', '}']).unwrap(),
        };
        &rest[..end]
    }

    pub(crate) fn number(&self, key: &str) -> u32 {
        self.text(key).parse().unwrap()
    }
}
