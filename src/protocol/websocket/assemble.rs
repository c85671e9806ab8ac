// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the client's bytes to messages and control frames.

use super::{
    Content, SocketMessage,
    deflate::inflate,
    frame::{CONTROL_MOST, Fault, FrameHead, HeadGather, Opcode, is_sendable},
};
use crate::wire::Reader;

const RESERVED: Fault = Fault::protocol("a reserved bit is set");

/// What the client has sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    Message(SocketMessage),
    Ping(Vec<u8>),
    Pong,
    /// The number, and the reason, which is UTF-8.
    Close(Option<(u16, Vec<u8>)>),
}

/// Puts frames together.
#[derive(Debug)]
pub(super) struct Assembler {
    message_most: usize,
    /// Compressed messages are understood.
    can_inflate: bool,
    /// Messages are read over.
    is_discarding: bool,
    /// A close frame has come, right or wrong: nothing follows it (RFC 6455 §5.5.1).
    has_close: bool,
    head: HeadGather,
    /// The frame whose payload comes in.
    frame: Option<Frame>,
    /// The message whose frames come in.
    message: Option<Partial>,
}

#[derive(Debug)]
struct Frame {
    head: FrameHead,
    /// Payload bytes that have come.
    have: u64,
    /// The payload of a control frame; that of others goes to their message.
    control: Vec<u8>,
}

#[derive(Debug)]
struct Partial {
    content: Content,
    is_compressed: bool,
    payload: Vec<u8>,
    /// Bytes of text that are known to be UTF-8.
    checked: usize,
}

impl Assembler {
    pub(super) const fn new(message_most: usize, can_inflate: bool) -> Self {
        Self {
            message_most,
            can_inflate,
            is_discarding: false,
            has_close: false,
            head: HeadGather::EMPTY,
            frame: None,
            message: None,
        }
    }

    /// Takes bytes until something has arrived; `None`: all of them, and more are needed.
    pub(super) fn take(&mut self, reader: &mut Reader<'_>) -> Result<Option<Arrival>, Fault> {
        loop {
            if self.frame.is_none() {
                let Some(head) = self.head.fill(reader)? else { return Ok(None) };
                self.begin(head)?;
            }
            let Some(frame) = &mut self.frame else { return Ok(None) };
            let missing = usize::try_from(frame.head.length - frame.have).unwrap_or(usize::MAX);
            let part = reader.take_up_to(missing);
            let before = frame.have;
            frame.have += part.len() as u64;
            let is_whole = frame.have == frame.head.length;
            if frame.head.opcode.is_control() {
                unmask(&mut frame.control, part, frame.head.mask, before);
            } else if let Some(message) = &mut self.message {
                message.make_room(part.len(), missing);
                unmask(&mut message.payload, part, frame.head.mask, before);
                message.check()?;
            }
            if !is_whole {
                return Ok(None);
            }
            let Some(Frame { head, control, .. }) = self.frame.take() else { return Ok(None) };
            if let Some(arrival) = self.end(head, control)? {
                return Ok(Some(arrival));
            }
        }
    }

    /// A frame begins: may it come here, and is it not too long? If not, its payload is read over.
    fn begin(&mut self, head: FrameHead) -> Result<(), Fault> {
        self.frame = Some(Frame { head, have: 0, control: Vec::new() });
        if self.is_discarding {
            return Ok(());
        }
        match head.opcode {
            Opcode::Text => self.begin_message(Content::Text, head)?,
            Opcode::Binary => self.begin_message(Content::Binary, head)?,
            Opcode::Continuation if self.message.is_none() => {
                return Err(Fault::protocol("a message goes on that has not begun"));
            }
            // RFC 7692 §6.1: the bit stands in the first frame of a message alone.
            Opcode::Continuation if head.is_compressed => return Err(RESERVED),
            Opcode::Continuation => {}
            Opcode::Close | Opcode::Ping | Opcode::Pong => return Ok(()),
        }
        let Some(message) = &self.message else { return Ok(()) };
        let most = if message.is_compressed { compressed_most(self.message_most) } else { self.message_most };
        if head.length > most.saturating_sub(message.payload.len()) as u64 {
            return Err(Fault::TOO_BIG);
        }
        Ok(())
    }

    fn begin_message(&mut self, content: Content, head: FrameHead) -> Result<(), Fault> {
        if self.message.is_some() {
            return Err(Fault::protocol("a message begins before the one before it has ended"));
        }
        if head.is_compressed && !self.can_inflate {
            return Err(RESERVED);
        }
        let is_compressed = head.is_compressed;
        self.message = Some(Partial { content, is_compressed, payload: Vec::new(), checked: 0 });
        Ok(())
    }

