// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where an application ends and its own path begins.

/// Splits a decoded path into SCRIPT_NAME and PATH_INFO (RFC 3875 §4.1.13, §4.1.5) at the place where an
/// application is mounted.
///
/// The two parts put together are always the path. A mount at `/` or one that is not a whole leading part of
/// the path gives an empty SCRIPT_NAME.
#[must_use]
pub fn split_mount<'a>(mount: &[u8], path: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let mount = mount.strip_suffix(b"/").unwrap_or(mount);
    match path.split_at_checked(mount.len()) {
        Some((head, tail)) if head == mount && (tail.is_empty() || tail.starts_with(b"/")) => (head, tail),
        _ => path.split_at(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(mount: &str, path: &str) -> (String, String) {
        let (script, info) = split_mount(mount.as_bytes(), path.as_bytes());
        (String::from_utf8_lossy(script).into(), String::from_utf8_lossy(info).into())
    }

    #[test]
    fn mounts_split_at_whole_segments() {
        for (mount, path, script, info) in [
            ("/", "/", "", "/"),
            ("/", "/a/b", "", "/a/b"),
            ("", "/a", "", "/a"),
            ("/app", "/app", "/app", ""),
            ("/app", "/app/", "/app", "/"),
            ("/app/", "/app/x", "/app", "/x"),
            ("/app/", "/app", "/app", ""),
            ("/app", "/application", "", "/application"),
            ("/app", "/ap", "", "/ap"),
            ("/a b", "/a b/c", "/a b", "/c"),
        ] {
            assert_eq!(split(mount, path), (script.into(), info.into()), "{mount} {path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_parts_are_the_path(mount in "/?[a-c/]{0,6}", path in "/[a-c/]{0,8}") {
            let (script, info) = split(&mount, &path);
            proptest::prop_assert_eq!(script + &info, path);
        }
    }
}
