// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists of httpd's that handlers of phases look at.

use std::ffi::c_char;

use crate::{
    sys::{self, apr_array_header_t},
    text,
};

/// Shows names.
///
/// # Safety
/// NULL or an array of C strings, which lives for the call.
pub(crate) unsafe fn show_names(array: *const apr_array_header_t, show: &mut dyn FnMut(&[u8], &[u8])) {
    // SAFETY: the caller promises NULL or an array that lives for the call, each of whose elements is a C string.
    unsafe {
        let Some(array) = array.as_ref() else { return };
        let first = array.elts.cast::<*const c_char>();
        for at in 0..usize::try_from(array.nelts).unwrap_or(0) {
            show(text(first.add(at).read()), b"");
        }
    }
}

/// Shows directives, with a TAB for each section around one.
///
/// # Safety
/// `first` is NULL or the first of a list of httpd's directives.
pub(crate) unsafe fn show_tree(
    first: *const sys::ap_directive_t,
    depth: usize,
    show: &mut dyn FnMut(&[u8], &[u8]),
) {
    let mut next = first;
    // SAFETY: the caller's list ends with NULL, and so do those within it; names and arguments are C strings or NULL.
    unsafe {
        while let Some(directive) = next.as_ref() {
            let name = [&b"\t".repeat(depth), text(directive.directive)].concat();
            show(&name, text(directive.args));
            show_tree(directive.first_child, depth + 1, show);
            next = directive.next;
        }
    }
}
