// SPDX-License-Identifier: MIT OR Apache-2.0
//! What messages are made of. All who read them are one build on one machine: numbers stand as the machine has them.

/// Puts a message together.
#[derive(Debug, Default)]
pub struct Composer(Vec<u8>);

impl Composer {
    /// Adds a number.
    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_ne_bytes());
        self
    }

    /// Adds bytes, with their length.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let mut with_length = self.number(bytes.len() as u64);
        with_length.0.extend_from_slice(bytes);
        with_length
    }

    /// The message.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Takes a message apart. `None` is a message that no honest sender sends.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'m>(&'m [u8]);

impl<'m> Parts<'m> {
    /// From its beginning.
    #[must_use]
    pub fn new(message: &'m [u8]) -> Self {
        Self(message)
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next number.
    pub fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_ne_bytes(*number))
    }

    /// The next number, which is small.
    pub fn small<N: TryFrom<u64>>(&mut self) -> Option<N> {
        self.number().and_then(|number| N::try_from(number).ok())
    }

    /// The next bytes.
    pub fn bytes(&mut self) -> Option<&'m [u8]> {
        let length = self.small()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}
