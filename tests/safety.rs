// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every SAFETY line names the fact and who guarantees it: none only points to another line, or to somebody who "vouches".

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What a line that names nothing says, and nothing else.
const RELAYS: [&str; 13] = [
    "as above",
    "see above",
    "the same",
    "the caller vouches",
    "the caller vouches for it",
    "the caller's guarantee",
    "the caller's word",
    "the caller's duty",
    "the caller's promise",
    "the caller's promises",
    "live request",
    "a live connection",
    "by contract",
];

/// The sources below a folder, without what cargo and git keep there.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && !["target", "build", "dist"].contains(&name.as_str()) {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The texts after `SAFETY:` with the lines that go on with them, and the numbers of their lines.
fn reasons(source: &str) -> Vec<(usize, String)> {
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    let starts =
        lines.iter().enumerate().filter_map(|(at, line)| Some((at, line.strip_prefix("// SAFETY:")?)));
    starts
        .map(|(at, first)| {
            let goes_on = |line: &&&str| !line.starts_with("// SAFETY:");
            let rest = lines[at + 1..].iter().take_while(goes_on).map_while(|line| line.strip_prefix("// "));
            let text = std::iter::once(first).chain(rest).map(str::trim).collect::<Vec<_>>().join(" ");
            (at + 1, text)
        })
        .collect()
}

fn names_nothing(reason: &str) -> bool {
    RELAYS.contains(&reason.trim_end_matches('.').to_lowercase().as_str())
        || ["as for ", "as in "].iter().any(|start| reason.starts_with(start) && reason.len() < 60)
        || reason.starts_with("as above")
}

#[test]
fn safety_lines_name_their_fact() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(root, &mut files);
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in files {
        for (line, reason) in reasons(&fs::read_to_string(&file).unwrap()) {
            seen += 1;
            if names_nothing(&reason) {
                wrong.push(format!("{}:{line}: {reason}", file.strip_prefix(root).unwrap().display()));
            }
        }
    }
    assert!(seen > 500, "only {seen} SAFETY lines: this test looks at the wrong folder");
    assert!(wrong.is_empty(), "SAFETY lines that name no fact:\n{}", wrong.join("\n"));
}

#[test]
fn relays_are_known() {
    let source = "// SAFETY: as above.\n// SAFETY: the bytes live\n// for the call.\nlet x = 1; // no more\n";
    let found = reasons(source);
    assert_eq!(found, [(1, "as above.".into()), (2, "the bytes live for the call.".into())]);
    assert!(names_nothing(&found[0].1) && !names_nothing(&found[1].1));
    assert!(
        names_nothing("As above")
            && names_nothing("as for enter().")
            && names_nothing("The caller vouches for it.")
    );
}
