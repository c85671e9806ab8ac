// SPDX-License-Identifier: MIT OR Apache-2.0
//! SCGI: "A Simple Common Gateway Interface alternative" (N. Schemenauer, 2008).

use super::{BodyPart, Decoder, EncodeError, Protocol, Settings, State};
use crate::{
    http::{Decimal, Fields},
    log::escape,
    wire::Writer,
};

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
        let mut writer = Writer::new(out);
        let block = writer.mark();
        let mut ends = 0usize;
        for (name, value) in pairs(length, variables) {
            if name.is_empty() {
                writer.take_back();
                return Err(EncodeError::NoName);
            }
            writer.put(name);
            writer.put_byte(0);
            writer.put(value);
            writer.put_byte(0);
            ends += 2;
        }
        // More NULs than there are ends stand within a name or a value.
        let size = writer.since(block);
        if zeros(writer.written(block)) != ends {
            writer.take_back();
            let mut pairs = pairs(length, variables);
            let culprit = pairs.find(|(name, value)| name.contains(&0) || value.contains(&0));
            return Err(EncodeError::Nul(escape(culprit.unwrap_or_default().0)));
        }
        writer.insert(block, Decimal::default().write(size as u64), b':');
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

/// How many bytes are NUL. Sums of one byte each are what a processor adds up many at a time.
fn zeros(bytes: &[u8]) -> usize {
    let sums = bytes.chunks(255).map(|chunk| chunk.iter().map(|byte| u8::from(*byte == 0)).sum::<u8>());
    sums.map(usize::from).sum()
}

const CONTENT_LENGTH: &[u8] = b"CONTENT_LENGTH";

/// The headers in the order of the wire: "Duplicate names are not allowed in the headers", so those that the
/// protocol itself sets stand once, whatever the variables have.
fn pairs<'v>(length: &'v [u8], variables: &'v Fields) -> impl Iterator<Item = (&'v [u8], &'v [u8])> {
    let own = [(CONTENT_LENGTH, length), (b"SCGI", b"1")];
    own.into_iter().chain(variables.iter().filter(|(name, _)| *name != CONTENT_LENGTH && *name != b"SCGI"))
}
