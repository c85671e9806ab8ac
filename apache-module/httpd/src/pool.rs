// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory in a pool of APR's, which frees it: plain data that lives as long as the pool.

use std::{
    ffi::{CStr, c_char},
    marker::PhantomData,
    ptr, slice,
};

use crate::sys::{self, apr_pool_t};

/// A pool that lives at least for `'p`.
#[derive(Clone, Copy, Debug)]
pub struct Pool<'p> {
    raw: *mut apr_pool_t,
    life: PhantomData<&'p ()>,
}

impl<'p> Pool<'p> {
    /// Wraps a pool.
    ///
    /// # Safety
    /// `raw` is a pool that lives for `'p` and that no other thread uses meanwhile.
    #[must_use]
    pub unsafe fn from_raw(raw: *mut apr_pool_t) -> Self {
        Self { raw, life: PhantomData }
    }

    /// httpd's own.
    #[must_use]
    pub fn as_ptr(self) -> *mut apr_pool_t {
        self.raw
    }

    /// Puts plain data into the pool, which frees it without looking at it.
    pub fn put<T: 'p>(self, value: T) -> &'p mut T {
        const { assert!(!std::mem::needs_drop::<T>()) }
        // SAFETY: `place` gives room for one value that nobody else has, for as long as the pool.
        unsafe {
            let place = self.place::<T>(1);
            place.write(value);
            &mut *place
        }
    }

    /// Copies items into the pool.
    #[must_use]
    pub fn copy<T: Copy>(self, items: &[T]) -> &'p [T] {
        // SAFETY: `place` gives room for so many items that nobody else has, for as long as the pool.
        unsafe {
            let place = self.place::<T>(items.len());
            place.copy_from_nonoverlapping(items.as_ptr(), items.len());
            slice::from_raw_parts(place, items.len())
        }
    }

    /// Copies bytes up to their first NUL.
    #[must_use]
    pub fn text(self, bytes: &[u8]) -> &'p CStr {
        // SAFETY: `keep` gives a C string that lives as long as the pool and that nobody else has.
        unsafe { CStr::from_ptr(self.keep(bytes)) }
    }

    /// Copies bytes, with a NUL behind them, for httpd.
    #[must_use]
    pub fn keep(self, bytes: &[u8]) -> *mut c_char {
        // SAFETY: the pool is live by the promise of `from_raw`, and the bytes are readable; APR aborts without memory.
        unsafe { sys::apr_pstrmemdup(self.raw, bytes.as_ptr().cast(), bytes.len()) }
    }

    /// Copies several parts into one piece, with a NUL behind them, for httpd.
    #[must_use]
    pub fn join(self, parts: &[&[u8]]) -> *mut c_char {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        // SAFETY: `place` gives as many bytes as the parts and the NUL behind them have, and nobody else has them yet.
        unsafe {
            let text = self.place::<u8>(length + 1);
            let mut at = text;
            for part in parts {
                at.copy_from_nonoverlapping(part.as_ptr(), part.len());
                at = at.add(part.len());
            }
            at.write(0);
            text.cast()
        }
    }

    /// Room for so many items. Its bytes have no values yet.
    fn place<T>(self, count: usize) -> *mut T {
        // APR_ALIGN_DEFAULT.
        const { assert!(align_of::<T>() <= 8) }
        if count == 0 {
            return ptr::dangling_mut();
        }
        // SAFETY: the pool is live by the promise of `from_raw`. APR gives so many bytes, or aborts.
        unsafe { sys::apr_palloc(self.raw, size_of::<T>().saturating_mul(count)).cast() }
    }
}
