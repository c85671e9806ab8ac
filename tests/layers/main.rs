// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tree is the architecture: inside each crate the modules of a folder use each other in one direction, a type's name
//! means one thing, no file or function is too long to be read at once, and the core names no server and no language.
//!
//! At every level of a crate's module tree the siblings (a file, or a file with the folder of its children) must form no
//! circle by what they, or anything below them, name. A module and its own children may name each other: the parent
//! introduces them. What only tests use does not count.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod clocks;
mod doubles;
mod foreign;
mod graph;
mod names;
mod sizes;
mod tree;

use std::path::Path;

/// The crates of the workspace, by the file that each begins with.
const CRATES: [&str; 12] = [
    "src/lib.rs",
    "abi/src/lib.rs",
    "nginx-module/src/lib.rs",
    "apache-module/src/lib.rs",
    "apache-module/apxs/src/lib.rs",
    "apache-module/httpd/src/lib.rs",
    "apache-module/proxy/src/lib.rs",
    "engines/python/src/lib.rs",
    "engines/python/shared/src/lib.rs",
    "engines/python/runtime/src/lib.rs",
    "host/src/lib.rs",
    "command/src/lib.rs",
];

/// What is wrong with the crate of this root, a line for each circle.
fn circles_of(root: &Path) -> Vec<String> {
    let tree = tree::read(root);
    graph::circles(&names::uses(&tree))
}

#[test]
fn modules_use_each_other_in_one_direction() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for file in CRATES {
        let circles = circles_of(&root.join(file));
        found.extend(circles.into_iter().map(|line| format!("{file}: {line}")));
    }
    assert!(found.is_empty(), "circles:\n{}", found.join("\n"));
}

#[test]
fn a_type_name_means_one_thing_in_a_crate() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for file in CRATES {
        for (name, modules) in doubles::doubles(&tree::read(&root.join(file))) {
            found.push(format!("{file}: {name} stands in {}", modules.join(" and ")));
        }
    }
    assert!(found.is_empty(), "names with two meanings:\n{}", found.join("\n"));
}

#[test]
fn files_and_functions_can_be_read_at_once() {
    let found = sizes::too_long(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(found.is_empty(), "too long:\n{}", found.join("\n"));
}

#[test]
fn the_core_names_no_server_and_no_language() {
    let found = foreign::named(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"));
    assert!(found.is_empty(), "it belongs into an adapter, or comes from an engine:\n{}", found.join("\n"));
}

#[test]
fn no_deadline_hangs_on_the_time_of_day() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Who may, and what for. That of the server's log is local_time().
    let known = [
        ("src/lib.rs", "status::board", "when the server was started, for people"),
        ("src/lib.rs", "status::snapshot", "what time it is, for people"),
        ("src/lib.rs", "supervise::supervisor::app::figures", "when a generation failed, for people"),
        ("src/lib.rs", "sys::process", "what time it is, for the log"),
        ("host/src/lib.rs", "handlers", "a fact that handlers of requests may ask for"),
        ("host/src/lib.rs", "sys::standard", "what time it is, for the log"),
        (
            "engines/python/runtime/src/lib.rs",
            "app",
            "which files were written since, whose times are of that clock",
        ),
        ("engines/python/runtime/src/lib.rs", "failure", "the same"),
    ];
    let mut found = Vec::new();
    for file in CRATES {
        found.extend(clocks::readers(&root.join(file)).into_iter().map(|module| (file, module)));
    }
    let expected: Vec<_> = known.iter().map(|(file, module, _)| (*file, (*module).to_owned())).collect();
    let more: Vec<_> = found.iter().filter(|found| !expected.contains(found)).collect();
    let fewer: Vec<_> = expected.iter().filter(|known| !found.contains(known)).collect();
    assert!(more.is_empty() && fewer.is_empty(), "these as well: {more:?}; no more: {fewer:?}");
}

#[test]
fn the_crates_are_those_of_the_workspace() {
    let manifest = include_str!("../../Cargo.toml");
    let members = manifest.split_once("members = [").unwrap().1.split_once(']').unwrap().0;
    let members: Vec<_> = members.split('"').skip(1).step_by(2).collect();
    let known: Vec<_> =
        CRATES.iter().map(|file| file.strip_suffix("src/lib.rs").unwrap().trim_end_matches('/')).collect();
    assert_eq!(known, members.iter().map(|name| name.trim_start_matches('.')).collect::<Vec<_>>());
}

/// A crate in a folder of its own: file names and what is in them.
fn crate_of(files: &[(&str, &str)]) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let root = folder.path().join("lib.rs");
    (folder, root)
}

#[test]
fn a_circle_is_found_with_its_names() {
    for (names, how) in [
        ("use crate::b::B; pub struct A;", "a use"),
        ("pub struct A; fn f() -> crate::b::B { todo() }", "a path"),
        ("pub struct A; fn f() { g!(x, crate::b::B) }", "a macro"),
        ("use super::b; pub struct A;", "a module"),
        ("use crate::{b::{B as X}}; pub struct A;", "a tree of names"),
    ] {
        let files =
            [("lib.rs", "mod a; mod b;"), ("a.rs", names), ("b.rs", "use crate::a::A; pub struct B;")];
        let (_folder, root) = crate_of(&files);
        let found = circles_of(&root);
        assert_eq!(found.len(), 1, "{how}: {found:?}");
        assert!(found[0].contains("a -> b -> a"), "{how}: {found:?}");
        assert!(found[0].contains("a uses b::B") || found[0].contains("a uses b"), "{how}: {found:?}");
    }
}

