// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which file of a path is the script.

use crate::sys::files::Kind;

/// Where to look.
#[derive(Clone, Copy, Debug)]
pub struct MappedPath<'a> {
    /// The path in the file system: the root with the rest of the request's path behind it.
    pub path: &'a [u8],
    /// How many bytes of it are the root, which may itself name a script.
    pub root: usize,
    /// File names for a path that leads to a directory, in order.
    pub index: &'a [String],
}

/// What a path means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// A script.
    Script {
        /// Its path.
        file: Vec<u8>,
        /// Whether a run bit is set.
        executable: bool,
        /// How many bytes at the end of the request's path are PATH_INFO.
        info: usize,
        /// The file name of `index=` that belongs behind SCRIPT_NAME.
        index: Vec<u8>,
    },
    /// A directory whose path should end in `/`.
    NeedsSlash,
    /// Nothing that can be run: 404.
    Missing,
    /// Something that must not be run: 403.
    Forbidden,
}

/// Finds the script: RFC 3875 §4.1.13 with §4.1.5, split at the first part of the path that is a regular file. So an
/// upload `photo.jpg` is never taken for the directory of `photo.jpg/x.php` (CVE-2013-4547 and kin).
///
/// `look` says what stands at a path; it is asked as rarely as possible, and never for a path with `..` or NUL in it.
pub fn resolve(place: &MappedPath<'_>, mut look: impl FnMut(&[u8]) -> Kind) -> Resolved {
    let Some((root, below)) = place.path.split_at_checked(place.root) else { return Resolved::Missing };
    if !is_safe(below) {
        return Resolved::Missing;
    }
    let script = |file: &[u8], executable, index: &str| Resolved::Script {
        info: if index.is_empty() { place.path.len().saturating_sub(file.len()) } else { 0 },
        file: file.to_vec(),
        executable,
        index: index.as_bytes().to_vec(),
    };
    // Most paths name the script and nothing else.
    if !place.path.ends_with(b"/") && !below.is_empty() {
        match look(place.path) {
            Kind::File { executable } => return script(place.path, executable, ""),
            Kind::Directory => return index_or_slash(place, look),
            Kind::Other => return Resolved::Forbidden,
            Kind::Forbidden | Kind::Missing => {}
        }
    }
    let bare_root = root.strip_suffix(b"/").unwrap_or(root).len();
    let ends = (bare_root.max(1)..=place.path.len())
        .filter(|&end| end == place.path.len() || place.path.get(end) == Some(&b'/'));
    for end in ends {
        let part = place.path.get(..end).unwrap_or_default();
        if part.ends_with(b"/") && end > 1 {
            continue;
        }
        match look(part) {
            Kind::File { executable } => return script(part, executable, ""),
            Kind::Directory => {}
            Kind::Other | Kind::Forbidden => return Resolved::Forbidden,
            Kind::Missing => return Resolved::Missing,
        }
    }
    index_or_slash(place, look)
}

fn index_or_slash(place: &MappedPath<'_>, look: impl FnMut(&[u8]) -> Kind) -> Resolved {
    match find_index(place.path, place.index, look) {
        Some(_) if !place.path.ends_with(b"/") => Resolved::NeedsSlash,
        Some((file, name, executable)) => {
            Resolved::Script { file, executable, info: 0, index: name.as_bytes().to_vec() }
        }
        // A directory is not listed and not run.
        None => Resolved::Forbidden,
    }
}

/// The first of the names of `index=` that is a file in a directory: its path, the name, whether a run bit is set.
pub fn find_index<'n>(
    directory: &[u8],
    names: &'n [String],
    mut look: impl FnMut(&[u8]) -> Kind,
) -> Option<(Vec<u8>, &'n str, bool)> {
    let separator: &[u8] = if directory.ends_with(b"/") { b"" } else { b"/" };
    names.iter().find_map(|name| {
        let file = [directory, separator, name.as_bytes()].concat();
        let Kind::File { executable } = look(&file) else { return None };
        Some((file, name.as_str(), executable))
    })
}

