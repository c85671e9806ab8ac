// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether a path leads php-fpm to the script that it names.
//!
//! With `cgi.fix_pathinfo`, PHP runs the first file that it finds on its way up from the end of a path: for
//! `/up/photo.jpg/x.php` that is the photo. So a path with the name of a script in it is sent on only if there is such
//! a file. mod_proxy's URLs need not be paths of this machine; those that clearly are not are not looked at.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use gangway::cgi::script::{Entry, Resolution, resolve};

const SUFFIXES: [&[u8]; 3] = [b"php", b"phtml", b"phar"];

/// The path of a canonical URL: what follows its host.
pub(crate) fn path_of(url: &[u8]) -> &[u8] {
    let place = after(url, b"://").unwrap_or_default();
    place.iter().position(|byte| *byte == b'/').and_then(|at| place.get(at..)).unwrap_or_default()
}

fn after<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    let at = bytes.windows(mark.len()).position(|part| part == mark)?;
    bytes.get(at + mark.len()..)
}

/// SCRIPT_FILENAME for backends that do not know a canonical URL as it is; `None`: it stays. `generic`: the backend is
/// not php-fpm, which takes fcgi:// and its host away by itself, and behaves as it does behind httpd when it is there.
pub(crate) fn script_filename(url: &[u8], generic: bool, query: &[u8]) -> Option<Vec<u8>> {
    let own = url.strip_prefix(b"proxy:gangway+");
    let is_balancer = url.starts_with(b"proxy:balancer://");
    if !is_balancer && !generic {
        return own.map(|rest| [b"proxy:", rest].concat());
    }
    if !is_balancer && own.is_none() && !url.starts_with(b"proxy:fcgi://") {
        return None;
    }
    let path = path_of(url);
    // A query that was appended to the name (nocanon) is the backend's QUERY_STRING, not a part of a file.
    let cut = path.iter().position(|byte| *byte == b'?').filter(|_| generic && !query.is_empty());
    let cut = cut.filter(|at| path.get(at + 1..) == Some(query));
    path.get(..cut.unwrap_or(path.len())).map(<[u8]>::to_vec)
}

/// Whether the backend may be asked for this path. `known` is a regular file, or empty.
pub(crate) fn may_run(path: &[u8], suffixes: Option<&[impl AsRef<[u8]>]>, known: &[u8]) -> bool {
    let look = |path: &[u8]| if path == known { Entry::File } else { look(path) };
    let resolution = match suffixes {
        Some(suffixes) => resolve(path, suffixes, look),
        None => resolve(path, &SUFFIXES, look),
    };
    match resolution {
        Resolution::Script { .. } | Resolution::NotScript => true,
        Resolution::NotFound => !is_local(path),
    }
}

/// Whether a segment of the path has the name of a script.
pub(crate) fn names_script(path: &[u8], suffixes: Option<&[impl AsRef<[u8]>]>) -> bool {
    let nothing = |_| Entry::Nothing;
    let resolution = match suffixes {
        Some(suffixes) => resolve(path, suffixes, nothing),
        None => resolve(path, &SUFFIXES, nothing),
    };
    resolution == Resolution::NotFound
}

/// Whether the path is one of this machine's file system: its first directory exists here. A script directly
/// below `/` is none that anybody serves.
fn is_local(path: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(b"/") else { return true };
    let Some(end) = rest.iter().position(|byte| *byte == b'/') else { return false };
    end == 0 || path.get(..=end).is_some_and(|first| look(first) == Entry::Directory)
}

fn look(path: &[u8]) -> Entry {
    match std::fs::metadata(Path::new(OsStr::from_bytes(path))) {
        Ok(found) if found.is_file() => Entry::File,
        Ok(found) if found.is_dir() => Entry::Directory,
        Ok(_) | Err(_) => Entry::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_taken_away_where_no_backend_expects_them() {
        for (url, generic, query, path) in [
            ("proxy:balancer://pool/srv/a.php", false, "", Some("/srv/a.php")),
            ("proxy:fcgi://h:9000/srv/a.php", false, "", None),
            ("proxy:fcgi://h:9000/srv/a.php", true, "", Some("/srv/a.php")),
            ("proxy:gangway+fcgi://h:9000/srv/a.php", true, "", Some("/srv/a.php")),
            ("proxy:gangway+fcgi://h/srv/a.php", false, "", Some("proxy:fcgi://h/srv/a.php")),
            ("proxy:fcgi://h/srv/a.php?x=1", true, "x=1", Some("/srv/a.php")),
            ("proxy:fcgi://h/srv/a.php?x=1", true, "x=2", Some("/srv/a.php?x=1")),
            ("proxy:balancer://b/a?x=1", false, "x=1", Some("/a?x=1")),
            ("/srv/a.php", true, "", None),
        ] {
            let found = script_filename(url.as_bytes(), generic, query.as_bytes());
            assert_eq!(found, path.map(|path| path.as_bytes().to_vec()), "{url}");
        }
        assert_eq!(path_of(b"proxy:fcgi://h"), b"");
    }

    #[test]
    fn only_existing_scripts_are_run() {
        let folder = std::env::temp_dir().join(format!("gangway-script-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["a.php", "photo.jpg"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        let base = folder.to_str().unwrap();
        let runs = |rest: &str| may_run(format!("{base}{rest}").as_bytes(), None::<&[&[u8]]>, b"");
        for good in ["/a.php", "/a.php/info", "/a.php/a\nb", "/a.php/b.php", "/photo.jpg", "/nothing", ""] {
            assert!(runs(good), "{good:?}");
        }
        for bad in ["/photo.jpg/x.php", "/missing.php", "/a.php/../x.php", "/x.phar/y", "/photo.jpg\0.php"] {
            assert!(!runs(bad), "{bad:?}");
        }
        assert!(may_run(format!("{base}/x.cgi").as_bytes(), None::<&[&[u8]]>, b""));
        assert!(!may_run(format!("{base}/x.cgi").as_bytes(), Some(&[b"cgi"]), b""));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn paths_of_other_machines_are_not_looked_at() {
        for elsewhere in ["/index.php", "/no-such-directory/x.php", "/no-such-directory/a.jpg/x.php"] {
            assert!(may_run(elsewhere.as_bytes(), None::<&[&[u8]]>, b""), "{elsewhere}");
        }
        assert!(!may_run(b"//etc/x.php", None::<&[&[u8]]>, b""));
    }
}
