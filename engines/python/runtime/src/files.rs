// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which files an application was loaded from, for a supervisor that is to know when they change.

use std::{
    ffi::OsString,
    io::{self, Write},
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::OnceLock,
};

use pyo3::prelude::*;

use crate::{
    cold::Cold,
    text::{file_name, optional_file_name},
};

/// The variable by which a supervisor asks; docs/processes.md has the lines.
const ASKED: &str = "GANGWAY_REPORT_FILES";
static IS_ASKED: OnceLock<bool> = OnceLock::new();
/// Longer lines would be cut where they are read.
const LONGEST: usize = 1000;

/// Whether somebody asks is looked at before an application is loaded, which does not see the variable.
pub(crate) fn take_question(py: Python<'_>) {
    IS_ASKED.get_or_init(|| {
        let taken = py.import("os").and_then(|os| {
            os.getattr("environ")?.call_method1("pop", (ASKED, py.None())).map(|value| !value.is_none())
        });
        taken.unwrap_or(false)
    });
}

/// Says which files those are, if somebody has asked. `before` are the modules that were there already.
pub(crate) fn report(py: Python<'_>, module: &str, root: Option<&Path>, before: &Bound<'_, PyAny>) {
    if !is_asked() {
        return;
    }
    let files = Cold::get(py).function(py, "own_files").and_then(|function| {
        function.call1((before, file_name(py, module.as_bytes())?, optional_file_name(py, root)?))
    });
    // Without them the application is replaced when somebody says so.
    if let Ok(files) = files.and_then(|files| files.extract::<Vec<OsString>>()) {
        say(&files);
    }
}

/// Says which files took part in an attempt that failed.
pub(crate) fn report_failed(files: &[OsString]) {
    if is_asked() {
        say(files);
    }
}

fn is_asked() -> bool {
    IS_ASKED.get().copied().unwrap_or(false)
}

fn say(files: &[OsString]) {
    for file in files.iter().map(|file| file.as_bytes()) {
        if file.len() <= LONGEST && !file.contains(&b'\n') {
            let _ = io::stderr().write_all(&[b"\x01file ", file, b"\n"].concat());
        }
    }
}
