// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tables of the ABI as statics of an engine in Rust.

use std::ptr;

/// A value of the ABI that stays as it is until the process ends, such as an engine's table. Statics are shared between
/// threads, which Rust does not allow to pointers by themselves.
#[derive(Debug)]
#[repr(transparent)]
pub struct Constant<T>(T);

// SAFETY: nothing changes a constant, and new() demands the same of everything that it points to.
unsafe impl<T> Sync for Constant<T> {}

impl<T> Constant<T> {
    /// Wraps a value.
    ///
    /// # Safety
    /// Everything that `value` points to stays and is unchanged until the process ends, and its functions name the threads
    /// that may call them.
    pub const unsafe fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for as long as the process lives.
    pub const fn get(&'static self) -> &'static T {
        &self.0
    }
}

/// The addresses of constants, as a list of the ABI holds them.
#[must_use]
pub const fn pointers<T, const N: usize>(all: &'static [Constant<T>; N]) -> Constant<[*const T; N]> {
    let mut pointers = [ptr::null(); N];
    let mut at = 0;
    while at < N {
        pointers[at] = &raw const all[at].0;
        at += 1;
    }
    Constant(pointers)
}
