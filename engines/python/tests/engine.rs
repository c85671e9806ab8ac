// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs WSGI applications through the real engine under every libpython of the machine.
//!
//! A process runs one Python, so this binary starts itself again: once per Python for the scenarios that can share
//! a process, and once per scenario for those that cannot. It builds both shared objects itself. Arguments are
//! parts of scenario names; GANGWAY_TEST_PYTHONS names the Pythons; GANGWAY_TEST_LOG shows the log lines.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod host;
mod scenarios;

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use scenarios::{ALONE, SHARED, Scenario, World};

const CHILD: &str = "GANGWAY_TEST_CHILD";

fn main() -> ExitCode {
    let names: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if env::args().any(|argument| argument == "--list") {
        SHARED.iter().chain(ALONE).for_each(|scenario| println!("{}: test", scenario.0));
        return ExitCode::SUCCESS;
    }
    match env::var_os(CHILD) {
        Some(folder) => child(Path::new(&folder), &names),
        None => parent(&names),
    }
}

fn parent(names: &[String]) -> ExitCode {
    let folder = tempfile::tempdir().expect("temp dir");
    host::build_engine(folder.path());
    let pythons = host::pythons::found();
    assert!(
        !pythons.is_empty(),
        "no Python with a shared library was found; install libpython3.11 or set GANGWAY_TEST_PYTHONS"
    );
    let wanted = |scenario: &&Scenario| {
        names.is_empty() || names.iter().any(|name| scenario.0.contains(name.as_str()))
    };
    let shared: Vec<&str> = SHARED.iter().filter(wanted).map(|scenario| scenario.0).collect();
    let mut failed = 0;
    for python in &pythons {
        println!("python={}", python.display());
        if !shared.is_empty() {
            failed += u32::from(!start(folder.path(), python, &shared));
        }
        for scenario in ALONE.iter().filter(wanted) {
            failed += u32::from(!start(folder.path(), python, &[scenario.0]));
        }
    }
    println!("{} Pythons, {failed} failed processes", pythons.len());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn start(folder: &Path, python: &Path, names: &[&str]) -> bool {
    let status = Command::new(env::current_exe().expect("own path"))
        .args(names)
        .env(CHILD, folder)
        .env("GANGWAY_TEST_PYTHON", python)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("LANG")
        .env_remove("LC_ALL")
        .status()
        .expect("the test binary starts again");
    if !status.success() {
        println!("  process for {names:?} ended with {status}");
    }
    status.success()
}

fn child(folder: &Path, names: &[String]) -> ExitCode {
    let world =
        World::new(folder, PathBuf::from(env::var_os("GANGWAY_TEST_PYTHON").expect("set by the parent")));
    let mut failed = false;
    for scenario in SHARED.iter().chain(ALONE).filter(|scenario| names.iter().any(|name| name == scenario.0))
    {
        let outcome = catch_unwind(AssertUnwindSafe(|| (scenario.1)(&world)));
        let breaches = host::take_breaches();
        if outcome.is_err() || !breaches.is_empty() {
            failed = true;
            println!("  FAILED {}", scenario.0);
            breaches.iter().for_each(|breach| println!("    breach of the contract: {breach}"));
        } else {
            println!("  ok {}", scenario.0);
        }
    }
    world.end();
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