    /// A frame is whole.
    fn end(&mut self, head: FrameHead, control: Vec<u8>) -> Result<Option<Arrival>, Fault> {
        match head.opcode {
            Opcode::Ping => return Ok(Some(Arrival::Ping(control))),
            Opcode::Pong => return Ok(Some(Arrival::Pong)),
            Opcode::Close => {
                self.has_close = true;
                return close(&control).map(|close| Some(Arrival::Close(close)));
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {}
        }
        if !head.is_last {
            return Ok(None);
        }
        let Some(mut message) = self.message.take() else { return Ok(None) };
        if message.is_compressed {
            message.payload = inflate(&message.payload, self.message_most)?;
            message.is_compressed = false;
            message.check()?;
        }
        if message.content == Content::Text && message.checked < message.payload.len() {
            return Err(Fault::NOT_TEXT);
        }
        Ok(Some(Arrival::Message(SocketMessage { content: message.content, payload: message.payload })))
    }

    /// Bytes of memory of the message whose frames come in.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.payload.capacity())
    }

    /// Whether the client has said its last word.
    pub(super) const fn has_close(&self) -> bool {
        self.has_close
    }

    /// No message is wanted any more: what is left to come is the client's close frame.
    pub(super) fn discard(&mut self) {
        self.is_discarding = true;
        self.message = None;
    }
}

impl Partial {
    /// Room for a part of a frame of which so much is missing: for all of it where that is not much more than what has come, so
    /// that most messages are never moved, and a frame that is only announced takes nothing.
    fn make_room(&mut self, part: usize, missing: usize) {
        let free = self.payload.capacity() - self.payload.len();
        if free < part {
            self.payload.reserve_exact(missing.min(self.payload.len().max(part.saturating_mul(4))));
        }
    }

    /// Text is known to be none as soon as it is: the rest of it need not come.
    fn check(&mut self) -> Result<(), Fault> {
        if self.content == Content::Binary || self.is_compressed {
            return Ok(());
        }
        let fresh = self.payload.get(self.checked..).unwrap_or_default();
        match simdutf8::compat::from_utf8(fresh) {
            Ok(_) => self.checked = self.payload.len(),
            Err(error) if error.error_len().is_some() => return Err(Fault::NOT_TEXT),
            // A character whose end has not come.
            Err(error) => self.checked += error.valid_up_to(),
        }
        Ok(())
    }
}

/// What cannot be compressed becomes longer by five bytes for each block of 16 KiB or more (RFC 1951 §3.2.4), and some
/// compressors write several short blocks at the end.
const fn compressed_most(message_most: usize) -> usize {
    message_most.saturating_add(message_most / 1024).saturating_add(CONTROL_MOST)
}

/// The payload of a close frame (§5.5.1).
fn close(payload: &[u8]) -> Result<Option<(u16, Vec<u8>)>, Fault> {
    let mut reader = Reader::new(payload);
    if reader.is_empty() {
        return Ok(None);
    }
    let code = reader.array().map(u16::from_be_bytes).ok_or(Fault::protocol("half a close code"))?;
    if !is_sendable(code) {
        return Err(Fault::protocol("a close code that must not be sent"));
    }
    let reason = reader.take_up_to(CONTROL_MOST);
    if simdutf8::basic::from_utf8(reason).is_err() {
        return Err(Fault::NOT_TEXT);
    }
    Ok(Some((code, reason.to_vec())))
}

/// Appends bytes without their mask, whose first `before` bytes have been used (§5.3).
fn unmask(into: &mut Vec<u8>, part: &[u8], mask: [u8; 4], before: u64) {
    let mut mask = mask;
    // The remainder is less than four.
    mask.rotate_left((before % 4) as usize);
    let from = into.len();
    into.extend_from_slice(part);
    let fresh = into.get_mut(from..).unwrap_or_default();
    // Sixteen at a time, which the compiler makes one instruction of.
    let mut wide = [0u8; 16];
    for (slot, byte) in wide.iter_mut().zip(mask.iter().cycle()) {
        *slot = *byte;
    }
    let mut chunks = fresh.chunks_exact_mut(16);
    for chunk in &mut chunks {
        for (byte, mask) in chunk.iter_mut().zip(wide) {
            *byte ^= mask;
        }
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}
