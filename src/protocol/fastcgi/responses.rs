// SPDX-License-Identifier: MIT OR Apache-2.0
//! The records of responses, as an application writes them: the other side of `decode.rs`.

use super::{
    BODY_PART, END_REQUEST, GET_VALUES_RESULT, Pairs, RequestRefusal, STDERR, STDOUT, UNKNOWN_TYPE, encode,
    header_of, values::record,
};
use crate::{protocol::EncodeError, wire::append};

/// Which stream of a response (§5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// FCGI_STDOUT: a CGI response.
    Output,
    /// FCGI_STDERR: lines for the web server's log.
    Errors,
}

impl Stream {
    fn kind(self) -> u8 {
        match self {
            Self::Output => STDOUT,
            Self::Errors => STDERR,
        }
    }
}

/// The header of the next record of a stream of which `available` bytes are at hand, and how many of them stand behind it. The
/// bytes themselves need not be copied. `None`: nothing is at hand, and an empty record would end the stream.
#[must_use]
pub fn part(id: u16, stream: Stream, available: usize) -> Option<([u8; 8], usize)> {
    let content = u16::try_from(available).unwrap_or(u16::MAX).min(BODY_PART);
    (content > 0).then(|| (header_of(id, stream.kind(), content), usize::from(content)))
}

/// Appends all of `bytes` as records of a stream; nothing when there are none.
pub fn put(id: u16, stream: Stream, mut bytes: &[u8], out: &mut Vec<u8>) {
    while let Some((header, content)) = part(id, stream, bytes.len()) {
        let (now, rest) = bytes.split_at_checked(content).unwrap_or((bytes, &[]));
        out.extend_from_slice(&header);
        out.extend_from_slice(now);
        bytes = rest;
    }
}

/// An empty record of FCGI_STDERR: nothing to who does not know it (§3.3). `gangway-host` says by it that it has the head of a request.
#[must_use]
pub fn taken(id: u16) -> [u8; 8] {
    header_of(id, STDERR, 0)
}

/// FCGI_END_REQUEST (§5.5): the request ended with this status of the application, or was not taken up. It ends both streams,
/// which therefore need no empty records.
#[must_use]
pub fn end(id: u16, application: u32, refusal: Option<RequestRefusal>) -> [u8; 16] {
    let [v, kind, id_high, id_low, high, low, padding, reserved] = header_of(id, END_REQUEST, 8);
    let [a, b, c, d] = application.to_be_bytes();
    let status = refusal.map_or(0, |refusal| refusal as u8);
    [v, kind, id_high, id_low, high, low, padding, reserved, a, b, c, d, status, 0, 0, 0]
}

/// FCGI_UNKNOWN_TYPE (§4.2): the answer to a management record of a type that is not known.
#[must_use]
pub fn unknown_type(asked: u8) -> [u8; 16] {
    let [v, kind, id_high, id_low, high, low, padding, reserved] = header_of(0, UNKNOWN_TYPE, 8);
    [v, kind, id_high, id_low, high, low, padding, reserved, asked, 0, 0, 0, 0, 0, 0, 0]
}

/// Appends FCGI_GET_VALUES_RESULT (§4.1) for the content of a FCGI_GET_VALUES record: of `known`, the names that were asked for.
/// Names that are not known are left out, and those that are not whole.
///
/// # Errors
/// When the answer does not fit into one record. `out` is then as it was.
pub fn values_result(
    question: &[u8],
    known: &[(&[u8], &[u8])],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    // A name that is asked for twice is answered once: an answer is never longer than what is known.
    let asked = |name: &[u8]| Pairs::new(question).any(|(asked, _)| asked == name);
    append(out, |writer| {
        record(writer, GET_VALUES_RESULT, "list of values", |writer| {
            for (name, value) in known.iter().filter(|(name, _)| asked(name)) {
                writer.put(encode::length("name", name)?.bytes());
                writer.put(encode::length("value", value)?.bytes());
                writer.put(name);
                writer.put(value);
            }
            Ok(())
        })
    })
}
