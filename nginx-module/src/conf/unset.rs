// SPDX-License-Identifier: MIT OR Apache-2.0
//! Settings that nginx's setters have not touched yet, and how an outer block fills them.

use std::ffi::c_int;

/// A type whose settings nginx marks as unset by a value of all ones (`NGX_CONF_UNSET*`).
pub(crate) trait Setting: Copy + PartialEq {
    const UNSET: Self;
    /// Off, none, NULL.
    const NONE: Self;
}

/// Flags and signed numbers.
impl Setting for isize {
    const UNSET: Self = -1;
    const NONE: Self = 0;
}

/// Sizes, times and unsigned numbers.
impl Setting for usize {
    const UNSET: Self = Self::MAX;
    const NONE: Self = 0;
}

/// Offsets in files.
impl Setting for i64 {
    const UNSET: Self = -1;
    const NONE: Self = 0;
}

impl<T> Setting for *mut T {
    const UNSET: Self = std::ptr::without_provenance_mut(usize::MAX);
    const NONE: Self = std::ptr::null_mut();
}

/// Fills an unset setting from the outer block, else with its default (`ngx_conf_merge_*_value`).
pub(crate) fn merge<T: Setting>(inner: &mut T, outer: T, default: T) {
    if *inner == T::UNSET {
        *inner = if outer == T::UNSET { default } else { outer };
    }
}

/// As [`merge`] for bit masks, which are unset when they are 0.
pub(crate) fn merge_mask(inner: &mut usize, outer: usize, default: usize) {
    if *inner == 0 {
        *inner = if outer == 0 { default } else { outer };
    }
}

/// A switch in two bits of C, whose sign the bindings lose: -1, which is unset, comes back as 3.
pub(crate) fn switch(bits: c_int) -> Option<bool> {
    match bits {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inner_block_wins_over_the_outer_one_and_that_over_the_default() {
        for (inner, outer, merged) in [(1, 2, 1), (0, 2, 0), (usize::MAX, 2, 2), (usize::MAX, usize::MAX, 3)]
        {
            let mut value: usize = inner;
            merge(&mut value, outer, 3);
            assert_eq!(value, merged, "{inner} {outer}");
        }
        let mut flag = isize::UNSET;
        merge(&mut flag, 0, 1);
        assert_eq!(flag, 0);
    }

    #[test]
    fn masks_are_unset_when_they_are_empty() {
        for (inner, outer, merged) in [(1, 2, 1), (0, 2, 2), (0, 0, 3)] {
            let mut value = inner;
            merge_mask(&mut value, outer, 3);
            assert_eq!(value, merged, "{inner} {outer}");
        }
    }

    #[test]
    fn switches_of_two_bits_keep_that_they_are_unset() {
        let mut conf = super::super::upstream::unset_upstream();
        assert_eq!((switch(conf.store()), switch(conf.cache())), (None, None));
        conf.set_store(1);
        conf.set_cache(0);
        assert_eq!((switch(conf.store()), switch(conf.cache())), (Some(true), Some(false)));
    }
}
