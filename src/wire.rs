// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bounded cursors over bytes: the only place of the protocols where offsets are computed.

/// Reads from the front of a slice; what is not there is `None`, never a panic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The number of bytes that are left.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Exactly `len` bytes.
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    /// What is there, and `len` bytes at most.
    pub(crate) fn take_up_to(&mut self, len: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at_checked(len).unwrap_or((self.0, &[]));
        self.0 = rest;
        head
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }
}

/// `N` bytes that may arrive in parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gather<const N: usize> {
    bytes: [u8; N],
    have: usize,
}

impl<const N: usize> Gather<N> {
    pub(crate) const EMPTY: Self = Self { bytes: [0; N], have: 0 };

    /// Whether none of the `N` bytes has come.
    pub(crate) fn is_empty(&self) -> bool {
        self.have == 0
    }

    /// Takes what is missing; all `N` bytes once they are there, and then the next `N` begin.
    pub(crate) fn fill(&mut self, reader: &mut Reader<'_>) -> Option<[u8; N]> {
        if self.have == 0
            && let Some(whole) = reader.array()
        {
            return Some(whole);
        }
        let missing = self.bytes.get_mut(self.have..)?;
        let part = reader.take_up_to(missing.len());
        for (slot, byte) in missing.iter_mut().zip(part) {
            *slot = *byte;
        }
        self.have += part.len();
        if self.have < N {
            return None;
        }
        self.have = 0;
        Some(self.bytes)
    }
}

/// FastCGI §3.4: the length of a name or value in a byte, or in four whose highest bit is set if it is larger than 127.
pub(crate) struct PairLength {
    bytes: [u8; 4],
    is_short: bool,
}

impl PairLength {
    /// The largest one.
    pub(crate) const LIMIT: usize = 0x7fff_ffff;

    #[inline]
    pub(crate) fn of(length: usize) -> Option<Self> {
        if let Ok(length @ 0..=127) = u8::try_from(length) {
            return Some(Self { bytes: [length, 0, 0, 0], is_short: true });
        }
        let length = u32::try_from(length).ok().filter(|_| length <= Self::LIMIT)?;
        Some(Self { bytes: (length | 1 << 31).to_be_bytes(), is_short: false })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        if self.is_short { self.bytes.get(..1).unwrap_or_default() } else { &self.bytes }
    }
}

/// Appends to a buffer of the caller.
#[derive(Debug)]
pub(crate) struct Writer<'v> {
    out: &'v mut Vec<u8>,
}

/// Has `body` append to a buffer, and takes everything back when it cannot finish what it has begun.
///
/// # Errors
/// Those of `body`. `out` is then as it was.
#[inline]
pub(crate) fn append<E>(
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Writer<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let start = out.len();
    let done = body(&mut Writer { out });
    if done.is_err() {
        out.truncate(start);
    }
    done
}

/// A place in the output whose bytes are known later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(usize);

impl Writer<'_> {
    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    #[inline]
    pub(crate) fn put_byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark(self.out.len())
    }

    /// The bytes written since `mark`.
    pub(crate) fn written(&self, mark: Mark) -> &[u8] {
        self.out.get(mark.0..).unwrap_or_default()
    }

    /// The number of bytes written since `mark`.
    pub(crate) fn since(&self, mark: Mark) -> usize {
        self.out.len().saturating_sub(mark.0)
    }

    /// Writes bytes and one more before those that were written since `mark`.
    pub(crate) fn insert(&mut self, mark: Mark, bytes: &[u8], last: u8) {
        self.out.splice(mark.0..mark.0, bytes.iter().copied().chain([last]));
    }

    /// Overwrites bytes that were written at `mark`.
    pub(crate) fn patch(&mut self, mark: Mark, bytes: &[u8]) {
        if let Some(place) = self.out.get_mut(mark.0..).and_then(|rest| rest.get_mut(..bytes.len())) {
            place.copy_from_slice(bytes);
        }
    }
}
