// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cookies that a server has joined as it joins lists.

/// The cookies of several header lines, joined by `, ` because a server joins every header so (RFC 9110 §5.3), as one line: RFC 9113
/// §8.2.3 joins them by `; `. `None`: nothing is to be changed.
///
/// In a line of RFC 6265 §4.1.1 no value holds a comma with a space, so each one comes from the joining. Clients send
/// others too: where no `name=` follows, or between quotes, it belongs to the value.
#[must_use]
pub fn rejoin_cookies(value: &[u8]) -> Option<Vec<u8>> {
    memchr::memmem::find(value, b", ")?;
    let mut joined = value.to_vec();
    let (mut quoted, mut before) = (false, 0);
    for (at, &byte) in value.iter().enumerate() {
        match byte {
            // Only a whole value is quoted; a quote within one is a byte of it.
            b'"' if quoted || before == b'=' => quoted = !quoted,
            b',' if !quoted && value.get(at + 1) == Some(&b' ') => {
                if begins_cookie(value.get(at + 2..).unwrap_or_default())
                    && let Some(comma) = joined.get_mut(at)
                {
                    *comma = b';';
                }
            }
            _ => {}
        }
        before = byte;
    }
    (joined != value).then_some(joined)
}

/// `name=`, or nothing at all: an empty line was joined.
fn begins_cookie(text: &[u8]) -> bool {
    let name = text.iter().position(|byte| !is_token(*byte)).unwrap_or(text.len());
    text.is_empty() || name > 0 && text.get(name) == Some(&b'=') || text.starts_with(b", ")
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::rejoin_cookies;

    fn rejoined(value: &str) -> Option<String> {
        rejoin_cookies(value.as_bytes()).map(|joined| String::from_utf8(joined).unwrap())
    }

    #[test]
    fn lines_become_cookies() {
        for (value, expected) in [
            ("a=1, b=2", "a=1; b=2"),
            ("a=1; b=2, c=3; d=4, e=", "a=1; b=2; c=3; d=4; e="),
            ("a=, b=2", "a=; b=2"),
            (", b=2", "; b=2"),
            ("a=1, , b=2", "a=1; ; b=2"),
            ("a=1, ", "a=1; "),
            ("a=\"x\", b=2", "a=\"x\"; b=2"),
            ("a=x\"y, b=2", "a=x\"y; b=2"),
            ("a=1, $Version=1", "a=1; $Version=1"),
        ] {
            assert_eq!(rejoined(value).as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn what_one_line_holds_stays() {
        for value in
            ["", "a=1", "a=1; b=2", "a=1,b=2", "a=Wed, 21 Oct", "a=x, y", "a=\"x, y=z\"; b=2", ",", "a=1,"]
        {
            assert_eq!(rejoined(value), None, "{value}");
        }
        assert_eq!(rejoined("a=\"x, y=z\", b=Wed, 2, c=3").as_deref(), Some("a=\"x, y=z\"; b=Wed, 2; c=3"));
    }
}
