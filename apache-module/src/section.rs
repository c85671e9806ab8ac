// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sections of httpd's configuration in which a directive can stand.

use gangway_httpd::directive::Command;

/// The kind of section that a directive stands in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Section {
    /// None: the server or a virtual host.
    #[default]
    Server,
    /// `<Location>` with a plain path.
    Location,
    /// `<LocationMatch>`, or a `<Location>` with wildcards.
    Pattern,
    /// `<Directory>` with a plain path.
    Directory,
    /// `<DirectoryMatch>`, or a `<Directory>` with wildcards.
    DirectoryPattern,
    /// `<Files>` and `<FilesMatch>`.
    Files,
}

/// The section that a directive stands in, and its path.
pub(crate) fn of(command: &Command<'_>) -> (Section, Vec<u8>) {
    for (depth, around) in command.sections().enumerate() {
        if let Some((section, written)) = section(around.name, around.arguments) {
            // httpd has made the path of a directory canonical, unless a section in it has its own.
            let by_file = matches!(section, Section::Directory | Section::DirectoryPattern);
            let is_canonical = by_file && depth == 0 && !command.path().is_empty();
            return (section, if is_canonical { command.path().to_vec() } else { written });
        }
    }
    (Section::Server, Vec::new())
}

/// The directory that a directive stands for; empty where it stands for none, or for many.
pub(crate) fn directory(command: &Command<'_>) -> Vec<u8> {
    if command.is_in_htaccess() {
        let file = command.file();
        let end = file.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        return file.get(..end).unwrap_or_default().to_vec();
    }
    for (depth, around) in command.sections().enumerate() {
        if let Some((Section::Directory, written)) = section(around.name, around.arguments) {
            // httpd has made the path of a directory canonical, unless a section in it has its own.
            return if depth == 0 && !command.path().is_empty() { command.path().to_vec() } else { written };
        }
    }
    Vec::new()
}

/// The kind and the path of a section, if sections of this name have one for us.
///
/// `arguments` is what follows the name, with the closing bracket.
fn section(name: &[u8], arguments: &[u8]) -> Option<(Section, Vec<u8>)> {
    let (plain, pattern) = match name.to_ascii_lowercase().as_slice() {
        b"<location" => (Section::Location, Section::Pattern),
        b"<locationmatch" => {
            // An expression that matches one path is that path.
            let path = exact_path(&path_argument(arguments));
            return Some(path.map_or((Section::Pattern, Vec::new()), |path| (Section::Location, path)));
        }
        b"<directory" => (Section::Directory, Section::DirectoryPattern),
        b"<directorymatch" => (Section::DirectoryPattern, Section::DirectoryPattern),
        b"<files" | b"<filesmatch" => (Section::Files, Section::Files),
        _ => return None,
    };
    // "~" before the path makes it a regular expression.
    let path = path_argument(arguments);
    if path.first() == Some(&b'~') {
        return Some((pattern, Vec::new()));
    }
    let wild = path.iter().any(|byte| b"*?[".contains(byte));
    Some((if wild { pattern } else { plain }, path))
}

/// The argument of a section without its quotes and the closing bracket.
fn path_argument(arguments: &[u8]) -> Vec<u8> {
    let end = arguments.iter().rposition(|byte| *byte == b'>').unwrap_or(arguments.len());
    let written = arguments.get(..end).unwrap_or_default().trim_ascii();
    written.iter().copied().filter(|byte| *byte != b'"').collect()
}

/// The one path that `^/path$` matches, if the expression is of this kind.
fn exact_path(expression: &[u8]) -> Option<Vec<u8>> {
    let mut rest = expression.strip_prefix(b"^")?.strip_suffix(b"$")?.iter();
    let mut path = Vec::new();
    while let Some(&byte) = rest.next() {
        let byte = match byte {
            // A backslash before a letter or a digit means a class or a reference.
            b'\\' => *rest.next().filter(|byte| !byte.is_ascii_alphanumeric())?,
            b'.' | b'*' | b'+' | b'?' | b'(' | b')' | b'[' | b'{' | b'|' | b'^' | b'$' => return None,
            literal => literal,
        };
        path.push(byte);
    }
    path.starts_with(b"/").then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_have_a_kind_and_a_path() {
        for (name, arguments, kind, path) in [
            ("<Location", "/app>", Section::Location, "/app"),
            ("<location", " \"/my app\" >", Section::Location, "/my app"),
            ("<Location", "~ \"^/a\">", Section::Pattern, ""),
            ("<Location", "/a/*/b>", Section::Pattern, "/a/*/b"),
            ("<LocationMatch", "^/a(b|c)$>", Section::Pattern, ""),
            ("<LocationMatch", "^/a\\.b\\-c$>", Section::Location, "/a.b-c"),
            ("<LocationMatch", "\"^/exact$\">", Section::Location, "/exact"),
            ("<LocationMatch", "/exact$>", Section::Pattern, ""),
            ("<LocationMatch", "^/exact>", Section::Pattern, ""),
            ("<LocationMatch", "^/a\\d$>", Section::Pattern, ""),
            ("<LocationMatch", "^/a.c$>", Section::Pattern, ""),
            ("<LocationMatch", "^/a\\$>", Section::Pattern, ""),
            ("<Directory", "/srv/app>", Section::Directory, "/srv/app"),
            ("<DirectoryMatch", "^/srv>", Section::DirectoryPattern, "^/srv"),
            ("<Files", "app.py>", Section::Files, "app.py"),
        ] {
            let found = section(name.as_bytes(), arguments.as_bytes());
            assert_eq!(found, Some((kind, path.as_bytes().to_vec())), "{name} {arguments}");
        }
        assert_eq!(section(b"<VirtualHost", b"*:80>"), None);
        assert_eq!(section(b"<If", b"\"true\">"), None);
    }
}
