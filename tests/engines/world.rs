// SPDX-License-Identifier: MIT OR Apache-2.0
//! A server without a network: compiles engines, sends requests to them and looks at what comes back.
//!
//! Everything that waits does so for a condition, and panics after [`PATIENCE`].

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Condvar, Mutex, OnceLock},
    time::Duration,
};

use gangway::{
    config::{ApplicationConf, Parser},
    engine::{Interface, OptionDef, Target, Value},
    log::{self, Level, Sink},
    runtime::{Application, Runtime, Threads},
};

pub(crate) use crate::request::{Client, Request, get};

/// The longest wait for something that takes microseconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The lines of this process.
static LINES: Lines = Lines { lines: Mutex::new(Vec::new()), added: Condvar::new() };

struct Lines {
    lines: Mutex<Vec<String>>,
    added: Condvar,
}

impl Sink for &'static Lines {
    fn write(&self, _level: Level, line: &str) {
        self.lines.lock().unwrap().push(line.to_owned());
        self.added.notify_all();
    }
}

/// The lines of the process so far that hold `part`. Tests run side by side: `part` must name the test's own engine
/// or application.
pub(crate) fn lines_with(part: &str) -> Vec<String> {
    LINES.lines.lock().unwrap().iter().filter(|line| line.contains(part)).cloned().collect()
}

/// Waits for a line of the process that holds `part`.
pub(crate) fn await_line(part: &str) -> String {
    let found = |lines: &mut Vec<String>| !lines.iter().any(|line| line.contains(part));
    let lines = LINES.lines.lock().unwrap();
    let (lines, timeout) = LINES.added.wait_timeout_while(lines, PATIENCE, found).unwrap();
    let last = lines.len().saturating_sub(9);
    assert!(!timeout.timed_out(), "no line with {part:?}; the last ones are {:?}", &lines[last..]);
    lines.iter().find(|line| line.contains(part)).unwrap().clone()
}

/// Compiles `tests/engines/SOURCE.c` once and answers the file's name in [`directory`].
pub(crate) fn compile(source: &str) -> &'static str {
    static BUILT: OnceLock<Mutex<HashMap<String, &'static str>>> = OnceLock::new();
    let mut built = BUILT.get_or_init(Mutex::default).lock().unwrap();
    if let Some(file) = built.get(source) {
        return file;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let name = format!("{}.so", source.replace('/', "-"));
    let unfinished = directory().join(format!("{name}.{}", std::process::id()));
    let output = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".into()))
        .args([
            "-std=c99",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pedantic",
            "-shared",
            "-fPIC",
            "-pthread",
            "-g",
            "-I",
        ])
        .arg(root.join("include"))
        .arg("-o")
        .arg(&unfinished)
        .arg(root.join("tests/engines").join(source).with_extension("c"))
        .output()
        .expect("a C compiler");
    assert!(output.status.success(), "{source}: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::rename(&unfinished, directory().join(&name)).unwrap();
    let name = name.leak();
    built.insert(source.to_owned(), name);
    name
}

/// Where compiled engines are.
pub(crate) fn directory() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("engines");
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// The configuration of an application in the engine `file`.
pub(crate) fn config(file: &'static str, words: &[&str]) -> ApplicationConf {
    let option = |name, value| OptionDef { name, value, repeats: name == "env", default: "none" };
    let interface = Interface {
        name: "test",
        target: Target::Member("name"),
        target_form: "NAME:NAME",
        is_async: false,
        has_sockets: false,
        has_fields: false,
        forgets_head: false,
        options: vec![option("env", Value::Assignment), option("debug", Value::Switch)],
    };
    let engine = directory().join(file).into();
    let mut all: Vec<&[u8]> = vec![b"demo:app"];
    if words.first().is_some_and(|word| !word.contains('=')) {
        all.clear();
    }
    all.extend(words.iter().map(|word| word.as_bytes()));
    Parser { base: Path::new("/"), timeout: None }.application(&engine, &interface, &all).unwrap()
}

/// One server process.
pub(crate) struct World {
    runtime: Runtime,
}

impl World {
    pub(crate) fn new() -> Self {
        log::install(Box::new(&LINES));
        Self { runtime: Runtime::start(Threads::Own).unwrap() }
    }

    /// The application of `tests/engines/SOURCE.c` with these words: options, after the target if it matters.
    pub(crate) fn load(&self, source: &str, words: &[&str]) -> Arc<Application> {
        self.load_file(compile(source), words, Threads::Own)
    }

    /// The native handler of `tests/engines/SOURCE.c` with these words, as its directive reads them.
    pub(crate) fn load_native(&self, source: &str, words: &[&str]) -> Arc<Application> {
        let file = directory().join(compile(source));
        let mut all: Vec<&[u8]> = vec![file.to_str().unwrap().as_bytes()];
        all.extend(words.iter().map(|word| word.as_bytes()));
        let config = Parser { base: Path::new("/"), timeout: None }.native(&all).unwrap();
        self.load_config(&config, Threads::Own)
    }

    pub(crate) fn load_file(&self, file: &'static str, words: &[&str], threads: Threads) -> Arc<Application> {
        self.load_config(&config(file, words), threads)
    }

    pub(crate) fn load_config(&self, config: &ApplicationConf, threads: Threads) -> Arc<Application> {
        self.runtime.application(config, threads)
    }

    pub(crate) fn stop(&self, grace: Duration) {
        self.runtime.stop(grace);
    }

    /// Ends all applications, all of whose requests have ended.
    pub(crate) fn end(self) {
        self.runtime.stop(PATIENCE);
    }
}
