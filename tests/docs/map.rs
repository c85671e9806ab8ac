// SPDX-License-Identifier: MIT OR Apache-2.0
//! The map of the code and the pages on how to add something are true: folders, files and the names in them.

use std::{fs, path::Path};

use super::{paths, section};

/// The text of a file, or of all files below a folder.
fn text_of(path: &Path) -> String {
    if path.is_dir() {
        return fs::read_dir(path).unwrap().map(|entry| text_of(&entry.unwrap().path())).collect();
    }
    String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
}

/// A name of the sources between backticks, without what leads to it and what it is called with.
fn name_of(word: &str) -> Option<&str> {
    let name = word.split(['(', '<', ' ', '\n']).next().unwrap().trim_end_matches(':');
    let name = name.rsplit([':', '.']).next().unwrap();
    (!word.contains('/') && !name.is_empty()).then_some(name)
}

#[test]
fn names_in_contributing_stand_in_the_files_that_it_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directives: String = ["nginx-module", "apache-module"]
        .iter()
        .map(|crate_| text_of(&root.join(crate_).join("src/directives")))
        .collect();
    let text = section(include_str!("../../CONTRIBUTING.md"), "## How to add ...");
    let mut found = 0;
    for entry in text.split("\n\n**").skip(1) {
        let files: String = paths(entry).into_iter().map(|path| text_of(&root.join(path))).collect();
        for name in entry.split('`').skip(1).step_by(2).filter_map(name_of) {
            let is_name =
                |text: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name);
            assert!(
                is_name(&files) || is_name(&directives),
                "no file of \"{}\" has {name}",
                entry.lines().next().unwrap()
            );
            found += 1;
        }
    }
    assert!(found > 25, "{found}");
}

/// Folders of the repository, those of the core and of the server modules, and the core's files.
#[test]
fn each_folder_stands_in_the_map() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = include_str!("../../docs/architecture.md");
    let mut found = 0;
    for of in ["", "src", "nginx-module/src", "apache-module/src"] {
        for entry in fs::read_dir(root.join(of)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_made = name.starts_with('.') || ["target", "build", "dist"].contains(&name);
            let is_core = of == "src" && !["lib.rs", "runtime.rs", "fuzzing.rs"].contains(&name);
            if path.is_dir() && !is_made || is_core {
                let path = path.strip_prefix(root).unwrap().to_str().unwrap();
                assert!(map.contains(&format!("`{path}")), "docs/architecture.md says nothing of {path}");
                found += 1;
            }
        }
    }
    assert!(found > 45, "{found}");
}

#[test]
fn the_map_stays_a_map() {
    let lines = include_str!("../../docs/architecture.md").lines().count();
    assert!(
        lines <= 150,
        "docs/architecture.md has {lines} lines; what is a reason belongs into docs/decisions/"
    );
}
