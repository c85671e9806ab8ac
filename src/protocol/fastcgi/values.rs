// SPDX-License-Identifier: MIT OR Apache-2.0
//! Name-value pairs (§3.4), and the question for what an application can do (§4.1).

use super::{GET_VALUES, GET_VALUES_RESULT, VERSION, encode, header_of};
use crate::{
    protocol::{DecodeError, EncodeError},
    wire::{Reader, Writer, append},
};

/// Appends FCGI_GET_VALUES for `names`, of which §4.1 has `FCGI_MAX_CONNS`, `FCGI_MAX_REQS` and
/// `FCGI_MPXS_CONNS`. It belongs on a connection without a request.
///
/// # Errors
/// When the names do not fit into one record. `out` is then as it was.
pub fn get_values(names: &[&[u8]], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    append(out, |writer| {
        record(writer, GET_VALUES, "list of names", |writer| {
            for name in names {
                writer.put(encode::length("name", name)?.bytes());
                writer.put(&[0]);
                writer.put(name);
            }
            Ok(())
        })
    })
}

/// A management record (§4) of one kind, whose content `body` writes.
pub(super) fn record(
    writer: &mut Writer<'_>,
    kind: u8,
    what: &'static str,
    body: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = writer.mark();
    writer.put(&header_of(0, kind, 0));
    let content = writer.mark();
    body(writer)?;
    let length = writer.since(content);
    let fitting = u16::try_from(length).map_err(|_| EncodeError::TooLong {
        what,
        protocol: "FastCGI",
        length,
        limit: usize::from(u16::MAX),
    })?;
    writer.patch(start, &header_of(0, kind, fitting));
    Ok(())
}

/// An FCGI_GET_VALUES_RESULT record.
#[derive(Clone, Copy, Debug)]
pub struct Values<'i> {
    /// What the application said; names that it does not know are missing.
    pub pairs: Pairs<'i>,
    /// The length of the whole record, padding included.
    pub used: usize,
}

impl<'i> Values<'i> {
    /// The record at the front of `input`; `None` if there is not all of it.
    ///
    /// # Errors
    /// Another record.
    pub fn decode(input: &'i [u8]) -> Result<Option<Self>, DecodeError> {
        let mut reader = Reader::new(input);
        let Some([version, kind, id_high, id_low, high, low, padding, _reserved]) = reader.array() else {
            return Ok(None);
        };
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        if kind != GET_VALUES_RESULT {
            return Err(DecodeError::Type(kind));
        }
        let id = u16::from_be_bytes([id_high, id_low]);
        if id != 0 {
            return Err(DecodeError::RequestId(id));
        }
        let content = reader.take(usize::from(u16::from_be_bytes([high, low])));
        let padding = reader.take(usize::from(padding));
        let used = input.len().saturating_sub(reader.len());
        Ok(content.zip(padding).map(|(content, _)| Self { pairs: Pairs::new(content), used }))
    }
}

/// The pairs of a block (§3.4), in order. Ends early at a pair that is not whole: see [`Pairs::rest`].
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'i>(Reader<'i>);

impl<'i> Pairs<'i> {
    /// The pairs of `block`.
    #[must_use]
    pub fn new(block: &'i [u8]) -> Self {
        Self(Reader::new(block))
    }

    /// The number of bytes that are not yet read: 0 after the last pair of a whole block.
    #[must_use]
    pub fn rest(&self) -> usize {
        self.0.len()
    }
}

impl<'i> Iterator for Pairs<'i> {
    type Item = (&'i [u8], &'i [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = self.0;
        let (name, value) = (length(&mut reader)?, length(&mut reader)?);
        let pair = (reader.take(name)?, reader.take(value)?);
        self.0 = reader;
        Some(pair)
    }
}

fn length(reader: &mut Reader<'_>) -> Option<usize> {
    let [first] = reader.array()?;
    if first < 0x80 {
        return Some(usize::from(first));
    }
    let [b, c, d] = reader.array()?;
    usize::try_from(u32::from_be_bytes([first & 0x7f, b, c, d])).ok()
}
