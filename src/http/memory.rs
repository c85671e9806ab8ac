// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory of lists, which serves one request of a thread after the other. glibc has a short way for seven pieces of a size: with 32 requests at a
//! time most would go the long one, twice.

use std::{cell::RefCell, mem, ops::Range};

/// A thread keeps memory for so many lists of each size.
const MOST: usize = 64;
/// What has fewer bytes is small.
const SMALL: usize = 512;
/// What has more is given back.
const MOST_BYTES: usize = 4096;
const MOST_PAIRS: usize = 64;

/// The memory of one list.
type ListParts = (Vec<u8>, Vec<Pair>);

thread_local! {
    /// Small ones and others; none on threads that only get lists of other threads.
    static KEPT: RefCell<Option<[Vec<ListParts>; 2]>> = const { RefCell::new(None) };
}

/// Where a pair stands.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
}

impl Pair {
    #[inline]
    pub(super) fn of<'b>(&self, bytes: &'b [u8]) -> Option<(&'b [u8], &'b [u8])> {
        Some((bytes.get(self.name.clone())?, bytes.get(self.value.clone())?))
    }
}

/// The bytes of a list, and where its pairs stand in them.
#[derive(Debug, Default)]
pub(super) struct ListMemory {
    pub(super) bytes: Vec<u8>,
    pub(super) pairs: Vec<Pair>,
    /// It is for later lists of the thread that gives it up.
    is_kept: bool,
}

fn size(bytes: usize) -> usize {
    usize::from(bytes >= SMALL)
}

impl ListMemory {
    /// Empty, with room for as much.
    pub(super) fn with_capacity(pairs: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), pairs: Vec::with_capacity(pairs), is_kept: false }
    }

    /// The same, of an earlier list if there is one, and for a later one.
    pub(super) fn kept(pairs: usize, bytes: usize) -> Self {
        let kept =
            KEPT.try_with(|kept| kept.try_borrow_mut().ok()?.get_or_insert_default()[size(bytes)].pop());
        let (mut own_bytes, mut own_pairs) = kept.ok().flatten().unwrap_or_default();
        if own_bytes.capacity() < bytes {
            own_bytes = Vec::with_capacity(bytes);
        }
        if own_pairs.capacity() < pairs {
            own_pairs = Vec::with_capacity(pairs);
        }
        Self { bytes: own_bytes, pairs: own_pairs, is_kept: true }
    }

    pub(super) fn is_kept(&self) -> bool {
        self.is_kept
    }

    #[inline(never)]
    fn give_back(&mut self) {
        let fits = (1..=MOST_BYTES).contains(&self.bytes.capacity())
            && (1..=MOST_PAIRS).contains(&self.pairs.capacity());
        if !fits {
            return;
        }
        // The error is that this thread ends.
        let _ends = KEPT.try_with(|kept| {
            if let Ok(mut kept) = kept.try_borrow_mut()
                && let Some(kept) = kept.as_mut()
                && let kept = &mut kept[size(self.bytes.capacity())]
                && kept.len() < MOST
            {
                self.bytes.clear();
                self.pairs.clear();
                kept.push((mem::take(&mut self.bytes), mem::take(&mut self.pairs)));
            }
        });
    }
}

impl Clone for ListMemory {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), pairs: self.pairs.clone(), is_kept: false }
    }
}

impl Drop for ListMemory {
    fn drop(&mut self) {
        if self.is_kept {
            self.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts() -> Option<[usize; 2]> {
        KEPT.with_borrow(|kept| kept.as_ref().map(|[small, other]| [small.len(), other.len()]))
    }

    #[test]
    fn memory_serves_the_next_list_of_a_thread() {
        let mut first = ListMemory::kept(8, 100);
        let places = (first.bytes.as_ptr(), first.pairs.as_ptr());
        first.bytes.extend_from_slice(b"of another request");
        first.pairs.push(Pair { name: 0..1, value: 1..2 });
        drop(first);
        let second = ListMemory::kept(4, 50);
        assert_eq!((second.bytes.as_ptr(), second.pairs.as_ptr()), places);
        assert!(second.bytes.is_empty() && second.pairs.is_empty());
        drop(second);
        let third = ListMemory::kept(16, 200);
        assert!(third.bytes.capacity() >= 200 && third.pairs.capacity() >= 16);
    }

    #[test]
    fn sizes_stay_apart() {
        drop((ListMemory::kept(1, 10), ListMemory::kept(1, SMALL)));
        assert_eq!(counts(), Some([1, 1]));
        let (small, large) = (ListMemory::kept(1, 10), ListMemory::kept(1, SMALL));
        assert_eq!(counts(), Some([0, 0]));
        assert!(small.bytes.capacity() < SMALL && large.bytes.capacity() >= SMALL);
    }

    #[test]
    fn all_others_are_given_back() {
        drop(ListMemory::kept(1, 1));
        drop(ListMemory::with_capacity(8, 100));
        drop(ListMemory::kept(1, 1).clone());
        drop(ListMemory::kept(8, MOST_BYTES + 1));
        assert_eq!(counts(), Some([1, 0]));
        let other = ListMemory::kept(1, SMALL);
        let get = move || {
            drop(other);
            assert_eq!(counts(), None);
        };
        std::thread::spawn(get).join().expect("no panic");
    }

    #[test]
    fn a_thread_keeps_no_more_than_it_may() {
        let lists: Vec<_> = (0..MOST + 9).map(|_| ListMemory::kept(1, 1)).collect();
        drop(lists);
        assert_eq!(counts(), Some([MOST, 0]));
    }
}
