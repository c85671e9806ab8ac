// SPDX-License-Identifier: MIT OR Apache-2.0
//! SCGI: "A Simple Common Gateway Interface alternative" (N. Schemenauer, 2008).

use memchr::memchr_iter;

use super::{EncodeError, Protocol, Settings};
use crate::{
    http::{Decimal, Fields, Layout},
    log::escape,
    wire::{Writer, append},
};

/// The SCGI protocol: a netstring of NUL-terminated names and values, then the body; the response ends with the
/// connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scgi;

impl Protocol for Scgi {
    fn name(&self) -> &'static str {
        "SCGI"
    }

    fn layout(&self) -> Layout {
        Layout::Terminated
    }

    fn encode_head(
        &self,
        _settings: &Settings<'_>,
        variables: &Fields,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        append(out, |writer| netstring(variables, writer))
    }
}

fn netstring(variables: &Fields, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
    let (mut length_at, mut is_known) = (None, false);
    for (index, name) in variables.names().enumerate() {
        if name.is_empty() {
            return Err(EncodeError::NoName);
        } else if name == CONTENT_LENGTH && length_at.is_none() {
            length_at = Some(index);
        } else {
            is_known |= is_own(name);
        }
    }
    // "The first header must have the name CONTENT_LENGTH and a value that is the length of the body in
    // decimal", also for a body of 0 bytes. "There must also always be a header with the name SCGI and a value of 1."
    let length = match length_at.and_then(|index| variables.pair(index)) {
        None | Some((_, b"")) => b"0",
        Some((_, length)) if length.iter().all(u8::is_ascii_digit) => length,
        Some((_, other)) => return Err(EncodeError::ContentLength(escape(other))),
    };
    let block = writer.mark();
    for text in [CONTENT_LENGTH, length, SCGI, b"1"] {
        writer.put(text);
        writer.put_byte(0);
    }
    let mut count = 2;
    if let Some(pieces) = variables.terminated_but(length_at).filter(|_| !is_known) {
        pieces.into_iter().for_each(|piece| writer.put(piece));
        count += variables.len() - usize::from(length_at.is_some());
    } else {
        for (name, value) in variables.iter().filter(|(name, _)| !is_own(name)) {
            [name, b"\0", value, b"\0"].into_iter().for_each(|part| writer.put(part));
            count += 1;
        }
    }
    // More NULs than there are ends stand within a name or a value.
    let size = writer.since(block);
    if memchr_iter(0, writer.written(block)).count() != 2 * count {
        let has_nul = |(name, value): &(&[u8], &[u8])| name.contains(&0) || value.contains(&0);
        let culprit = variables.iter().filter(|(name, _)| !is_own(name)).find(has_nul);
        return Err(EncodeError::Nul(escape(culprit.unwrap_or_default().0)));
    }
    writer.insert(block, Decimal::default().write(size as u64), b':');
    writer.put(b",");
    Ok(())
}

#[inline]
fn is_own(name: &[u8]) -> bool {
    name == CONTENT_LENGTH || name == SCGI
}

/// "Duplicate names are not allowed in the headers": those that the protocol itself sets stand once, whatever the variables
/// have.
const CONTENT_LENGTH: &[u8] = b"CONTENT_LENGTH";
const SCGI: &[u8] = b"SCGI";
