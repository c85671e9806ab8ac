// SPDX-License-Identifier: MIT OR Apache-2.0
//! The Pythons of this machine that have a shared library: the values of `python=` to test with.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Prefixes or programs, each of another Python; GANGWAY_TEST_PYTHONS (separated by colons) overrides the search.
pub(crate) fn found() -> Vec<PathBuf> {
    if let Some(list) = env::var_os("GANGWAY_TEST_PYTHONS").filter(|list| !list.is_empty()) {
        return env::split_paths(&list).collect();
    }
    let mut found = Vec::new();
    for minor in 9..30 {
        found.extend(
            [format!("/usr/bin/python3.{minor}").into()].into_iter().filter(|path: &PathBuf| path.exists()),
        );
    }
    let home = env::var_os("HOME").unwrap_or_default();
    let pyenv = env::var_os("PYENV_ROOT").map_or_else(|| Path::new(&home).join(".pyenv"), PathBuf::from);
    let mut prefixes: Vec<_> = fs::read_dir(pyenv.join("versions"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    prefixes.sort();
    prefixes.retain(|prefix| {
        let libraries = fs::read_dir(prefix.join("lib")).into_iter().flatten().flatten();
        libraries.map(|entry| entry.file_name().to_string_lossy().into_owned()).any(|name| {
            let minor =
                name.strip_prefix("libpython3.").and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
            minor.is_some_and(|minor| minor >= 9)
        })
    });
    found.extend(prefixes);
    found
}
