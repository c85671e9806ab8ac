// SPDX-License-Identifier: MIT OR Apache-2.0
//! What of a path is a file, and what is left of it: for servers that do not find out themselves.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, path::Path};

/// Splits a path below a root where the file ends: filename, and the path behind it. As httpd's walk over directories: a part that is not
/// there is the last one of the filename. Asks the file system, which may take its time.
#[must_use]
pub fn split(path: &[u8], root: usize) -> (&[u8], &[u8]) {
    let mut end = root.min(path.len());
    loop {
        let rest = path.get(end..).unwrap_or_default();
        let begin = rest.iter().take_while(|byte| **byte == b'/').count();
        let length = rest.get(begin..).unwrap_or_default().iter().take_while(|byte| **byte != b'/').count();
        if length == 0 {
            return (path, b"");
        }
        end += begin + length;
        let (found, behind) = path.split_at_checked(end).unwrap_or((path, b""));
        let is_directory =
            fs::metadata(Path::new(OsStr::from_bytes(found))).is_ok_and(|known| known.is_dir());
        if !is_directory {
            return (found, behind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_path_ends_at_its_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(folder.path().join("a/page.py"), "").unwrap();
        let root = folder.path().to_str().unwrap();
        for (path, file, rest) in [
            ("/a/page.py/name/x", "/a/page.py", "/name/x"),
            ("/a/page.py", "/a/page.py", ""),
            ("/a/", "/a/", ""),
            ("/a", "/a", ""),
            ("/a/none/name", "/a/none", "/name"),
            ("/none", "/none", ""),
            ("/", "/", ""),
            ("", "", ""),
        ] {
            let whole = format!("{root}{path}");
            let (found, behind) = split(whole.as_bytes(), root.len());
            assert_eq!(found, format!("{root}{file}").as_bytes(), "{path}");
            assert_eq!(behind, rest.as_bytes(), "{path}");
        }
    }
}
