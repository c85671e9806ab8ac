// SPDX-License-Identifier: MIT OR Apache-2.0
//! From messages to frames: each message is one frame.

use super::{
    Content,
    deflate::deflate,
    extension::Compression,
    frame::{CONTROL_MOST, Opcode, put_head},
};

/// Bytes of the longest head of a frame of ours.
const HEAD_MOST: usize = 10;

/// Shorter messages seldom become shorter when each is compressed for itself, and cost as much.
const WORTH_COMPRESSING: usize = 1024;

/// A message as it goes over the wire. Making it may take long, which needs no connection.
#[derive(Debug)]
pub struct EncodedMessage(pub(super) Vec<u8>);

impl EncodedMessage {
    /// The frame of a message; text must be UTF-8. `compression` is that of the connection's rules.
    #[must_use]
    pub fn new(content: Content, payload: &[u8], compression: Option<Compression>) -> Self {
        let mut out = Vec::new();
        message(content, payload, compression, &mut out);
        Self(out)
    }
}

/// Appends the frame of a message.
pub(super) fn message(content: Content, payload: &[u8], compression: Option<Compression>, out: &mut Vec<u8>) {
    let opcode = match content {
        Content::Text => Opcode::Text,
        Content::Binary => Opcode::Binary,
    };
    let compressed = compression
        .filter(|_| payload.len() >= WORTH_COMPRESSING)
        .and_then(|compression| deflate(payload, compression.server_bits))
        .filter(|compressed| compressed.len() < payload.len());
    let bytes = compressed.as_deref().unwrap_or(payload);
    out.reserve(bytes.len() + HEAD_MOST);
    put_head(out, opcode, compressed.is_some(), bytes.len());
    out.extend_from_slice(bytes);
}

/// The frame of a ping, or of the answer to one.
pub(super) fn control(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let payload = payload.get(..payload.len().min(CONTROL_MOST)).unwrap_or_default();
    let mut out = Vec::with_capacity(payload.len() + 2);
    put_head(&mut out, opcode, false, payload.len());
    out.extend_from_slice(payload);
    out
}

/// A close frame; without a number one that is empty. A reason that is too long ends with a whole character.
pub(super) fn close(code: Option<u16>, reason: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    if let Some(code) = code {
        payload.extend_from_slice(&code.to_be_bytes());
        let most = reason.len().min(CONTROL_MOST - 2);
        let end = (0..=most).rev().find(|at| reason.is_char_boundary(*at)).unwrap_or_default();
        payload.extend_from_slice(reason.as_bytes().get(..end).unwrap_or_default());
    }
    control(Opcode::Close, &payload)
}
