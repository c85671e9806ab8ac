// SPDX-License-Identifier: MIT OR Apache-2.0
//! SCGI: "A Simple Common Gateway Interface alternative" (N. Schemenauer, 2008).

use super::{BodyPart, Decoder, EncodeError, Protocol, Settings, State};
use crate::{http::Fields, log::escape, wire::Writer};

/// The SCGI protocol: a netstring of NUL-terminated names and values, then the body; the response ends with the
/// connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scgi;

impl Protocol for Scgi {
    fn name(&self) -> &'static str {
        "SCGI"
    }

    fn encode_head(
        &self,
        _settings: &Settings<'_>,
        variables: &Fields,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        // "The first header must have the name CONTENT_LENGTH and a value that is the length of the body in
        // decimal", also for a body of 0 bytes. "There must also always be a header with the name SCGI and a value of 1."
        let length = match variables.get(CONTENT_LENGTH) {
            None | Some(b"") => b"0",
            Some(length) if length.iter().all(u8::is_ascii_digit) => length,
            Some(other) => return Err(EncodeError::ContentLength(escape(other))),
        };
        let mut size = 0usize;
        for (name, value) in pairs(length, variables) {
            if name.is_empty() {
                return Err(EncodeError::NoName);
            }
            if name.contains(&0) || value.contains(&0) {
                return Err(EncodeError::Nul(escape(name)));
            }
            size = size.saturating_add(name.len()).saturating_add(value.len()).saturating_add(2);
        }
        let mut writer = Writer::new(out);
        writer.reserve(size);
        write_decimal(&mut writer, size);
        writer.put(b":");
        for (name, value) in pairs(length, variables) {
            writer.put(name);
            writer.put(b"\0");
            writer.put(value);
            writer.put(b"\0");
        }
        writer.put(b",");
        Ok(())
    }

    fn body_part(&self, available: u64) -> BodyPart {
        BodyPart::plain(available)
    }

    fn body_end(&self) -> &'static [u8] {
        &[]
    }

    fn abort(&self) -> &'static [u8] {
        &[]
    }

    fn decoder(&self) -> Decoder {
        Decoder(State::Plain)
    }

    fn keeps_connections(&self) -> bool {
        false
    }
}

const CONTENT_LENGTH: &[u8] = b"CONTENT_LENGTH";

/// The headers in the order of the wire: "Duplicate names are not allowed in the headers", so those that the
/// protocol itself sets stand once, whatever the variables have.
fn pairs<'v>(length: &'v [u8], variables: &'v Fields) -> impl Iterator<Item = (&'v [u8], &'v [u8])> {
    let own = [(CONTENT_LENGTH, length), (b"SCGI", b"1")];
    own.into_iter().chain(variables.iter().filter(|(name, _)| *name != CONTENT_LENGTH && *name != b"SCGI"))
}

/// A netstring's length has no leading zeros.
fn write_decimal(writer: &mut Writer<'_>, number: usize) {
    let mut digits = [0u8; 20];
    let mut rest = number;
    let mut from = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0'.saturating_add(u8::try_from(rest % 10).unwrap_or(0));
        (from, rest) = (at, rest / 10);
        if rest == 0 {
            break;
        }
    }
    writer.put(digits.get(from..).unwrap_or_default());
}
