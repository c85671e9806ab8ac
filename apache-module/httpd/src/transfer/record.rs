// SPDX-License-Identifier: MIT OR Apache-2.0
//! A part of a request's body, as the protocol of a backend frames it.

use std::ffi::c_int;

use gangway::protocol::Protocol;

use crate::brigade::{Bucket, ReadMode};

/// Bytes of a body that are in memory at a time while it is passed on: what a record of FastCGI can hold.
pub const AT_A_TIME: usize = 65_535;

/// A part of a body that grows behind its header.
#[must_use = "a record that nobody ends has no header"]
pub struct Record<'a> {
    out: &'a mut Vec<u8>,
    protocol: &'a dyn Protocol,
    /// Where its header stands.
    start: usize,
    /// Where its content begins.
    content: usize,
    /// How much it can hold.
    most: usize,
}

impl<'a> Record<'a> {
    /// Begins one behind what there is already.
    pub fn begin(out: &'a mut Vec<u8>, protocol: &'a dyn Protocol) -> Self {
        let start = out.len();
        // All headers of a protocol are equally long.
        out.extend_from_slice(protocol.body_part(1).header());
        let content = out.len();
        let most = protocol.body_part(AT_A_TIME as u64).content;
        let most = usize::try_from(most).unwrap_or(AT_A_TIME).min(AT_A_TIME);
        Self { out, protocol, start, content, most }
    }

    fn len(&self) -> usize {
        self.out.len() - self.content
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For how many bytes there is room.
    #[must_use]
    pub fn room(&self) -> usize {
        self.most.saturating_sub(self.len())
    }

    /// Copies what a bucket holds, which may be more than there is room for if it cannot be split. Answers whether it is one of bytes.
    ///
    /// # Errors
    /// APR's status.
    pub fn append(&mut self, bucket: &mut Bucket<'_>) -> Result<bool, c_int> {
        if !bucket.is_data() {
            return Ok(false);
        }
        bucket.split(self.room());
        self.out.extend_from_slice(bucket.read(ReadMode::Blocking)?);
        Ok(true)
    }

    /// Copies bytes, which may be more than there is room for.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Writes the headers. Content that did not fit is in records of its own.
    pub fn end(self) {
        let first = self.protocol.body_part(self.len() as u64);
        if let Some(header) = self.out.get_mut(self.start..self.content).filter(|_| first.content > 0) {
            header.copy_from_slice(first.header());
        } else {
            self.out.truncate(self.start);
            return;
        }
        let split = usize::try_from(first.content).unwrap_or(usize::MAX).saturating_add(self.content);
        let mut rest = self.out.split_off(split.min(self.out.len()));
        while !rest.is_empty() {
            let part = self.protocol.body_part(rest.len() as u64);
            let count = usize::try_from(part.content).unwrap_or(rest.len()).clamp(1, rest.len());
            self.out.extend_from_slice(part.header());
            self.out.extend(rest.drain(..count));
        }
    }
}
