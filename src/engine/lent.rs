// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an asynchronous engine borrows of a request, and the memory for it, which serves one request of a thread after the other.

use std::{
    cell::{RefCell, UnsafeCell},
    mem, ptr,
};

use gangway_abi::ffi as abi;

use crate::exchange::Exchange;

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
    memory: UnsafeCell<Memory>,
    head: UnsafeCell<abi::gw_request_head>,
    /// The engine does not look at them any more once it has accepted a WebSocket.
    forgets: bool,
}

// SAFETY: the pointers are into the exchange that keeps this value and what it was told, which nobody changes before forget();
// only the engine reads through them, on one thread at a time, and forget() runs in a call of that thread.
unsafe impl Send for Kept {}
// SAFETY: nothing of it is written after it was made but by forget(), in a call of the one thread of the engine that reads.
unsafe impl Sync for Kept {}

impl Kept {
    /// `head` points into the memory.
    pub(super) fn new(memory: Memory, head: abi::gw_request_head, forgets: bool) -> Self {
        Self { memory: UnsafeCell::new(memory), head: UnsafeCell::new(head), forgets }
    }

    /// The head, for as long as this lives and stays where it is.
    pub(super) fn head(&self) -> *const abi::gw_request_head {
        self.head.get()
    }

    /// # Safety
    /// In a call of the engine's thread that has the request: nobody reads the head meanwhile.
    unsafe fn forget(&self) {
        // SAFETY: the caller's thread is the only one that reads them, and does not at the moment.
        let (memory, head) = unsafe { (&mut *self.memory.get(), &mut *self.head.get()) };
        (head.variables, head.variable_count) = (ptr::null(), 0);
        (head.fields, head.field_count) = (ptr::null(), 0);
        *memory = Memory::default();
    }
}

/// A WebSocket has been accepted, which may stay for hours: what the engine has been told of its request goes, if it looks at that no more.
///
/// # Safety
/// In a call of the engine's thread that has the request.
pub(super) unsafe fn forget_head(exchange: &Exchange) {
    if let Some(kept) = exchange.kept::<Kept>().filter(|kept| kept.forgets) {
        // SAFETY: the caller's thread is the engine's that has the request, and is in a call of the host.
        unsafe { kept.forget() }
        exchange.forget_told();
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let (mut variables, mut wire) = mem::take(self.memory.get_mut());
        let most = variables.capacity().max(wire.capacity());
        if most > MANY_FIELDS || most == 0 {
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
            variables: ptr::null(),
            variable_count: 0,
            content_length: 0,
            flags: 0,
            reserved: 0,
            fields: ptr::null(),
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
        drop(Kept::new(memory, head(), false));
        let (variables, wire) = take();
        assert_eq!((variables.as_ptr(), variables.len(), wire.len()), (place, 0, 0));
    }

    #[test]
    fn what_is_forgotten_is_gone_from_the_head_and_serves_no_other() {
        let (memory, mut head) = (filled(20), head());
        (head.variables, head.variable_count) = (memory.0.as_ptr(), memory.0.len());
        let kept = Kept::new(memory, head, true);
        // SAFETY: nobody else has it.
        unsafe { kept.forget() }
        // SAFETY: as long as `kept` lives.
        let head = unsafe { &*kept.head() };
        assert_eq!((head.variables.is_null(), head.variable_count, head.field_count), (true, 0, 0));
        let before = take().0.capacity();
        drop(kept);
        assert_eq!((before, take().0.capacity()), (0, 0));
    }

    #[test]
    fn large_memory_and_that_of_other_threads_is_given_back() {
        assert_eq!(take().0.capacity(), 0);
        drop(Kept::new(filled(MANY_FIELDS + 1), head(), false));
        assert_eq!(take().0.capacity(), 0);
        let kept = Kept::new(filled(3), head(), false);
        std::thread::spawn(move || {
            drop(kept);
            KEPT.with_borrow(|kept| assert!(kept.is_none()));
        })
        .join()
        .expect("no panic");
    }
}
