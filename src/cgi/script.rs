// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which file of a path is the script.

use memchr::{memchr, memchr_iter};

/// What stands at a path below the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A regular file.
    File,
    /// A directory: the script may lie in it.
    Directory,
    /// Nothing, something else, or something that may not be looked at.
    Nothing,
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution<'p> {
    /// An existing script. The two parts together are the path.
    Script {
        /// SCRIPT_NAME, RFC 3875 §4.1.13: the path of the file below the root.
        script_name: &'p [u8],
        /// PATH_INFO, RFC 3875 §4.1.5: empty, or what follows from its `/` on.
        path_info: &'p [u8],
    },
    /// A script is asked for by name, and there is none: 404.
    NotFound,
    /// No part of the path has the name of a script.
    NotScript,
}

/// Finds the script of a decoded path: the first segment that ends in `.` and one of `suffixes` and is an existing
/// regular file. `look` says what stands at a path below the root; it follows the server's rules for symbolic links.
///
/// Everything is compared byte for byte: no other spelling of a suffix matches, and the place of the split is
/// one of this very path. A path that C would read in another way (NUL) or that leaves its folder (`..`) is not
/// found, whatever it names.
pub fn resolve<'p>(
    path: &'p [u8],
    suffixes: &[impl AsRef<[u8]>],
    mut look: impl FnMut(&'p [u8]) -> Entry,
) -> Resolution<'p> {
    if memchr(0, path).is_some() || leaves_folder(path) {
        return Resolution::NotFound;
    }
    let mut result = Resolution::NotScript;
    for end in segment_ends(path) {
        let Some((script_name, path_info)) = path.split_at_checked(end) else { break };
        if !suffixes.iter().any(|suffix| has_suffix(script_name, suffix.as_ref())) {
            continue;
        }
        match look(script_name) {
            Entry::File => return Resolution::Script { script_name, path_info },
            Entry::Directory => result = Resolution::NotFound,
            // Nothing lies below a file that is not there, so a long path costs no more than a short one.
            Entry::Nothing => return Resolution::NotFound,
        }
    }
    result
}

/// The ends of the segments of a path: each `/`, and the end.
fn segment_ends(path: &[u8]) -> impl Iterator<Item = usize> {
    memchr_iter(b'/', path).chain(std::iter::once(path.len()))
}

/// Whether a segment is `..`.
fn leaves_folder(path: &[u8]) -> bool {
    let mut begin = 0;
    segment_ends(path).any(|end| path.get(std::mem::replace(&mut begin, end + 1)..end) == Some(b".."))
}

