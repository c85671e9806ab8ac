// SPDX-License-Identifier: MIT OR Apache-2.0
//! FastCGI 1.0 (the sections are those of its specification, M. R. Brown, 29 April 1996).
//!
//! `encode` and `decode` are the web server's side, `requests` and `responses` the application's; `lanes` is what our own two sides have between
//! them besides.

mod decode;
mod encode;
pub mod lanes;
mod requests;
mod responses;
mod values;

pub(super) use decode::RecordDecoder;
pub use requests::{Received, RequestRefusal, Requests};
pub use responses::{Stream, end, part, put, taken, unknown_type, values_result};
pub use values::{Pairs, Values, get_values};

use super::{EncodeError, FramedBody, Protocol, Settings};
use crate::http::{Fields, Layout};

/// The FastCGI protocol. Every request has the id 1: a connection carries one at a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct FastCgi;

impl Protocol for FastCgi {
    fn name(&self) -> &'static str {
        "FastCGI"
    }

    fn layout(&self) -> Layout {
        Layout::FastCgi
    }

    fn encode_head(
        &self,
        settings: &Settings<'_>,
        variables: &Fields,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        encode::head(settings, variables, out)
    }

    fn body_part(&self, available: u64) -> FramedBody {
        let content = u16::try_from(available).unwrap_or(u16::MAX).min(BODY_PART);
        FramedBody { header: header(STDIN, content), framed: content > 0, content: u64::from(content) }
    }

    fn body_end(&self) -> &'static [u8] {
        const EMPTY_STDIN: &[u8] = &header(STDIN, 0);
        EMPTY_STDIN
    }

    fn abort(&self) -> &'static [u8] {
        // §5.4.
        const ABORT: &[u8] = &header(ABORT_REQUEST, 0);
        ABORT
    }

    fn decoder(&self) -> super::Decoder {
        super::Decoder(super::Framing::FastCgi(RecordDecoder::NEW))
    }

    fn keeps_connections(&self) -> bool {
        true
    }
}

/// §8: FCGI_VERSION_1.
const VERSION: u8 = 1;
/// §3.3: the id of every request here; 0 belongs to management records.
const REQUEST: u16 = 1;
/// The content of a full record of a body: §3.3 recommends multiples of eight, and so needs no padding.
const BODY_PART: u16 = 65_528;

// §8, record types.
const BEGIN_REQUEST: u8 = 1;
const ABORT_REQUEST: u8 = 2;
const END_REQUEST: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
const STDERR: u8 = 7;
const DATA: u8 = 8;
const GET_VALUES: u8 = 9;
const GET_VALUES_RESULT: u8 = 10;
const UNKNOWN_TYPE: u8 = 11;

// Ours: see `lanes`. FastCGI has no types beyond 11.
const GRANT: u8 = 200;
const CUT: u8 = 201;

/// §3.3: a record's header, for our request and without padding, which is the sender's choice.
const fn header(kind: u8, content: u16) -> [u8; 8] {
    header_of(REQUEST, kind, content)
}

/// The same for any request, or for a management record, whose id is 0.
const fn header_of(id: u16, kind: u8, content: u16) -> [u8; 8] {
    let [id_high, id_low] = id.to_be_bytes();
    let [high, low] = content.to_be_bytes();
    [VERSION, kind, id_high, id_low, high, low, 0, 0]
}