/// Servers have taken `.` and `..` out of a path; what still has them, or a NUL, was smuggled in.
fn is_safe(path: &[u8]) -> bool {
    !path.contains(&0) && path.split(|byte| *byte == b'/').all(|part| part != b"." && part != b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &[&str] =
        &["/srv/cgi/env.cgi", "/srv/cgi/photo.jpg", "/srv/cgi/sub/index.cgi", "/usr/lib/git-http-backend"];

    fn look(path: &[u8]) -> Kind {
        let path = std::str::from_utf8(path).unwrap();
        assert!(!path.contains(".."), "{path}");
        let inside = |file: &str| file.starts_with(&format!("{}/", path.trim_end_matches('/')));
        match path {
            "/srv/cgi/pipe" => Kind::Other,
            "/srv/cgi/secret" => Kind::Forbidden,
            "/srv/cgi/empty" => Kind::Directory,
            _ if FILES.contains(&path) => Kind::File { executable: !path.ends_with(".jpg") },
            _ if FILES.iter().any(|file| inside(file)) => Kind::Directory,
            _ => Kind::Missing,
        }
    }

    fn find(root: &str, below: &str) -> Resolved {
        let path = [root, below].concat();
        let index = ["index.pl".to_owned(), "index.cgi".to_owned()];
        resolve(&MappedPath { path: path.as_bytes(), root: root.len(), index: &index }, look)
    }

    fn split(root: &str, below: &str) -> (String, usize, String) {
        match find(root, below) {
            Resolved::Script { file, info, index, .. } => {
                (String::from_utf8(file).unwrap(), info, String::from_utf8(index).unwrap())
            }
            other => panic!("{root}{below}: {other:?}"),
        }
    }

    #[test]
    fn the_first_regular_file_is_the_script() {
        for (root, below, file, info) in [
            ("/srv/cgi", "/env.cgi", "/srv/cgi/env.cgi", ""),
            ("/srv/cgi", "/env.cgi/", "/srv/cgi/env.cgi", "/"),
            ("/srv/cgi", "/env.cgi/a/b", "/srv/cgi/env.cgi", "/a/b"),
            ("/srv/cgi/", "env.cgi/a//b", "/srv/cgi/env.cgi", "/a//b"),
            ("/srv/cgi", "/env.cgi/photo.jpg", "/srv/cgi/env.cgi", "/photo.jpg"),
            ("/srv/cgi", "/photo.jpg/env.cgi", "/srv/cgi/photo.jpg", "/env.cgi"),
            ("/srv/cgi", "//env.cgi/x", "/srv/cgi//env.cgi", "/x"),
            ("/usr/lib/git-http-backend/", "a.git/info", "/usr/lib/git-http-backend", "/a.git/info"),
            ("/usr/lib/git-http-backend/", "", "/usr/lib/git-http-backend", "/"),
            ("/usr/lib/git-http-backend", "", "/usr/lib/git-http-backend", ""),
        ] {
            // The fake file system has no double slashes.
            let look = |path: &[u8]| {
                look(String::from_utf8_lossy(path).replace("//", "/").trim_end_matches('\0').as_bytes())
            };
            let path = [root, below].concat();
            let found = resolve(&MappedPath { path: path.as_bytes(), root: root.len(), index: &[] }, look);
            let Resolved::Script { file: got, info: length, .. } = found else { panic!("{path}: {found:?}") };
            assert_eq!((got.as_slice(), length), (file.as_bytes(), info.len()), "{path}");
        }
    }

    #[test]
    fn directories_need_an_index_and_a_slash() {
        assert_eq!(split("/srv/cgi", "/sub/"), ("/srv/cgi/sub/index.cgi".into(), 0, "index.cgi".into()));
        assert_eq!(find("/srv/cgi", "/sub"), Resolved::NeedsSlash);
        assert_eq!(find("/srv/cgi", "/empty/"), Resolved::Forbidden);
        assert_eq!(find("/srv/cgi", "/empty"), Resolved::Forbidden);
    }

    #[test]
    fn what_is_no_script_is_not_run() {
        assert_eq!(find("/srv/cgi", "/none"), Resolved::Missing);
        assert_eq!(find("/srv/cgi", "/none/env.cgi"), Resolved::Missing);
        assert_eq!(find("/srv/cgi", "/pipe"), Resolved::Forbidden);
        assert_eq!(find("/srv/cgi", "/pipe/x"), Resolved::Forbidden);
        assert_eq!(find("/srv/cgi", "/secret/x"), Resolved::Forbidden);
    }

    #[test]
    fn smuggled_paths_are_not_looked_at() {
        for below in ["/../cgi/env.cgi", "/sub/../env.cgi", "/./env.cgi", "/env.cgi\0.jpg", "/env.cgi/.."] {
            assert_eq!(find("/srv/cgi", below), Resolved::Missing, "{below:?}");
        }
        let place = MappedPath { path: b"/x", root: 9, index: &[] };
        assert_eq!(resolve(&place, look), Resolved::Missing);
    }
}
