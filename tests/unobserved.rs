// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a request pays for being observable while nobody observes it: no memory. In a process of its own, as who observes
//! does so for good.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use gangway::{
    log::{self, Level, RequestLog},
    report,
    trace::{self, Answerer, Trace},
};

/// The system's allocator, which counts.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: the system's allocator does the work, with what this one is given.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the memory is of `alloc`, which is the system's, says the caller.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `act` takes memory on this thread.
fn allocations(act: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    act();
    ALLOCATIONS.get() - before
}

/// A server's log at its usual level.
struct Quiet;

impl RequestLog for Quiet {
    fn takes(&self, level: Level) -> bool {
        level <= Level::Notice
    }

    fn write(&self, _: Level, line: &str) {
        panic!("nobody wants {line:?}");
    }
}

#[test]
fn a_request_that_nobody_observes_takes_no_memory_for_it() {
    assert!(!log::is_observed());
    assert_eq!(allocations(|| drop(Box::new(1))), 1, "it counts");
    let taken = allocations(|| {
        for answerer in [Answerer::Application, Answerer::Backend, Answerer::Script] {
            let traced = Quiet.takes(Level::Debug);
            let trace = Trace::open(traced, answerer);
            assert!(trace.is_none());
            trace::within(trace.as_deref(), || report!(Quiet, Debug, None, "{}", String::from("a line")));
        }
    });
    assert_eq!(taken, 0);
}
