// SPDX-License-Identifier: MIT OR Apache-2.0
//! A response head that is safe to send.

use super::{Fields, is_connection_field, is_field_name, is_field_value, is_named, parse_length};
use crate::error::{BAD_HEADER, BAD_LENGTH, BAD_STATUS, Code};

/// A checked response head.
#[derive(Debug)]
pub struct Head {
    /// 200 to 599.
    pub status: u16,
    /// The reason phrase; empty for the server's own.
    pub reason: Vec<u8>,
    /// The headers in order, without those of the connection and without Content-Length.
    pub fields: Fields,
    /// The value of Content-Length.
    pub content_length: Option<u64>,
}

/// Why a head was refused.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// Not a final status.
    #[error("status {0} is not between 200 and 599")]
    Status(u16),
    /// A reason phrase with control bytes.
    #[error("the reason phrase \"{0}\" holds control bytes")]
    Reason(String),
    /// Not a token.
    #[error("the header name \"{0}\" is not a token (RFC 9110 section 5.1)")]
    Name(String),
    /// CR, LF, NUL or another control byte.
    #[error("the value of the header \"{0}\" holds control bytes: \"{1}\"")]
    Value(String, String),
    /// Not one decimal number.
    #[error("Content-Length \"{0}\" is not one decimal number")]
    Length(String),
}

impl HeadError {
    /// The log code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Status(_) => BAD_STATUS,
            Self::Length(_) => BAD_LENGTH,
            Self::Reason(_) | Self::Name(_) | Self::Value(..) => BAD_HEADER,
        }
    }
}

impl Head {
    /// Checks and copies a head as a handler gave it.
    ///
    /// # Errors
    /// What a peer could misread is refused as a whole: nothing of it is forwarded.
    pub fn check<'a>(
        status: u16,
        reason: &[u8],
        headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Self, HeadError> {
        Self::check_in(Fields::with_capacity(headers.size_hint().0, 256), status, reason, headers)
    }

    /// [`Head::check`], into an empty list of the caller's.
    ///
    /// # Errors
    /// As [`Head::check`].
    pub(crate) fn check_in<'a>(
        fields: Fields,
        status: u16,
        reason: &[u8],
        headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Self, HeadError> {
        if !(200..=599).contains(&status) {
            return Err(HeadError::Status(status));
        }
        if !is_field_value(reason) {
            return Err(HeadError::Reason(crate::log::escape(reason)));
        }
        let mut head = Self { status, reason: reason.to_vec(), fields, content_length: None };
        for (name, value) in headers {
            head.add(name, value)?;
        }
        if status == 204 || status == 304 {
            // RFC 9110 §8.6: no Content-Length in 204. In 304 it would speak of a body that is not sent, and
            // both servers derive it themselves.
            head.content_length = None;
        }
        Ok(head)
    }

    /// Checks and copies the headers of an answer that changes the protocol of the connection: 101, without a length.
    ///
    /// # Errors
    /// As [`Head::check`].
    pub fn check_upgrade<'a>(headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<Self, HeadError> {
        let head = Self::check(204, b"Switching Protocols", headers)?;
        Ok(Self { status: 101, ..head })
    }

    fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeadError> {
        use crate::log::escape;
        if !is_field_name(name) {
            return Err(HeadError::Name(escape(name)));
        }
        if !is_field_value(value) {
            return Err(HeadError::Value(escape(name), escape(value)));
        }
        let value = value.trim_ascii();
        if is_named(name, b"Content-Length") {
            let length = parse_length(value).ok_or_else(|| HeadError::Length(escape(value)))?;
            // RFC 9112 §6.3: several lengths that differ cannot be trusted.
            if self.content_length.is_some_and(|known| known != length) {
                return Err(HeadError::Length(escape(value)));
            }
            self.content_length = Some(length);
        } else if !is_connection_field(name) {
            self.fields.push(name, value);
        }
        Ok(())
    }

    /// Whether this status has no body: RFC 9110 §6.4.1.
    #[must_use]
    pub fn forbids_body(&self) -> bool {
        self.status == 204 || self.status == 304
    }

    /// Whether a header stands in the list, in any case.
    #[must_use]
    pub fn has(&self, name: &[u8]) -> bool {
        self.fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }
}

/// Whether a Content-Type is that of an event stream, of which each event is to leave at once.
#[must_use]
pub fn is_event_stream(content_type: &[u8]) -> bool {
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, reason: &str, headers: &[(&str, &str)]) -> Result<Head, HeadError> {
        Head::check(status, reason.as_bytes(), headers.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())))
    }

    #[test]
    fn a_plain_head_passes() {
        let head = check(200, "OK", &[("Content-Type", "text/plain"), ("Content-Length", "12")]).unwrap();
        assert_eq!(head.content_length, Some(12));
        assert_eq!(head.fields.len(), 1);
        assert!(head.has(b"content-type"));
    }

    #[test]
    fn only_final_statuses_pass() {
        for status in [0, 99, 100, 101, 103, 199, 600, 999] {
            assert!(matches!(check(status, "", &[]), Err(HeadError::Status(_))), "{status}");
        }
        assert!(check(200, "", &[]).is_ok() && check(599, "", &[]).is_ok());
    }

    #[test]
    fn one_bad_byte_refuses_the_head() {
        for bad in ["a\r\nb", "a\nb", "a\rb", "a\0b", "a\x7fb", "\x1b"] {
            assert!(matches!(check(200, bad, &[]), Err(HeadError::Reason(_))), "{bad:?}");
            assert!(matches!(check(200, "", &[("X", bad)]), Err(HeadError::Value(..))), "{bad:?}");
            assert!(matches!(check(200, "", &[(bad, "x")]), Err(HeadError::Name(_))), "{bad:?}");
        }
        for bad in ["", "A B", "A:", "ä"] {
            assert!(matches!(check(200, "", &[(bad, "x")]), Err(HeadError::Name(_))), "{bad:?}");
        }
    }

    #[test]
    fn lengths_are_one_decimal_number() {
        for bad in ["", "-1", "+1", "0x1", "1,1", "1 1", "99999999999999999999", "9223372036854775808"] {
            assert!(
                matches!(check(200, "", &[("Content-Length", bad)]), Err(HeadError::Length(_))),
                "{bad:?}"
            );
        }
        assert!(check(200, "", &[("Content-Length", "1"), ("content-length", "2")]).is_err());
        let twice = check(200, "", &[("Content-Length", "1"), ("content-length", " 1 ")]).unwrap();
        assert_eq!(twice.content_length, Some(1));
    }

    #[test]
    fn a_handler_cannot_set_framing() {
        let head =
            check(200, "", &[("Transfer-Encoding", "chunked"), ("Connection", "X-A"), ("X-A", "1")]).unwrap();
        assert_eq!(head.fields.iter().collect::<Vec<_>>(), [(&b"X-A"[..], &b"1"[..])]);
    }

    #[test]
    fn event_streams_are_known_by_their_type() {
        for (content_type, expected) in [
            ("text/event-stream", true),
            ("Text/Event-Stream ; charset=utf-8", true),
            ("text/event-streams", false),
            ("text/plain; text/event-stream", false),
        ] {
            assert_eq!(is_event_stream(content_type.as_bytes()), expected, "{content_type}");
        }
    }

    #[test]
    fn statuses_without_body_have_no_length() {
        assert_eq!(check(204, "", &[("Content-Length", "5")]).unwrap().content_length, None);
        assert!(check(304, "", &[]).unwrap().forbids_body());
    }
}
