// SPDX-License-Identifier: MIT OR Apache-2.0
//! The first bytes of a frame (RFC 6455 §5.2), and what may be said at the end (§5.5.1, §7.4).

use super::close_code;
use crate::wire::Reader;

/// Why a connection is failed: what its close frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The number.
    pub code: u16,
    /// The reason, for people.
    pub text: &'static str,
}

impl Fault {
    pub(super) const fn protocol(text: &'static str) -> Self {
        Self { code: close_code::PROTOCOL, text }
    }

    pub(super) const NOT_TEXT: Self = Self { code: close_code::NOT_TEXT, text: "text that is not UTF-8" };
    pub(super) const TOO_BIG: Self = Self { code: close_code::TOO_BIG, text: "message too big" };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    pub(super) const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2_AND_3: u8 = 0x30;
const MASKED: u8 = 0x80;

/// The longest payload of a control frame (§5.5).
pub(super) const CONTROL_MOST: usize = 125;

/// The longest head: two bytes, eight of the length, four of the mask.
const HEAD_MOST: usize = 14;

/// The head of a frame from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) is_last: bool,
    pub(super) is_compressed: bool,
    pub(super) opcode: Opcode,
    pub(super) mask: [u8; 4],
    pub(super) length: u64,
}

/// Collects the bytes of a head, which may come one by one.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadGather {
    bytes: [u8; HEAD_MOST],
    have: usize,
}

impl HeadGather {
    pub(super) const EMPTY: Self = Self { bytes: [0; HEAD_MOST], have: 0 };

    /// The head, once all of it has come; the next one begins then.
    pub(super) fn fill(&mut self, reader: &mut Reader<'_>) -> Result<Option<FrameHead>, Fault> {
        if !self.have(2, reader) {
            return Ok(None);
        }
        let [first, second, ..] = self.bytes;
        let opcode = check(first, second)?;
        let extended = match second & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if !self.have(2 + extended + 4, reader) {
            return Ok(None);
        }
        self.have = 0;
        let mut rest = Reader::new(&self.bytes);
        let (Some(_), Some(digits)) = (rest.take(2), rest.take(extended)) else { return Ok(None) };
        let Some(mask) = rest.array() else { return Ok(None) };
        let length = if extended == 0 { u64::from(second & !MASKED) } else { number(digits)? };
        let (is_last, is_compressed) = (first & FIN != 0, first & RSV1 != 0);
        Ok(Some(FrameHead { is_last, is_compressed, opcode, mask, length }))
    }

    /// Takes bytes until there are `wanted`.
    fn have(&mut self, wanted: usize, reader: &mut Reader<'_>) -> bool {
        let Some(missing) = self.bytes.get_mut(self.have..wanted) else { return true };
        let part = reader.take_up_to(missing.len());
        for (slot, byte) in missing.iter_mut().zip(part) {
            *slot = *byte;
        }
        self.have += part.len();
        self.have == wanted
    }
}

/// What can be said of a head by its first two bytes.
fn check(first: u8, second: u8) -> Result<Opcode, Fault> {
    // §5.2: "If a nonzero value is received and none of the negotiated extensions defines the meaning of such a nonzero
    // value, the receiving endpoint MUST _Fail the WebSocket Connection_". Who knows what RSV1 means looks at it later.
    if first & RSV2_AND_3 != 0 {
        return Err(Fault::protocol("a reserved bit is set"));
    }
    let opcode = Opcode::from_bits(first & 0x0f).ok_or(Fault::protocol("an opcode that is reserved"))?;
    // §5.1: "a server MUST close the connection upon receiving a frame that is not masked".
    if second & MASKED == 0 {
        return Err(Fault::protocol("a frame that is not masked"));
    }
    if opcode.is_control() {
        // §5.5: 125 bytes at most, and never fragmented. RFC 7692 §6.1: never compressed.
        if second & !MASKED > 125 {
            return Err(Fault::protocol("a control frame of more than 125 bytes"));
        }
        if first & FIN == 0 {
            return Err(Fault::protocol("a control frame in fragments"));
        }
        if first & RSV1 != 0 {
            return Err(Fault::protocol("a control frame that is compressed"));
        }
    }
    Ok(opcode)
}

/// §5.2: "the minimal number of bytes MUST be used to encode the length", and the highest bit of eight bytes is 0.
fn number(digits: &[u8]) -> Result<u64, Fault> {
    let length = digits.iter().fold(0u64, |number, digit| number << 8 | u64::from(*digit));
    let least = if digits.len() == 2 { 126 } else { 1 << 16 };
    if length < least || length > i64::MAX.cast_unsigned() {
        return Err(Fault::protocol("a length that is written wrongly"));
    }
    Ok(length)
}

/// Appends the head of a frame of ours, which is not masked.
pub(super) fn put_head(out: &mut Vec<u8>, opcode: Opcode, is_compressed: bool, length: usize) {
    out.push(FIN | if is_compressed { RSV1 } else { 0 } | opcode.bits());
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ ..=125), _) => out.push(length),
        (_, Ok(length)) => {
            out.push(126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// Whether a close frame may name this number (§7.4.1, §7.4.2, and IANA's registry of close codes).
pub(super) const fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
