// SPDX-License-Identifier: MIT OR Apache-2.0
//! Output on its way from a handler to a server.

use std::{ffi::c_void, os::fd::OwnedFd};

use crate::http::{Fields, Head};

/// Bytes that an engine lends until they are released, which dropping this does.
pub struct Lent {
    ptr: *const u8,
    len: usize,
    release: Option<unsafe extern "C" fn(*mut c_void)>,
    context: *mut c_void,
}

#[expect(unsafe_code, reason = "memory that belongs to an engine")]
mod lent {
    use super::{Lent, c_void};

    // SAFETY: gangway.h lets release() be called on any thread and forbids changes of the bytes until then.
    unsafe impl Send for Lent {}
    // SAFETY: shared access only reads bytes that gangway.h forbids the engine to change before release().
    unsafe impl Sync for Lent {}

    impl Lent {
        /// Takes over a borrow.
        ///
        /// # Safety
        /// `ptr` points to `len` readable bytes (or `len` is 0) that stay unchanged until `release(context)` is
        /// called, which is sound from any thread, once.
        pub unsafe fn new(
            ptr: *const u8,
            len: usize,
            release: Option<unsafe extern "C" fn(*mut c_void)>,
            context: *mut c_void,
        ) -> Self {
            Self { ptr, len, release, context }
        }

        /// The bytes.
        #[must_use]
        pub fn as_slice(&self) -> &[u8] {
            if self.len == 0 {
                return &[];
            }
            // SAFETY: the creator of this value vouched for `ptr` and `len` until the release, which is in drop.
            unsafe { std::slice::from_raw_parts(self.ptr, self.len) }
        }

        /// Gives the borrow back to the caller without a release: what `release` was to be called with.
        pub(crate) fn forget(mut self) -> *mut c_void {
            self.release = None;
            self.context
        }
    }

    impl Drop for Lent {
        fn drop(&mut self) {
            if let Some(release) = self.release.take() {
                // SAFETY: the creator vouched for one call from any thread, and `take` makes it one.
                unsafe { release(self.context) }
            }
        }
    }
}

impl Lent {
    fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

/// So that at most [`super::ROOM`] / this many files wait for one client.
const FILE_WEIGHT: usize = 16 * 1024;

/// A part of a regular file.
#[derive(Debug)]
pub struct FileSlice {
    /// The file, owned.
    pub fd: OwnedFd,
    /// Where the part begins.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
}

/// One piece of a response body.
pub enum Piece {
    /// Bytes of our own.
    Copied(Vec<u8>),
    /// The application's own bytes.
    Lent(Lent),
    /// A part of a file.
    File(FileSlice),
}

impl Piece {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Copied(bytes) => bytes.len(),
            Self::Lent(lent) => lent.len,
            Self::File(file) => usize::try_from(file.len).unwrap_or(usize::MAX),
        }
    }

    /// Whether it has no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How much memory it takes that the server must bound: lent bytes exist anyway, but hold the application;
    /// a file holds a descriptor, of which a process has about a thousand.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::File(file) if file.len == 0 => 0,
            Self::File(_) => FILE_WEIGHT,
            Self::Copied(_) | Self::Lent(_) => self.len(),
        }
    }

    /// Takes away what goes beyond this length.
    pub fn truncate(&mut self, len: u64) {
        let short = usize::try_from(len).unwrap_or(usize::MAX);
        match self {
            Self::Copied(bytes) => bytes.truncate(short),
            Self::Lent(lent) => lent.truncate(short),
            Self::File(file) => file.len = file.len.min(len),
        }
    }
}

/// How a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Complete.
    Complete,
    /// Failed: 500 if no head has left, else the connection is cut.
    Failed,
    /// Nothing has left, and the server gives the response.
    Passed,
}

/// What few responses have besides head and body.
#[derive(Debug, Default)]
pub struct Beyond {
    /// The fields of interim responses (103), before the head.
    pub interim: Vec<Fields>,
    /// With the head: fields will follow the body.
    pub expects_trailers: bool,
    /// Fields that follow the body, with the end.
    pub trailers: Option<Fields>,
}

/// What leaves at one time.
#[derive(Default)]
pub struct Delivery {
    /// Before, between and behind them.
    pub beyond: Option<Box<Beyond>>,
    /// The head, first of all.
    pub head: Option<Head>,
    /// Parts of the body in order, none empty.
    pub pieces: Vec<Piece>,
    /// The end, last of all.
    pub end: Option<End>,
}

impl Delivery {
    /// Adds a piece; small copies join into one.
    pub fn push(&mut self, piece: Piece) {
        const JOIN_MOST: usize = 16 * 1024;
        if piece.is_empty() {
            return;
        }
        if let (Some(Piece::Copied(last)), Piece::Copied(more)) = (self.pieces.last_mut(), &piece)
            && last.len() + more.len() <= JOIN_MOST
        {
            last.extend_from_slice(more);
            return;
        }
        if self.pieces.capacity() == 0 {
            // What push() would take by a longer way.
            self.pieces = Vec::with_capacity(4);
        }
        self.pieces.push(piece);
    }

    /// What is more than head and body, to be added to.
    pub(super) fn more(&mut self) -> &mut Beyond {
        self.beyond.get_or_insert_default()
    }

    /// Interim responses that come first.
    pub fn take_interim(&mut self) -> Vec<Fields> {
        self.beyond.as_mut().map(|beyond| std::mem::take(&mut beyond.interim)).unwrap_or_default()
    }

    /// Whether there is something to send before the end.
    #[must_use]
    pub fn has_output(&self) -> bool {
        self.head.is_some() || !self.pieces.is_empty()
    }

    /// Adds all that another delivery holds.
    pub fn append(&mut self, more: Self) {
        if let Some(beyond) = more.beyond {
            let ours = self.more();
            ours.interim.extend(beyond.interim);
            ours.expects_trailers |= beyond.expects_trailers;
            ours.trailers = beyond.trailers.or_else(|| ours.trailers.take());
        }
        if more.head.is_some() {
            self.head = more.head;
        }
        if self.pieces.is_empty() {
            self.pieces = more.pieces;
        } else {
            more.pieces.into_iter().for_each(|piece| self.push(piece));
        }
        if more.end.is_some() {
            self.end = more.end;
        }
    }

    /// Says how long a body is that is here as a whole, where nobody has said it.
    pub(super) fn measure(&mut self) {
        let is_whole = self.end == Some(End::Complete) && self.beyond.is_none() && !self.pieces.is_empty();
        if let Some(head) = self.head.as_mut().filter(|head| is_whole && head.content_length.is_none()) {
            head.content_length = Some(self.pieces.iter().map(|piece| piece.len() as u64).sum());
        }
    }

    /// As [`Self::measure`], when all of it is here that there will be.
    pub(super) fn measure_all(&mut self) {
        let is_whole = self.beyond.is_none();
        let is_open = |head: &&mut Head| is_whole && head.content_length.is_none() && !head.forbids_body();
        if let Some(head) = self.head.as_mut().filter(is_open) {
            head.content_length = Some(self.pieces.iter().map(|piece| piece.len() as u64).sum());
        }
    }

    /// Bytes of memory that the pieces take.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.pieces.iter().map(Piece::weight).fold(0, usize::saturating_add)
    }
}
