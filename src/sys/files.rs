// SPDX-License-Identifier: MIT OR Apache-2.0
//! What stands at a path of the file system.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::Path,
};

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file; whether somebody may execute it.
    File {
        /// Whether a run bit is set.
        executable: bool,
    },
    /// A directory.
    Directory,
    /// Something else: a socket, a pipe, a device.
    Other,
    /// It may not be looked at.
    Forbidden,
    /// Nothing.
    Missing,
}

impl Kind {
    /// What stands at this path; links are followed.
    ///
    /// # Errors
    /// What stat(2) says, where it does not find anything.
    pub fn of(file: &[u8]) -> io::Result<Self> {
        let found = fs::metadata(path(file))?;
        Ok(if found.is_file() {
            Self::File { executable: found.permissions().mode() & 0o111 != 0 }
        } else if found.is_dir() {
            Self::Directory
        } else {
            Self::Other
        })
    }

    /// The same for who does not need the cause.
    #[must_use]
    pub fn at(file: &[u8]) -> Self {
        Self::of(file).unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => Self::Forbidden,
            _ => Self::Missing,
        })
    }
}

/// Whether a file is below a directory when all links have been followed.
#[must_use]
pub fn lies_below(file: &[u8], root: &[u8]) -> bool {
    let real = |bytes: &[u8]| fs::canonicalize(path(bytes));
    real(file).is_ok_and(|file| real(root).is_ok_and(|root| file.starts_with(root)))
}

fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_stands_at_a_path_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        let bytes = |name: &str| inside(name).into_os_string().into_encoded_bytes();
        fs::write(inside("a"), "").unwrap();
        fs::set_permissions(inside("a"), fs::Permissions::from_mode(0o644)).unwrap();
        symlink(inside("a"), inside("link")).unwrap();
        assert_eq!(Kind::at(&bytes("link")), Kind::File { executable: false });
        fs::set_permissions(inside("a"), fs::Permissions::from_mode(0o645)).unwrap();
        assert_eq!(Kind::at(&bytes("a")), Kind::File { executable: true });
        assert_eq!(Kind::at(&bytes("")), Kind::Directory);
        assert_eq!((Kind::at(b"/dev/null"), Kind::at(&bytes("b"))), (Kind::Other, Kind::Missing));
    }

    #[test]
    fn links_that_lead_out_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        let bytes = |name: &str| inside(name).into_os_string().into_encoded_bytes();
        fs::create_dir(inside("root")).unwrap();
        fs::write(inside("root/in"), "").unwrap();
        fs::write(inside("out"), "").unwrap();
        symlink("../out", inside("root/leads-out")).unwrap();
        symlink("in", inside("root/stays")).unwrap();
        for (name, expected) in
            [("root/in", true), ("root/stays", true), ("root/leads-out", false), ("root/none", false)]
        {
            assert_eq!(lies_below(&bytes(name), &bytes("root")), expected, "{name}");
        }
    }
}
