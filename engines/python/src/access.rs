// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a user may not enter is there all the same: advice for a missing file would destroy it.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

/// How many links are followed, as the kernel counts them.
const LINKS: u32 = 40;

/// The folder on the way to `path`, or `path` itself, that this process may not enter.
pub(crate) fn closed(path: &Path) -> Option<PathBuf> {
    walk(path, LINKS)
}

fn walk(path: &Path, links: u32) -> Option<PathBuf> {
    let mut at = PathBuf::new();
    for component in path.components() {
        if !matches!(component, Component::RootDir | Component::Prefix(_)) {
            // With the dot it is a look into the folder, not at it.
            match fs::symlink_metadata(at.join(component).join(".")) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Some(behind(&at, &at.join(component), links));
                }
                _ => {}
            }
        }
        at.push(component);
    }
    None
}

/// `inner` leads to a closed folder, which is itself, or on the way to what it is a link to; `outer` is above it.
fn behind(outer: &Path, inner: &Path, links: u32) -> PathBuf {
    match fs::read_link(inner) {
        Ok(target) if links > 0 => walk(&outer.join(target), links - 1).unwrap_or_else(|| inner.to_owned()),
        _ => inner.to_owned(),
    }
}

/// The first of these that cannot be reached, by the folder that is closed.
pub(crate) fn first_closed<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Option<PathBuf> {
    paths.into_iter().find_map(closed)
}

/// What is to be done about a folder that is closed.
pub(crate) fn cure(folder: &Path) -> String {
    let shown = folder.display();
    format!(
        "the user of the server's workers may not enter {shown}; give that user the right to search it (chmod o+x \
         {shown}, or an ACL)"
    )
}

/// The advice for a file that could not be read.
pub(crate) fn advice(path: &Path, error: &io::Error) -> String {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return "check the path".to_owned();
    }
    closed(path)
        .map_or_else(|| "let the user of the server's workers read it".to_owned(), |folder| cure(&folder))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_folder_that_is_closed_is_named() {
        // SAFETY: it has no conditions.
        if unsafe { libc::geteuid() } == 0 {
            // Nothing is closed to root; the behaviour suite looks with a worker's eyes.
            return;
        }
        let dir = tempfile::tempdir().expect("temp dir");
        let root = fs::canonicalize(dir.path()).expect("exists");
        let shut = root.join("shut");
        fs::create_dir_all(shut.join("a/b")).expect("folder");
        fs::write(shut.join("a/file"), "").expect("file");
        symlink("shut/a", root.join("link")).expect("link");
        fs::set_permissions(&shut, fs::Permissions::from_mode(0o600)).expect("mode");
        for path in ["shut", "shut/a/b", "shut/a/file", "shut/none", "link", "link/b"] {
            assert_eq!(closed(&root.join(path)), Some(shut.clone()), "{path}");
        }
        assert_eq!(closed(&root.join("none/at/all")), None);
        fs::set_permissions(&shut, fs::Permissions::from_mode(0o700)).expect("mode");
        assert_eq!(closed(&root.join("shut/a/file")), None);
    }
}
