// SPDX-License-Identifier: MIT OR Apache-2.0
//! What outlives a module: httpd unloads its modules before it reads its configuration anew, and loads them again. Only numbers stay.

use std::ffi::CStr;

use crate::sys;

/// Plain numbers that httpd keeps, and that the next module with the same key finds.
///
/// # Safety
/// Zeros are a value of the type, it needs no more than the alignment of a pool, and nothing has to be done at its end. Another layout has
/// another key.
pub unsafe trait Retained {
    /// Its name among those of all modules.
    const KEY: &'static CStr;
}

/// Lends the numbers, which are zeros at first.
///
/// # Safety
/// The calling thread is the only one that the parent has, as in `post_config` and at the end of a configuration, and `body` does not come
/// back here.
pub unsafe fn with_retained<T: Retained, R>(body: impl FnOnce(&mut T) -> R) -> R {
    // SAFETY: the caller is the only user now. httpd gives the size and the alignment that the place was made with, and keeps it for as
    // long as the process; it begins with zeros, which the type takes for a value.
    unsafe {
        let found = sys::ap_retained_data_get(T::KEY.as_ptr());
        let place = if found.is_null() {
            sys::ap_retained_data_create(T::KEY.as_ptr(), size_of::<T>())
        } else {
            found
        };
        body(&mut *place.cast::<T>())
    }
}
