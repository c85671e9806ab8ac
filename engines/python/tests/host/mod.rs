// SPDX-License-Identifier: MIT OR Apache-2.0
//! A host of include/gangway.h in memory: it keeps the contract and notes every breach of it by the engine.

#![allow(dead_code, unused_imports, reason = "each binary that includes this module uses a part of it")]

mod calls;
mod engine;
pub(crate) mod pythons;
mod request;

pub(crate) use calls::{HOST, Table};
pub(crate) use engine::{App, Engine, Spec};
pub(crate) use request::{Answer, Request, Wish};

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

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

fn note_line(level: u32, line: String) {
    lock(&LOG).push((level, line));
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
