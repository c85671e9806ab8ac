// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where an application is mounted: SCRIPT_NAME and PATH_INFO of a request.

use crate::{raw::Request, section::Section};

/// The path at which an application is mounted.
pub(crate) fn mount<'r>(request: Request<'r>, section: Section, path: &'r [u8]) -> &'r [u8] {
    match section {
        Section::Server | Section::Pattern | Section::DirectoryPattern => b"",
        Section::Location => path,
        Section::Directory => directory_mount(path, request.filename(), request.path_info(), request.uri()),
        Section::Files => before(request.uri(), request.path_info()).unwrap_or_default(),
    }
}

/// The part of the path that leads to a directory: what is left of `uri` without that which lies below it.
fn directory_mount<'r>(directory: &[u8], filename: &[u8], path_info: &[u8], uri: &'r [u8]) -> &'r [u8] {
    let directory = directory.strip_suffix(b"/").unwrap_or(directory);
    let below = filename.strip_prefix(directory).unwrap_or_default();
    before(uri, path_info).and_then(|uri| before(uri, below)).unwrap_or_default()
}

/// What precedes a path in `uri`. With `MergeSlashes Off` several slashes there stand for one of a file's path, and httpd's own
/// PATH_INFO is a part of that.
pub(crate) fn before<'u>(uri: &'u [u8], path: &[u8]) -> Option<&'u [u8]> {
    let mut uri = uri;
    let mut bytes = path.iter().rev().peekable();
    while let Some(byte) = bytes.next() {
        uri = uri.strip_suffix(&[*byte])?;
        if *byte == b'/' {
            while bytes.next_if_eq(&&b'/').is_some() {}
            while let Some(shorter) = uri.strip_suffix(b"/") {
                uri = shorter;
            }
        }
    }
    Some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_at_the_end_whatever_its_slashes() {
        for (uri, path, expected) in [
            ("/pi.cgi/a//b", "/a/b", Some("/pi.cgi")),
            ("/pi.cgi//", "/", Some("/pi.cgi")),
            ("/pi.cgi//a/", "/a/", Some("/pi.cgi")),
            ("//pi.cgi/a", "//a", Some("//pi.cgi")),
            ("/pi.cgi", "", Some("/pi.cgi")),
            ("/a/b", "/a/b", Some("")),
            ("/pi.cgi/a", "/a/b", None),
            ("/a", "/pi.cgi/a", None),
            ("/pi.cgi/a", "/a/", None),
            ("", "/", None),
        ] {
            assert_eq!(before(uri.as_bytes(), path.as_bytes()), expected.map(str::as_bytes), "{uri} {path}");
        }
    }

    #[test]
    fn a_directory_is_mounted_where_its_prefix_ends() {
        for (directory, filename, path_info, uri, mount) in [
            ("/srv/app/", "/srv/app/", "", "/app/", "/app"),
            ("/srv/app/", "/srv/app", "", "/app", "/app"),
            ("/srv/app/", "/srv/app/x", "/y/z", "/app/x/y/z", "/app"),
            ("/srv/app/", "/srv/app/x.html", "", "/x.html", ""),
            ("/srv/", "/srv/app/x", "", "/app/x", ""),
            ("/srv/app/", "/srv/app/real", "", "/alias", ""),
            ("/srv/app/", "/elsewhere/x", "/y", "/app/x/y", "/app/x"),
            ("/srv/app/", "/srv/app/x", "/y/z", "/app//x///y//z", "/app"),
            ("/srv/app/", "/srv/app/", "", "/app//", "/app"),
            ("/srv/", "/srv/x", "/", "//x//", ""),
        ] {
            let found = directory_mount(
                directory.as_bytes(),
                filename.as_bytes(),
                path_info.as_bytes(),
                uri.as_bytes(),
            );
            assert_eq!(String::from_utf8_lossy(found), mount, "{uri}");
        }
    }
}
