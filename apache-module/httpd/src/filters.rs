// SPDX-License-Identifier: MIT OR Apache-2.0
//! httpd's own filters: where they must not act, and what they do not see.

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

/// Bytes of the body have come, so a client that asks for "100 Continue" need not be invited any more (RFC 9110 section 10.1.1).
/// httpd's own filter knows so only when a read has waited, and takes an answer to a client that still waits for one after which the
/// connection cannot go on.
///
/// # Safety
/// `request` is live.
pub unsafe fn body_has_come(request: *mut request_rec) {
    // SAFETY: live by the caller's promise; the field is a bit of the request's own.
    unsafe { (*request).expecting_100 = 0 }
}
