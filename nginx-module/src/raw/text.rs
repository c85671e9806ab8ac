// SPDX-License-Identifier: MIT OR Apache-2.0
//! nginx's strings and places in memory as bytes.

use nginx_sys::{ngx_http_core_loc_conf_t, ngx_str_t};

/// The bytes of an nginx string.
///
/// # Safety
/// The string's memory stays unchanged for `'a`.
pub(crate) unsafe fn str_bytes<'a>(text: &ngx_str_t) -> &'a [u8] {
    if text.len == 0 || text.data.is_null() {
        return &[];
    }
    // SAFETY: an nginx string of some length points to that many bytes, which the caller keeps unchanged for `'a`.
    unsafe { std::slice::from_raw_parts(text.data, text.len) }
}

/// The bytes between two places.
///
/// # Safety
/// Both are NULL or places in one allocation, `from` not after `to`, that stays unchanged for `'a`.
pub(crate) unsafe fn bytes<'a>(from: *const u8, to: *const u8) -> &'a [u8] {
    let length = to.addr().saturating_sub(from.addr());
    if length == 0 {
        return &[];
    }
    // SAFETY: the caller's places are the ends of that many bytes of one allocation.
    unsafe { std::slice::from_raw_parts(from, length) }
}

/// Whether a location is chosen by a regular expression.
pub(super) fn is_regex(location: &ngx_http_core_loc_conf_t) -> bool {
    #[cfg(ngx_feature = "pcre")]
    return !location.regex.is_null();
    #[cfg(not(ngx_feature = "pcre"))]
    return {
        let _ = location;
        false
    };
}

/// NGX_MAX_SIZE_T_VALUE: the alias of a location with a pattern stands for all of the path.
pub(crate) const ALIAS_OF_ALL: usize = isize::MAX as usize;
