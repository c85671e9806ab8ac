// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes and lists in a pool, for configurations: plain data that httpd copies, merges and frees.

use std::{ffi::CStr, fmt, ptr, slice};

use crate::sys::{self, apr_pool_t};

/// Items in a pool that lives at least as long as the configuration that points to them.
pub struct Pooled<T> {
    first: *const T,
    count: usize,
}

/// Bytes in a pool, followed by a NUL.
pub type Text = Pooled<u8>;

impl<T> Clone for Pooled<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Pooled<T> {}

impl<T> Default for Pooled<T> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<T> fmt::Debug for Pooled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pooled").field("count", &self.count).finish_non_exhaustive()
    }
}

impl<T> Pooled<T> {
    /// No items.
    pub const EMPTY: Self = Self { first: ptr::null(), count: 0 };
}

impl<T: Copy> Pooled<T> {
    /// Copies items into a pool.
    ///
    /// # Safety
    /// `pool` lives at least as long as every use of the result.
    #[must_use]
    pub unsafe fn copy(pool: *mut apr_pool_t, items: &[T]) -> Self {
        // One byte more than needed is zeroed, so that bytes are a C string too.
        let size = size_of_val(items);
        // SAFETY: APR gives memory that is aligned for any type, or aborts.
        unsafe {
            let place = sys::apr_palloc(pool, size + 1).cast::<T>();
            ptr::copy_nonoverlapping(items.as_ptr(), place, items.len());
            place.cast::<u8>().add(size).write(0);
            Self { first: place, count: items.len() }
        }
    }

    /// The items, for as long as whoever holds this.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: whoever holds this lives no longer than the pool.
        unsafe { self.for_life() }
    }

    /// The items, for as long as the pool.
    ///
    /// # Safety
    /// The pool lives for `'a`.
    #[must_use]
    pub unsafe fn for_life<'a>(self) -> &'a [T] {
        if self.count == 0 {
            return &[];
        }
        // SAFETY: made by `copy`; the caller vouches for the pool.
        unsafe { slice::from_raw_parts(self.first, self.count) }
    }
}

impl Text {
    /// The bytes as a C string.
    #[must_use]
    pub fn as_c_str(&self) -> &CStr {
        if self.count == 0 {
            return c"";
        }
        // SAFETY: `copy` has put a NUL behind the bytes.
        unsafe { CStr::from_ptr(self.first.cast()) }
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}
