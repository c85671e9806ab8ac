// SPDX-License-Identifier: MIT OR Apache-2.0
//! Borrowed bytes on their way through the ABI.

use std::{ffi::c_char, ptr, slice};

use crate::ffi::{gw_app_spec, gw_bytes, gw_field};

/// An empty `gw_bytes`.
pub const EMPTY: gw_bytes = gw_bytes { ptr: ptr::null(), len: 0 };

/// Bytes that somebody lends for a call: `(NULL, 0)` is empty, `(NULL, n)` is `None`.
///
/// # Safety
/// If `len` is not zero and `ptr` not null, `ptr` points to `len` readable bytes that stay unchanged for `'a`.
#[must_use]
pub unsafe fn checked<'a>(ptr: *const u8, len: usize) -> Option<&'a [u8]> {
    match (ptr.is_null(), len) {
        (_, 0) => Some(&[]),
        (true, _) => None,
        // SAFETY: the caller guarantees that many readable bytes, which nobody changes for 'a.
        (false, _) => Some(unsafe { slice::from_raw_parts(ptr, len) }),
    }
}

/// The bytes behind `bytes`; a null pointer is empty, whatever its length says.
///
/// # Safety
/// As for [`checked`].
#[must_use]
#[inline]
pub unsafe fn borrow<'a>(bytes: gw_bytes) -> &'a [u8] {
    if bytes.ptr.is_null() {
        return &[];
    }
    // SAFETY: the caller guarantees that many readable bytes, which nobody changes for 'a; none are readable behind any pointer.
    unsafe { slice::from_raw_parts(bytes.ptr, bytes.len) }
}

/// `bytes` as the ABI passes them; borrowed from the slice.
#[must_use]
pub const fn lend(bytes: &[u8]) -> gw_bytes {
    gw_bytes { ptr: bytes.as_ptr(), len: bytes.len() }
}

/// A pair as the ABI passes it; borrowed from both slices.
#[must_use]
pub const fn lend_field(name: &[u8], value: &[u8]) -> gw_field {
    gw_field { name: lend(name), value: lend(value) }
}

/// The fields at `first`; `(NULL, 0)` is none.
///
/// # Safety
/// If `count` is not zero, `first` points to that many fields that stay unchanged for `'a`.
#[must_use]
pub unsafe fn fields<'a>(first: *const gw_field, count: usize) -> &'a [gw_field] {
    if count == 0 || first.is_null() {
        return &[];
    }
    // SAFETY: the caller guarantees that the pointer and the count describe readable fields.
    unsafe { slice::from_raw_parts(first, count) }
}

/// The engine's options in `spec`, as pairs of bytes, in the order in which they were written.
///
/// # Safety
/// `spec` is as include/gangway.h describes it and stays unchanged for `'a`.
pub unsafe fn options(spec: &gw_app_spec) -> impl Iterator<Item = (&[u8], &[u8])> {
    // SAFETY: the caller guarantees a valid specification; names and values live as long as it does.
    unsafe { fields(spec.options, spec.option_count) }
        .iter()
        .map(|field| unsafe { (borrow(field.name), borrow(field.value)) })
}

/// Writes `text` as one NUL-terminated line into the caller's buffer, shortened where it does not fit.
///
/// # Safety
/// If `capacity` is not zero and `buffer` not null, `buffer` points to `capacity` writable bytes.
pub unsafe fn put_line(text: &str, buffer: *mut c_char, capacity: usize) {
    if buffer.is_null() || capacity == 0 {
        return;
    }
    let mut end = text.len().min(capacity - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    // SAFETY: end < capacity, and the caller guarantees that many writable bytes.
    let target = unsafe { slice::from_raw_parts_mut(buffer.cast::<u8>(), end + 1) };
    for (to, from) in target.iter_mut().zip(text.bytes()) {
        // One line: what would end it early or start another one becomes a space.
        *to = if from.is_ascii_control() { b' ' } else { from };
    }
    target[end] = 0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_pointer_is_empty() {
        // SAFETY: (NULL, 0) is valid.
        assert_eq!(unsafe { borrow(EMPTY) }, b"");
        // SAFETY: nothing is read behind a null pointer.
        assert_eq!(unsafe { (checked(ptr::null(), 0), checked(ptr::null(), 3)) }, (Some(&[][..]), None));
        // SAFETY: (NULL, 0) is valid.
        assert!(unsafe { fields(ptr::null(), 0) }.is_empty());
    }

    #[test]
    fn a_line_is_cut_at_a_character_and_always_terminated() {
        let mut buffer = [1u8; 5];
        // SAFETY: the buffer has five bytes.
        unsafe { put_line("abc\u{e9}d", buffer.as_mut_ptr().cast(), buffer.len()) };
        assert_eq!(&buffer[..4], b"abc\0", "an e with accent has two bytes and does not fit before the NUL");
        // SAFETY: the buffer has five bytes.
        unsafe { put_line("a\nb", buffer.as_mut_ptr().cast(), buffer.len()) };
        assert_eq!(&buffer[..4], b"a b\0");
        // SAFETY: one writable byte.
        unsafe { put_line("abc", buffer.as_mut_ptr().cast(), 1) };
        assert_eq!(buffer[0], 0);
    }
}
