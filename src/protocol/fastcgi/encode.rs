// SPDX-License-Identifier: MIT OR Apache-2.0
//! The records that precede a body: FCGI_BEGIN_REQUEST and the FCGI_PARAMS stream.

use super::{BEGIN_REQUEST, PARAMS, header};
use crate::{
    http::{Fields, Layout},
    protocol::{EncodeError, Role, Settings},
    wire::{Mark, PairLength, Writer, append},
};

/// §5.1: the application leaves the connection open.
pub(super) const KEEP_CONN: u8 = 1;

pub(super) fn head(
    settings: &Settings<'_>,
    variables: &Fields,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    append(out, |writer| records(settings, variables, writer))
}

fn records(settings: &Settings<'_>, variables: &Fields, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
    // §5.1.
    let role = match settings.role {
        Role::Responder => 1,
        Role::Authorizer => 2,
    };
    let flags = if settings.keep_connection { KEEP_CONN } else { 0 };
    writer.put(&header(BEGIN_REQUEST, 8));
    writer.put(&[0, role, flags, 0, 0, 0, 0, 0]);
    let mut params = Params::begin(writer);
    match variables.in_one_piece(Layout::FastCgi) {
        Some(pairs) if pairs.len() <= RECORD && settings.role == Role::Responder => params.writer.put(pairs),
        _ => {
            for (name, value) in variables.iter() {
                if settings.role != Role::Authorizer || !is_kept_from_authorizers(name) {
                    params.pair(name, value)?;
                }
            }
        }
    }
    params.end();
    Ok(())
}

/// §6.3: what an authorizer is not told.
fn is_kept_from_authorizers(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 4] = [b"CONTENT_LENGTH", b"PATH_INFO", b"PATH_TRANSLATED", b"SCRIPT_NAME"];
    NAMES.contains(&name)
}

/// The FCGI_PARAMS stream (§5.2). A pair stands within one record if one can hold it: the specification allows
/// any cut, but PHP reads each record on its own.
struct Params<'w, 'v> {
    writer: &'w mut Writer<'v>,
    record: Mark,
}

/// What a record can hold: its length has 16 bits (§3.3).
const RECORD: usize = u16::MAX as usize;

impl<'w, 'v> Params<'w, 'v> {
    fn begin(writer: &'w mut Writer<'v>) -> Self {
        let record = writer.mark();
        writer.put(&header(PARAMS, 0));
        Self { writer, record }
    }

    fn pair(&mut self, name: &[u8], value: &[u8]) -> Result<(), EncodeError> {
        let name_length = length("variable's name", name)?;
        let value_length = length("variable's value", value)?;
        let parts = [name_length.bytes(), value_length.bytes(), name, value];
        let whole = parts.iter().fold(0usize, |sum, part| sum.saturating_add(part.len()));
        if whole > self.room() {
            self.next_record();
        }
        if whole <= RECORD {
            parts.iter().for_each(|part| self.writer.put(part));
        } else {
            parts.iter().for_each(|part| self.put_in_pieces(part));
        }
        Ok(())
    }

    fn put_in_pieces(&mut self, mut part: &[u8]) {
        while !part.is_empty() {
            if self.room() == 0 {
                self.next_record();
            }
            let (piece, rest) = part.split_at_checked(self.room()).unwrap_or((part, &[]));
            self.writer.put(piece);
            part = rest;
        }
    }

    fn content(&self) -> usize {
        self.writer.since(self.record).saturating_sub(header(PARAMS, 0).len())
    }

    fn room(&self) -> usize {
        RECORD.saturating_sub(self.content())
    }

    /// An empty record would end the stream (§3.3), so one without content is used on.
    fn next_record(&mut self) {
        if self.content() > 0 {
            self.close_record();
            self.record = self.writer.mark();
            self.writer.put(&header(PARAMS, 0));
        }
    }

    fn close_record(&mut self) {
        // `room` keeps the content within 16 bits.
        let content = u16::try_from(self.content()).unwrap_or(u16::MAX);
        self.writer.patch(self.record, &header(PARAMS, content));
    }

    /// The empty record that ends the stream.
    fn end(&mut self) {
        self.next_record();
    }
}

/// The length of a name or value; `what` it is for the error.
pub(super) fn length(what: &'static str, text: &[u8]) -> Result<PairLength, EncodeError> {
    PairLength::of(text.len()).ok_or(EncodeError::TooLong {
        what,
        protocol: "FastCGI",
        length: text.len(),
        limit: PairLength::LIMIT,
    })
}
