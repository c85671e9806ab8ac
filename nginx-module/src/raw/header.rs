// SPDX-License-Identifier: MIT OR Apache-2.0
//! nginx's lists of headers.

use nginx_sys::{ngx_list_t, ngx_table_elt_t};

/// The elements of a list of headers.
///
/// # Safety
/// `list` is a live list of `ngx_table_elt_t`, and for `'a` nobody adds to it or frees it.
pub(super) unsafe fn list<'a>(list: *const ngx_list_t) -> impl Iterator<Item = &'a ngx_table_elt_t> {
    // SAFETY: the caller's list is live.
    let mut part = unsafe { &raw const (*list).part };
    let mut index = 0;
    std::iter::from_fn(move || {
        loop {
            // SAFETY: nginx's lists are chains of parts that end with NULL; the caller's list stays as it is for `'a`.
            let current = unsafe { part.as_ref() }?;
            if index < current.nelts {
                // SAFETY: a part of a list has `nelts` elements, all of them written by who added them.
                let header = unsafe { &*current.elts.cast::<ngx_table_elt_t>().add(index) };
                index += 1;
                return Some(header);
            }
            part = current.next;
            index = 0;
        }
    })
}
