// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests that are parts of another one, as those of mod_include.

use std::ffi::CStr;

/// Variables that httpd makes of one request. A part begins with a copy of all that the request around it has, and what it has no
/// value for itself would tell of a body, a path or a script that are not its own.
pub const OF_ONE_REQUEST: [&CStr; 15] = [
    c"CONTENT_LENGTH",
    c"CONTENT_TYPE",
    c"CONTEXT_DOCUMENT_ROOT",
    c"CONTEXT_PREFIX",
    c"HTTP_CONTENT_ENCODING",
    c"HTTP_CONTENT_LANGUAGE",
    c"HTTP_CONTENT_LOCATION",
    c"HTTP_CONTENT_MD5",
    c"HTTP_CONTENT_RANGE",
    c"HTTP_EXPIRES",
    c"HTTP_LAST_MODIFIED",
    c"HTTP_TRANSFER_ENCODING",
    c"PATH_INFO",
    c"PATH_TRANSLATED",
    c"SCRIPT_FILENAME",
];

/// Whether `name` is one of them.
#[must_use]
pub fn is_of_one_request(name: &[u8]) -> bool {
    OF_ONE_REQUEST.iter().any(|known| known.to_bytes() == name)
}