fn has_suffix(name: &[u8], suffix: &[u8]) -> bool {
    name.strip_suffix(suffix).is_some_and(|stem| stem.ends_with(b"."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUFFIXES: [&str; 3] = ["php", "phtml", "phar"];

    /// A root with these files and the folders above them.
    fn entry(files: &[&str], path: &[u8]) -> Entry {
        let below = |file: &&&str| {
            file.as_bytes().starts_with(path) && file.as_bytes().get(path.len()) == Some(&b'/')
        };
        if files.iter().any(|file| file.as_bytes() == path) {
            Entry::File
        } else if files.iter().any(|file| below(&file)) {
            Entry::Directory
        } else {
            Entry::Nothing
        }
    }

    fn find<'p>(files: &[&str], path: &'p [u8]) -> Resolution<'p> {
        let found = resolve(path, &SUFFIXES, |path| entry(files, path));
        if let Resolution::Script { script_name, path_info } = found {
            assert_eq!([script_name, path_info].concat(), path);
            assert!(path_info.is_empty() || path_info.starts_with(b"/"));
            assert_eq!(entry(files, script_name), Entry::File);
        }
        found
    }

    #[test]
    fn scripts_are_split_from_what_follows() {
        let files = ["/x.php", "/a.phar", "/dir.php/x.php", "/dir/y.phtml", "/.php", "/x.php.php"];
        for (path, script, info) in [
            ("/x.php", "/x.php", ""),
            ("/x.php/", "/x.php", "/"),
            ("/x.php/a/b", "/x.php", "/a/b"),
            ("/x.php//x.php", "/x.php", "//x.php"),
            ("/x.php/a\nb", "/x.php", "/a\nb"),
            ("/a.phar/x.php", "/a.phar", "/x.php"),
            ("/dir.php/x.php/y.php", "/dir.php/x.php", "/y.php"),
            ("/dir/y.phtml/z", "/dir/y.phtml", "/z"),
            ("/.php/a", "/.php", "/a"),
            ("/x.php.php/a", "/x.php.php", "/a"),
        ] {
            let expected = Resolution::Script { script_name: script.as_bytes(), path_info: info.as_bytes() };
            assert_eq!(find(&files, path.as_bytes()), expected, "{path}");
        }
    }

    #[test]
    fn names_of_scripts_without_a_script_are_not_found() {
        let files = ["/up/photo.jpg", "/x.php", "/dir.php/readme"];
        for path in [
            "/up/photo.jpg/x.php",
            "/up/x.php",
            "/y.php",
            "/y.php/x.php",
            "/dir.php",
            "/dir.php/",
            "/dir.php/readme",
            "/dir.php/readme/x.php",
            "/photo.jpg \0.php",
            "/x.php\0",
            "/x.php\0.jpg",
            "/up/photo.jpg\0x",
            "/../x.php",
            "/up/../x.php",
            "/x.php/..",
            "/..",
        ] {
            assert_eq!(find(&files, path.as_bytes()), Resolution::NotFound, "{path:?}");
        }
    }

    #[test]
    fn other_paths_are_passed_on() {
        let files = ["/x.php", "/X.PHP", "/x.php5", "/xphp"];
        for path in [
            "",
            "/",
            "/a",
            "/a.html",
            "/X.PHP",
            "/x.php5",
            "/xphp",
            "/php",
            "/x.php.",
            "/x.php ",
            "/x.php%00",
            "/...",
        ] {
            assert_eq!(find(&files, path.as_bytes()), Resolution::NotScript, "{path:?}");
        }
    }

    /// CVE-2026-24895, CVE-2026-45062: no other spelling of a suffix, and no other length of a path.
    #[test]
    fn suffixes_are_compared_byte_for_byte() {
        for path in
            ["/x.PHP", "/x.Php", "/x．ｐｈｐ", "/x.ⓟⓗⓟ", "/x.ph\u{ff50}", "/x.php\u{301}", "/x\u{2024}php"]
        {
            assert_eq!(find(&[path], path.as_bytes()), Resolution::NotScript, "{path}");
        }
        for path in ["/Ⱥ.php/Ⱥ", "/ȺȺȺȺ.php/İ"] {
            let script = path.rsplit_once('/').unwrap().0;
            let expected = Resolution::Script {
                script_name: script.as_bytes(),
                path_info: &path.as_bytes()[script.len()..],
            };
            assert_eq!(find(&[script], path.as_bytes()), expected, "{path}");
        }
        assert_eq!(find(&["/\u{fffd}.php"], b"/\xff.php"), Resolution::NotFound);
    }

    #[test]
    fn a_long_path_costs_one_look() {
        let path = b"/x.php".repeat(1000);
        let mut looks = 0;
        let found = resolve(&path, &SUFFIXES, |_| {
            looks += 1;
            Entry::Nothing
        });
        assert_eq!((found, looks), (Resolution::NotFound, 1));
    }

    proptest::proptest! {
        /// Whatever the path, only an existing file with such a name is a script, and it is the first one.
        #[test]
        fn only_files_are_scripts(path in "(/(a|b\\.php|c\\.phar|\\.\\.|\\.php|d\\.php\\.|))*/?", file in "(/(a|b\\.php|c\\.phar)){1,3}") {
            match find(&[&file], path.as_bytes()) {
                Resolution::Script { script_name, .. } => proptest::prop_assert_eq!(script_name, file.as_bytes()),
                Resolution::NotFound => proptest::prop_assert!(path.contains(".ph") || path.contains("..")),
                Resolution::NotScript => {
                    let named = |segment: &str| segment.ends_with(".php") || segment.ends_with(".phar");
                    proptest::prop_assert!(!path.split('/').any(named));
                }
            }
        }
    }
}
