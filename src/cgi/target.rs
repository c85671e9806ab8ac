// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a redirect inside the server leads: RFC 3875 §6.2.2, and what X-Accel-Redirect does with the same text.
//!
//! The text often holds what a client sent. So it is read as a client's request line is: one reading of escapes, dots and
//! slashes, before anything is compared with it.

/// How many local redirects may follow one another for one request of a client.
pub const LOCAL_REDIRECTS: usize = 10;

/// A path of this server and a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectTarget<'t> {
    /// Decoded, without `.` and `..`: what rules for paths are to be asked about.
    pub path: Vec<u8>,
    /// What follows the question mark, as it stands.
    pub query: Option<&'t [u8]>,
}

/// Why a text leads nowhere, as a server would answer it with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// A URI, a name, or nothing.
    #[error("it is no path that begins with a slash")]
    NoPath,
    /// `%` without two hexadecimal digits.
    #[error("it has a % that no two hexadecimal digits follow")]
    Escape,
    /// `%00`, which ends paths for some who read them.
    #[error("it holds a NUL")]
    Nul,
    /// More `..` than segments before them.
    #[error("it leads out of the root by \"..\"")]
    Above,
}

impl<'t> RedirectTarget<'t> {
    /// Reads `/path?query`. A fragment is the client's alone and is dropped. `merge_slashes`: several slashes are one.
    ///
    /// # Errors
    /// No client could ask for it.
    pub fn parse(text: &'t [u8], merge_slashes: bool) -> Result<Self, TargetError> {
        Self::parse_header(split(text, b'#').0, merge_slashes)
    }

    /// As [`RedirectTarget::parse`], from a text that is no URI of a client's: `#` is a byte like another.
    ///
    /// # Errors
    /// As there.
    pub fn parse_header(text: &'t [u8], merge_slashes: bool) -> Result<Self, TargetError> {
        if text.first() != Some(&b'/') {
            return Err(TargetError::NoPath);
        }
        let (path, query) = split(text, b'?');
        let path = normalize(&decode(path)?, merge_slashes)?;
        Ok(Self { path, query })
    }

    /// `text` as the request line of a client would have it, who asked for the same: as it stands if a client could send it.
    #[must_use]
    pub fn request_uri(&self, text: &[u8]) -> Vec<u8> {
        let text = split(text, b'#').0;
        if text.iter().all(|byte| *byte > b' ' && *byte != 0x7f) { text.to_vec() } else { self.to_uri() }
    }

    /// The target as a client would ask for it: what reads this once more finds the same path and query.
    #[must_use]
    pub fn to_uri(&self) -> Vec<u8> {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        let mut uri = Vec::with_capacity(self.path.len() + 16);
        for &byte in &self.path {
            // RFC 3986 §3.3: what a segment may hold as it is.
            if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte) {
                uri.push(byte);
            } else {
                let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or(b'0');
                uri.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
        if let Some(query) = self.query {
            uri.push(b'?');
            uri.extend_from_slice(query);
        }
        uri
    }
}

/// What stands before the first `byte`, and what behind it.
fn split(text: &[u8], byte: u8) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(byte, text) {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    }
}

fn decode(text: &[u8]) -> Result<Vec<u8>, TargetError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, more)) = rest.split_first() {
        rest = more;
        let byte = if byte == b'%' {
            let (digits, more) = rest.split_first_chunk::<2>().ok_or(TargetError::Escape)?;
            rest = more;
            let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
            let [high, low] = *digits;
            value(high).zip(value(low)).map(|(high, low)| high << 4 | low).ok_or(TargetError::Escape)?
        } else {
            byte
        };
        if byte == 0 {
            return Err(TargetError::Nul);
        }
        decoded.push(byte);
    }
    Ok(decoded)
}

/// RFC 3986 §5.2.4, but a `..` above the root is an error. An escaped slash or dot is one like another: so do file systems.
fn normalize(path: &[u8], merge_slashes: bool) -> Result<Vec<u8>, TargetError> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = path.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            b"" if merge_slashes && !is_last => {}
            b"." => {}
            b".." => drop(kept.pop().ok_or(TargetError::Above)?),
            _ => kept.push(segment),
        }
        // A directory is meant: the path ends with a slash.
        if is_last && matches!(segment, b"." | b"..") {
            kept.push(b"");
        }
    }
    let mut normal = Vec::with_capacity(path.len());
    for segment in kept {
        normal.push(b'/');
        normal.extend_from_slice(segment);
    }
    Ok(normal)
}

#[cfg(test)]
mod tests {
    use super::{RedirectTarget, TargetError};

    fn path(text: &str) -> Result<String, TargetError> {
        RedirectTarget::parse(text.as_bytes(), true).map(|target| String::from_utf8(target.path).unwrap())
    }

    #[test]
    fn one_path_has_many_spellings() {
        for spelling in [
            "/priv/x.txt",
            "//priv/x.txt",
            "///priv///x.txt",
            "/./priv/./x.txt",
            "/a/../priv/x.txt",
            "/a/b/../../priv/x.txt",
            "/priv/a/..//x.txt",
            "/%70riv/x%2Etxt",
            "/%2Fpriv/x.txt",
            "/%2e/priv/x.txt",
            "/a/%2e%2E/priv/x.txt",
            "/a%2f..%2fpriv/x.txt",
            "/priv/x.txt#part",
            "/priv/x.txt?",
        ] {
            assert_eq!(path(spelling), Ok("/priv/x.txt".into()), "{spelling}");
        }
    }