#[test]
fn a_circle_through_the_parents_list_of_names_is_one_too() {
    let files = [
        ("lib.rs", "mod raw; mod serve;"),
        ("raw/mod.rs", "mod a; mod b; pub use a::A; pub use b::*;"),
        ("raw/a.rs", "use super::B; pub struct A;"),
        ("raw/b.rs", "use crate::raw::A; pub struct B;"),
        ("serve.rs", "use crate::raw::{A, B};"),
    ];
    let (_folder, root) = crate_of(&files);
    let found = circles_of(&root);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("raw::a -> raw::b -> raw::a"), "{found:?}");
}

#[test]
fn a_circle_between_folders_is_one_although_no_file_is_in_it() {
    let files = [
        ("lib.rs", "mod x; mod y;"),
        ("x/mod.rs", "mod one; mod two;"),
        ("x/one.rs", "use crate::y::one::Y; pub struct X;"),
        ("x/two.rs", "pub struct Z;"),
        ("y/mod.rs", "pub mod one; mod two;"),
        ("y/one.rs", "pub struct Y;"),
        ("y/two.rs", "use crate::x::two::Z;"),
    ];
    let (_folder, root) = crate_of(&files);
    let found = circles_of(&root);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("x -> y -> x"), "{found:?}");
}

#[test]
fn parents_children_tests_and_other_crates_make_no_circle() {
    let files = [
        ("lib.rs", "mod a; mod b; pub struct Top; #[cfg(test)] mod tests;"),
        (
            "a.rs",
            "use crate::Top; mod child; pub struct A; use child::C; use b::B; #[cfg(test)] mod tests { use crate::b::B; }",
        ),
        ("a/child.rs", "use super::A; use std::a::X; pub struct C;"),
        ("b.rs", "use crate::a::A; pub struct B;"),
        ("tests.rs", "use crate::a::A;"),
    ];
    let (_folder, root) = crate_of(&files);
    assert_eq!(circles_of(&root), Vec::<String>::new());
}

#[test]
fn a_double_is_found_with_its_modules() {
    let files = [
        ("lib.rs", "mod a; mod b; #[cfg(test)] mod tests { struct Other; }"),
        ("a.rs", "pub struct Place; pub struct Other;"),
        ("b.rs", "mod child; trait One { type Item; }"),
        ("b/child.rs", "enum Place { One } trait Two { type Item; }"),
    ];
    let (_folder, root) = crate_of(&files);
    let found = doubles::doubles(&tree::read(&root));
    assert_eq!(found, [("Place".to_owned(), vec!["a".to_owned(), "b::child".to_owned()])].into());
}

#[test]
fn what_is_too_long_is_named() {
    let body = |lines: usize| "    x();\n".repeat(lines);
    let text =
        |lines| format!("/// Docs.\n#[inline]\nfn f() {{\n{}}}\nimpl A {{ fn g() {{}} }}\n", body(lines));
    assert_eq!(sizes::too_long_in("a.rs", &text(58)), Vec::<String>::new());
    assert_eq!(sizes::too_long_in("a.rs", &text(59)), ["a.rs: f() has 61 lines, more than 60"]);
    let tests = format!("#[cfg(test)]\nmod tests {{ fn f() {{\n{}}} }}\n", body(100));
    assert_eq!(sizes::too_long_in("a.rs", &tests), Vec::<String>::new());
    let within = format!("trait A {{ fn h() {{\n{}}} }}\n", body(500));
    let found = sizes::too_long_in("a.rs", &within);
    assert_eq!(found, ["a.rs: 502 lines, more than 450", "a.rs: h() has 502 lines, more than 60"]);
}

#[test]
fn what_is_too_long_in_other_languages_is_named() {
    let lines = |line: &str, count| format!("{line}\n").repeat(count);
    for count in [57, 58] {
        let python = format!(
            "class A:\n    async def f(\n        self,\n    ):\n{}\n\n    def g(self):\n        pass\n",
            lines("        x()", count)
        );
        let text = format!("def f():\n    x(\"\"\"\n{}    \"\"\")\n\n\ny()\n", lines("in a text", count));
        let shell = format!("f() {{\n{}}}\ng() {{ x; }}\n", lines("    x", count + 1));
        for (name, source) in [("a.py", python), ("a.py", text), ("a.sh", shell)] {
            let long = (count > 57).then(|| format!("{name}: f() has 61 lines, more than 60"));
            assert_eq!(sizes::too_long_in(name, &source), Vec::from_iter(long), "{source}");
        }
    }
}

#[test]
fn what_the_core_must_not_name_is_found() {
    for (text, found) in [
        ("pub struct PythonWords;", vec!["PythonWords"]),
        ("fn f() { ngx_log(1) }", vec!["ngx_log"]),
        ("fn f() { println!(\"a Python\") }", vec!["\"a Python\""]),
        ("#[error(\"no perl\")] pub struct Known;", vec!["\"no perl\""]),
        ("const A: &[u8] = b\"python=\"; const B: &CStr = c\"wsgi\";", vec!["python=", "wsgi"]),
        ("/// Python has it.\nfn f() { april(\"uwsgi\") } #[cfg(test)] mod tests { fn python() {} }", vec![]),
        ("impl A { #[cfg(test)] fn python() {} }", vec![]),
    ] {
        let (_folder, root) = crate_of(&[("lib.rs", text)]);
        let expected: Vec<_> = found.into_iter().map(|name| format!(": {name}")).collect();
        assert_eq!(foreign::named(&root), expected, "{text}");
    }
}
