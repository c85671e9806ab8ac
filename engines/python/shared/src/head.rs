// SPDX-License-Identifier: MIT OR Apache-2.0
//! A response head by the rules of PEP 3333, kept as bytes in one buffer that is used again.

use std::fmt;

use gangway_abi::{
    bytes::{lend, lend_field},
    ffi::{gw_bytes, gw_field},
    head::{is_connection_field, is_field_name, is_field_value, is_named, parse_length},
};

/// The head of one response.
#[derive(Debug, Default)]
pub struct Head {
    status: u16,
    /// Reason, names and values, one after the other.
    text: Vec<u8>,
    reason: usize,
    /// Ends of name and value in `text`.
    ends: Vec<(usize, usize)>,
    fields: Vec<gw_field>,
    length: Option<u64>,
}

// SAFETY: the pointers of `fields` point into `text`, which belongs to the same value; they are made anew for
// every use.
unsafe impl Send for Head {}

/// A rule that a status line or a header breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Not `NNN reason`.
    Status,
    /// Not from 200 to 599.
    StatusRange(u16),
    /// A control character in the status.
    StatusControl,
    /// The name of a header is not a token.
    Name(String),
    /// A control character in the value of the header.
    Value(String),
    /// Not a number, or given twice.
    Length(String),
}

impl Head {
    /// Starts again with a status line.
    pub fn begin(&mut self, status: &[u8]) -> Result<(), Rule> {
        self.text.clear();
        self.ends.clear();
        self.length = None;
        let (code, reason) = status.split_at_checked(3).ok_or(Rule::Status)?;
        // PEP 3333, "The start_response() Callable": "999 Message here".
        if !code.iter().all(u8::is_ascii_digit) || reason.first() != Some(&b' ') {
            return Err(Rule::Status);
        }
        let code = code.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
        if !(200..600).contains(&code) {
            return Err(Rule::StatusRange(code));
        }
        if reason.iter().any(|byte| is_control(*byte)) {
            return Err(Rule::StatusControl);
        }
        let reason = reason.trim_ascii();
        self.status = code;
        self.text.extend_from_slice(reason);
        self.reason = reason.len();
        Ok(())
    }

    /// Adds a header.
    pub fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), Rule> {
        let shown = || String::from_utf8_lossy(name).into_owned();
        // RFC 9110 section 5.6.2.
        if !is_field_name(name) {
            return Err(Rule::Name(shown()));
        }
        // RFC 9110 section 5.5; PEP 3333: no control characters.
        if !is_field_value(value) {
            return Err(Rule::Value(shown()));
        }
        if is_connection_field(name) {
            // PEP 3333, "Other HTTP Features", calls it an error; half of all examples of streaming set
            // `Connection: keep-alive` all the same, and what is not passed on does no harm.
            return Ok(());
        }
        let value = value.trim_ascii();
        if is_named(name, b"Content-Length") {
            let length = parse_length(value).filter(|_| self.length.is_none());
            self.length =
                Some(length.ok_or_else(|| Rule::Length(String::from_utf8_lossy(value).into_owned()))?);
        }
        self.append(name, value);
        Ok(())
    }

    /// Adds the Content-Length that the body turned out to have.
    pub fn set_length(&mut self, length: u64) {
        self.length = Some(length);
        self.append(b"Content-Length", length.to_string().as_bytes());
    }

    fn append(&mut self, name: &[u8], value: &[u8]) {
        self.text.extend_from_slice(name);
        let end = self.text.len();
        self.text.extend_from_slice(value);
        self.ends.push((end, self.text.len()));
    }

    /// The status code of the last `begin()`.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// What Content-Length says.
    #[must_use]
    pub const fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether a response of this status has a body (RFC 9110 sections 15.3.5 and 15.4.5).
    #[must_use]
    pub const fn permits_body(&self) -> bool {
        !matches!(self.status, 204 | 304)
    }

    /// The reason and the headers as the ABI passes them; valid until the head is changed.
    pub fn parts(&mut self) -> (gw_bytes, &[gw_field]) {
        let mut from = self.reason;
        self.fields.clear();
        for (name, value) in &self.ends {
            self.fields.push(lend_field(&self.text[from..*name], &self.text[*name..*value]));
            from = *value;
        }
        (lend(&self.text[..self.reason]), &self.fields)
    }
}

const fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status => {
                f.write_str("the status must be three digits, a space and a reason, such as \"200 OK\"")
            }
            Self::StatusRange(code) => write!(f, "status {code} is not between 200 and 599"),
            Self::StatusControl => f.write_str("the status holds a control character"),
            Self::Name(name) => {
                write!(f, "header name {name:?} holds a character that no header name may have")
            }
            Self::Value(name) => {
                write!(f, "the value of header {name:?} holds a control character (CR, LF, NUL, ...)")
            }
            Self::Length(value) => write!(f, "Content-Length {value:?} is not one decimal number given once"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun() -> Head {
        let mut head = Head::default();
        head.begin(b"200 OK").expect("valid");
        head
    }

    #[test]
    fn a_head_round_trips() {
        let mut head = begun();
        head.push(b"Content-Type", b" text/plain ").expect("valid");
        head.push(b"X-Empty", b"").expect("valid");
        head.set_length(12);
        assert_eq!((head.status(), head.length(), head.permits_body()), (200, Some(12), true));
        let (reason, fields) = head.parts();
        // SAFETY: the parts are valid while the head is unchanged.
        let text = |bytes| String::from_utf8_lossy(unsafe { gangway_abi::bytes::borrow(bytes) }).into_owned();
        assert_eq!(text(reason), "OK");
        let fields: Vec<_> = fields.iter().map(|field| (text(field.name), text(field.value))).collect();
        let want = [("Content-Type", "text/plain"), ("X-Empty", ""), ("Content-Length", "12")];
        assert_eq!(fields, want.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_second_begin_forgets_the_first() {
        let mut head = begun();
        head.push(b"Content-Length", b"5").expect("valid");
        head.begin(b"404 Not Found").expect("valid");
        assert_eq!((head.status(), head.length(), head.parts().1.len()), (404, None, 0));
    }

    #[test]
    fn a_wrong_status_is_refused() {
        let mut head = Head::default();
        for wrong in [&b""[..], b"200", b"200OK", b"20 OK", b"2x0 OK", b"OK", b" 200 OK"] {
            assert_eq!(head.begin(wrong), Err(Rule::Status), "{wrong:?}");
        }
        for wrong in [&b"100 Continue"[..], b"101 Switching", b"199 x", b"600 x", b"999 x", b"000 x"] {
            assert!(matches!(head.begin(wrong), Err(Rule::StatusRange(_))), "{wrong:?}");
        }
        for byte in (0..0x20u8).chain([0x7f]) {
            assert_eq!(head.begin(&[b'2', b'0', b'0', b' ', b'O', byte]), Err(Rule::StatusControl), "{byte}");
        }
        assert_eq!(head.begin(b"200 a\r\nb"), Err(Rule::StatusControl));
        assert_eq!(head.begin(b"200 "), Ok(()), "an empty reason is the server's own");
    }

    #[test]
    fn every_bad_byte_is_refused() {
        for byte in 0..=255u8 {
            let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(begun().push(&[b'A', byte], b"v").is_ok(), token, "name {byte}");
            let text = byte == b'\t' || (0x20..0x7f).contains(&byte) || byte >= 0x80;
            assert_eq!(begun().push(b"A", &[b'v', byte, b'v']).is_ok(), text, "value {byte}");
        }
        assert!(begun().push(b"", b"v").is_err());
    }

    #[test]
    fn headers_of_the_connection_are_dropped() {
        let mut head = begun();
        assert_eq!(head.push(b"Keep-Alive", b"timeout=5"), Ok(()));
        assert!(head.parts().1.is_empty());
        assert_eq!(head.push(b"Keep-Away", b"x"), Ok(()));
        assert_eq!(head.parts().1.len(), 1);
    }

    #[test]
    fn content_length_is_one_number() {
        for wrong in ["", "-1", "+1", "1 2", "1,1", "0x1", "99999999999999999999", "\u{661}"] {
            assert!(begun().push(b"Content-Length", wrong.as_bytes()).is_err(), "{wrong}");
        }
        let mut head = begun();
        head.push(b"content-LENGTH", b"7").expect("valid");
        assert_eq!(head.length(), Some(7));
        assert!(head.push(b"Content-Length", b"7").is_err(), "twice");
    }
}
