// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which file of a path is the script.

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
    if path.contains(&0) || path.split(|byte| *byte == b'/').any(|segment| segment == b"..") {
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

/// The ends of the segments of a path: each `/` but the first, and the end.
fn segment_ends(path: &[u8]) -> impl Iterator<Item = usize> {
    let slashes = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    slashes.chain(std::iter::once(path.len()))
}

fn has_suffix(name: &[u8], suffix: &[u8]) -> bool {
    name.strip_suffix(suffix).is_some_and(|stem| stem.ends_with(b"."))
}
