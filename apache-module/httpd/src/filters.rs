// SPDX-License-Identifier: MIT OR Apache-2.0
//! httpd's own output filters, where they must not act.

use crate::{
    sys::{self, request_rec},
    text,
};

/// Leaves `Range` alone: the response is sent whole.
///
/// httpd's filter for it makes parts of every 200 that it sees from the first byte to the last at once, whatever the method
/// and whether or not the application knew of a length: a small page would have ranges, a large one not.
///
/// # Safety
/// `request` is live, and nothing has passed its filters.
pub unsafe fn forbid_ranges(request: *mut request_rec) {
    // SAFETY: a live request, whose filters are a list that ends with those of its connection; the one that is taken out is not
    // used again.
    unsafe {
        let mut filter = (*request).output_filters;
        while !filter.is_null() {
            let next = (*filter).next;
            // httpd keeps the names of filters in lower case.
            if text((*(*filter).frec).name) == b"byterange" {
                sys::ap_remove_output_filter(filter);
            }
            filter = next;
        }
    }
}
