// SPDX-License-Identifier: MIT OR Apache-2.0
//! The handler in Rust of docs/abi.md, compiled as it stands there. That in C is compiled by tests/behaviour/native.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use gangway::{config::Parser, runtime::Threads};

use crate::world::{World, directory, get};

/// The libraries of gangway-abi that cargo has made beside this test, the last one first.
fn libraries() -> Vec<PathBuf> {
    let test = std::env::current_exe().unwrap();
    let files = std::fs::read_dir(test.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let is_library = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("libgangway_abi-") && name.ends_with(".rlib")
    };
    let mut libraries: Vec<_> = files.filter(is_library).collect();
    libraries.sort_by_key(|path| std::cmp::Reverse(path.metadata().unwrap().modified().unwrap()));
    libraries
}

fn compile(source: &Path, target: &Path) -> Result<(), String> {
    let mut errors = String::new();
    for library in libraries() {
        let output = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into()))
            .args(["--edition=2024", "--crate-type=cdylib", "--crate-name=handler", "-Dwarnings", "--extern"])
            .arg(format!("gangway_abi={}", library.display()))
            .arg("-o")
            .args([target, source])
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        errors.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    Err(errors)
}

#[test]
fn the_handler_in_rust_compiles_and_answers() {
    let page = include_str!("../../docs/abi.md");
    let (_, text) = page.split_once("```rust\n").unwrap();
    let source = directory().join("documented.rs");
    std::fs::write(&source, text.split("```").next().unwrap()).unwrap();
    let target = directory().join("documented-rust.so");
    compile(&source, &target).unwrap();
    let word = target.display().to_string();
    let parser = Parser { base: Path::new("/"), timeout: None };
    let world = World::new();
    let app = world.load_config(&parser.native(&[word.as_bytes()]).unwrap(), Threads::Own);
    assert_eq!(get("/").answer(&app).text(), "Hello from Rust\n");
    world.end();
}
