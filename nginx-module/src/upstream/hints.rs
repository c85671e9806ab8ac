// SPDX-License-Identifier: MIT OR Apache-2.0
//! Interim responses: 103 Early Hints (RFC 8297) go to the client at once, others say nothing to it.

use gangway::{cgi::ResponseHead, http::is_connection_field};

use crate::raw::Request;

/// Sends an interim head, if the client can understand it (RFC 9110 §15.2: not HTTP/1.0) and has no final one yet.
pub(super) fn send(request: Request, head: ResponseHead<'_>) {
    if head.status() != 103 || !request.is_main() || request.header_sent() {
        return;
    }
    let fields: Vec<_> = head
        .fields()
        .filter(|(name, _)| !is_connection_field(name) && !name.eq_ignore_ascii_case(b"content-length"))
        .collect();
    if !fields.is_empty() {
        request.send_interim(103, &fields);
    }
}