    #[test]
    fn directories_keep_their_slash() {
        for (text, normal) in [
            ("/", "/"),
            ("//", "/"),
            ("/.", "/"),
            ("/./", "/"),
            ("/a/", "/a/"),
            ("/a//", "/a/"),
            ("/a/.", "/a/"),
            ("/a/b/..", "/a/"),
            ("/a/..", "/"),
            ("/a/b/../", "/a/"),
            ("/..a/.b./...", "/..a/.b./..."),
        ] {
            assert_eq!(path(text), Ok(normal.into()), "{text}");
        }
    }

    #[test]
    fn slashes_that_count_are_kept() {
        let kept = |text: &str| RedirectTarget::parse(text.as_bytes(), false).map(|target| target.path);
        assert_eq!(kept("//a///b/"), Ok(b"//a///b/".to_vec()));
        assert_eq!(kept("/a//../b"), Ok(b"/a/b".to_vec()));
        assert_eq!(kept("//../b"), Ok(b"/b".to_vec()));
        assert_eq!(kept("/a/%2Fb"), Ok(b"/a//b".to_vec()));
    }

    #[test]
    fn what_no_client_could_ask_for_is_refused() {
        for (text, error) in [
            ("", TargetError::NoPath),
            ("a", TargetError::NoPath),
            ("?a", TargetError::NoPath),
            ("http://host/", TargetError::NoPath),
            ("/..", TargetError::Above),
            ("/../x", TargetError::Above),
            ("/a/../../x", TargetError::Above),
            ("//../x", TargetError::Above),
            ("/%2e%2e/x", TargetError::Above),
            ("/a%", TargetError::Escape),
            ("/a%4", TargetError::Escape),
            ("/a%4g", TargetError::Escape),
            ("/a%+1", TargetError::Escape),
            ("/a%?b", TargetError::Escape),
            ("/a%00b", TargetError::Nul),
            ("/a\0b", TargetError::Nul),
        ] {
            assert_eq!(path(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_query_stays_as_it_is() {
        let query = |text: &'static str| RedirectTarget::parse(text.as_bytes(), true).unwrap().query;
        assert_eq!(query("/a"), None);
        assert_eq!(query("/a?"), Some(&b""[..]));
        assert_eq!(query("/a?b=%2F..//?c#d"), Some(&b"b=%2F..//?c"[..]));
        assert_eq!(query("/a%3Fb?c%00"), Some(&b"c%00"[..]));
        assert_eq!(query("/a#b?c"), None);
        let whole = RedirectTarget::parse_header(b"/a#b?c#d", true).unwrap();
        assert_eq!((whole.path.as_slice(), whole.query), (&b"/a#b"[..], Some(&b"c#d"[..])));
    }

    #[test]
    fn a_target_that_is_read_again_is_the_same() {
        let all: Vec<u8> = (1..=255).flat_map(|byte: u8| format!("/%{byte:02x}").into_bytes()).collect();
        for text in [&b"/a%25%32%46b%3fc%23d?e%3f"[..], b"/ \t\"<>\\^`{|}", b"/\xc3\xa4%c3%A4?", b"/", &all] {
            for merge in [true, false] {
                let target = RedirectTarget::parse(text, merge).unwrap();
                assert_eq!(RedirectTarget::parse(&target.to_uri(), merge), Ok(target));
            }
        }
        assert_eq!(path("/a%252F..%252Fb"), Ok("/a%2F..%2Fb".into()));
        let asked = |text: &[u8]| RedirectTarget::parse(text, true).unwrap().request_uri(text);
        assert_eq!(asked(b"//a/./%62?c#d"), b"//a/./%62?c");
        assert_eq!(asked(b"//a/./ %62?c#d"), b"/a/%20b?c");
        assert_eq!(RedirectTarget::parse(b"/a b%3f%25?c d", true).unwrap().to_uri(), b"/a%20b%3F%25?c d");
    }

    #[test]
    fn a_normal_path_has_no_dots_and_no_double_slashes() {
        let alphabet = [&b"/"[..], b".", b"a", b"%2f", b"%2E", b"%25"];
        for number in 0..6u32.pow(7) {
            let text: Vec<u8> = (0..7)
                .flat_map(|place| alphabet[(number / 6u32.pow(place) % 6) as usize].iter().copied())
                .collect();
            let text = [&b"/"[..], &text].concat();
            let Ok(target) = RedirectTarget::parse(&text, true) else { continue };
            let mut segments = target.path.split(|byte| *byte == b'/').skip(1).peekable();
            while let Some(segment) = segments.next() {
                assert!(!matches!(segment, b"." | b".."), "{text:?}");
                assert!(!segment.is_empty() || segments.peek().is_none(), "{text:?}");
            }
            assert_eq!(target.path.first(), Some(&b'/'), "{text:?}");
        }
    }
}
