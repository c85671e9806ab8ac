// SPDX-License-Identifier: MIT OR Apache-2.0
//! SCGI: "A Simple Common Gateway Interface alternative" (N. Schemenauer, 2008).

use memchr::memchr_iter;

use super::{EncodeError, Protocol, Settings};
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
        for text in [CONTENT_LENGTH, length, SCGI, b"1"] {
            writer.put(text);
            writer.put_byte(0);
        }
        let own = |name: &[u8]| name == CONTENT_LENGTH || name == SCGI;
        let Some(count) = variables.write_terminated(own, |pairs| writer.put(pairs)) else {
            writer.take_back();
            return Err(EncodeError::NoName);
        };
        // More NULs than there are ends stand within a name or a value.
        let size = writer.since(block);
        if memchr_iter(0, writer.written(block)).count() != 2 * (count + 2) {
            writer.take_back();
            let mut others = variables.iter().filter(|(name, _)| !own(name));
            let culprit = others.find(|(name, value)| name.contains(&0) || value.contains(&0));
            return Err(EncodeError::Nul(escape(culprit.unwrap_or_default().0)));
        }
        writer.insert(block, Decimal::default().write(size as u64), b':');
        writer.put(b",");
        Ok(())
    }
}

/// "Duplicate names are not allowed in the headers": those that the protocol itself sets stand once, whatever the variables
/// have.
const CONTENT_LENGTH: &[u8] = b"CONTENT_LENGTH";
const SCGI: &[u8] = b"SCGI";
