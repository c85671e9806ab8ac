// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an asynchronous engine borrows of a request, and the memory for it, which serves one request of a thread after the other.

use std::{cell::RefCell, mem};

use gangway_abi::ffi as abi;

/// More fields than most requests have: their memory is given back.
pub(super) const MANY_FIELDS: usize = 256;
/// Memory for so many requests is kept.
const MOST: usize = 64;

/// Meta-variables, and the fields as the client has sent them.
pub(super) type Memory = (Vec<abi::gw_field>, Vec<abi::gw_field>);

thread_local! {
    /// None on threads that hand nothing over.
    static KEPT: RefCell<Option<Vec<Memory>>> = const { RefCell::new(None) };
}

/// Memory that holds nothing.
pub(super) fn take() -> Memory {
    KEPT.with_borrow_mut(|kept| kept.get_or_insert_default().pop()).unwrap_or_default()
}

/// What an asynchronous request keeps alive.
pub(super) struct Kept {
    memory: Memory,
    head: abi::gw_request_head,
}

// SAFETY: the pointers are into the exchange that keeps this value and that nobody changes, and only the engine reads
// through them, on one thread at a time.
unsafe impl Send for Kept {}
// SAFETY: nothing of it is written after it was made.
unsafe impl Sync for Kept {}

impl Kept {
    /// `head` points into the memory.
    pub(super) fn new(memory: Memory, head: abi::gw_request_head) -> Self {
        Self { memory, head }
    }

    /// The head, for as long as this lives and stays where it is.
    pub(super) fn head(&self) -> *const abi::gw_request_head {
        &raw const self.head
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let (mut variables, mut wire) = mem::take(&mut self.memory);
        if variables.capacity().max(wire.capacity()) > MANY_FIELDS {
            return;
        }
        // They point to what is no more.
        variables.clear();
        wire.clear();
        // The error is that this thread ends.
        let _ends = KEPT.try_with(|kept| {
            if let Ok(mut kept) = kept.try_borrow_mut()
                && let Some(kept) = kept.as_mut().filter(|kept| kept.len() < MOST)
            {
                kept.push((variables, wire));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use gangway_abi::bytes::lend_field;

    use super::*;

    fn head() -> abi::gw_request_head {
        abi::gw_request_head {
            struct_size: size_of::<abi::gw_request_head>(),
            variables: std::ptr::null(),
            variable_count: 0,
            content_length: 0,
            flags: 0,
            reserved: 0,
            fields: std::ptr::null(),
            field_count: 0,
            local_port: 0,
            reserved2: 0,
        }
    }

    fn filled(count: usize) -> Memory {
        (vec![lend_field(b"A", b"b"); count], Vec::new())
    }

    #[test]
    fn memory_serves_the_next_request_of_the_thread_that_hands_over() {
        assert_eq!(take().0.capacity(), 0);
        let memory = filled(20);
        let place = memory.0.as_ptr();
        drop(Kept::new(memory, head()));
        let (variables, wire) = take();
        assert_eq!((variables.as_ptr(), variables.len(), wire.len()), (place, 0, 0));
    }

    #[test]
    fn large_memory_and_that_of_other_threads_is_given_back() {
        assert_eq!(take().0.capacity(), 0);
        drop(Kept::new(filled(MANY_FIELDS + 1), head()));
        assert_eq!(take().0.capacity(), 0);
        let kept = Kept::new(filled(3), head());
        std::thread::spawn(move || {
            drop(kept);
            KEPT.with_borrow(|kept| assert!(kept.is_none()));
        })
        .join()
        .expect("no panic");
    }
}
