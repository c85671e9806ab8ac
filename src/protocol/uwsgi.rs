// SPDX-License-Identifier: MIT OR Apache-2.0
//! The uwsgi protocol, as the uWSGI project describes it in "The uwsgi (lowercase!) Protocol".

use super::{EncodeError, Protocol, Settings};
use crate::{
    http::{Fields, Layout},
    wire::{Mark, Writer, append},
};

/// The uwsgi protocol: a packet of at most 65,535 bytes of variables, then the body; the response ends with the
/// connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uwsgi;

impl Protocol for Uwsgi {
    fn name(&self) -> &'static str {
        "uwsgi"
    }

    fn layout(&self) -> Layout {
        Layout::Uwsgi
    }

    fn encode_head(
        &self,
        settings: &Settings<'_>,
        variables: &Fields,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        append(out, |writer| packet(settings, variables, writer))
    }
}

/// The packet's header is a byte, a size of 16 bits (little endian), and another byte.
fn packet(settings: &Settings<'_>, variables: &Fields, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
    writer.put(&[settings.modifier1]);
    let size = writer.mark();
    writer.put(&[0, 0, settings.modifier2]);
    let block = writer.mark();
    match variables.in_one_piece(Layout::Uwsgi) {
        // So that a request that cannot be sent is not copied as a whole; and no length within is too large.
        Some(pairs) if pairs.len() <= LIMIT => writer.put(pairs),
        _ => {
            for (name, value) in variables.iter() {
                for part in [name, value] {
                    writer.put(&checked("variable", part.len())?);
                    writer.put(part);
                }
                check_block(writer, block)?;
            }
        }
    }
    writer.put(settings.string);
    let length = check_block(writer, block)?;
    writer.patch(size, &length);
    Ok(())
}

/// The largest number of two bytes.
const LIMIT: usize = u16::MAX as usize;

fn check_block(writer: &Writer<'_>, block: Mark) -> Result<[u8; 2], EncodeError> {
    checked("list of variables", writer.since(block))
}

fn checked(what: &'static str, length: usize) -> Result<[u8; 2], EncodeError> {
    u16::try_from(length).map(u16::to_le_bytes).map_err(|_| EncodeError::TooLong {
        what,
        protocol: "uwsgi",
        length,
        limit: LIMIT,
    })
}
