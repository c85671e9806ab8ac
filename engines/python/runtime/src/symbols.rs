// SPDX-License-Identifier: MIT OR Apache-2.0
//! Functions and data of libpython beyond the stable ABI.

use std::ffi::{CStr, c_void};

/// A symbol that not every libpython has.
pub(crate) fn symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the name is NUL-terminated; the front has opened libpython globally.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}
