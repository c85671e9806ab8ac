// SPDX-License-Identifier: MIT OR Apache-2.0
//! The host that a client has asked for.

use super::Request;
use crate::{module::Module, sys, text};

impl<M: Module> Request<'_, M> {
    /// The value that Host has to have, where it has another one: RFC 9112 §3.2.2, the host of an absolute target counts and not the
    /// header. httpd itself, and with it the key of mod_cache, goes by the target; but it corrects the header only where there is
    /// one, and not with `HttpProtocolOptions Unsafe`.
    #[must_use]
    pub fn corrected_host(self) -> Option<Vec<u8>> {
        // SAFETY: `from_raw` promises a live request; httpd keeps those that it was made from for longer, and their strings are in their
        // pools.
        unsafe {
            let mut first = self.as_ptr();
            while let Some(earlier) = [(*first).prev, (*first).main].into_iter().find(|from| !from.is_null())
            {
                first = earlier;
            }
            let target = &(*first).parsed_uri;
            // With another scheme httpd goes by the header.
            if target.hostname.is_null()
                || (*first).hostname.is_null()
                || !text(target.scheme).eq_ignore_ascii_case(text(sys::ap_run_http_scheme(first)))
            {
                return None;
            }
            let (host, port) = (text((*first).hostname), text(target.port_str));
            let [open, close]: [&[u8]; 2] = if host.contains(&b':') { [b"[", b"]"] } else { [b"", b""] };
            let colon: &[u8] = if port.is_empty() { b"" } else { b":" };
            let right = [open, host, close, colon, port].concat();
            let sent = text(sys::apr_table_get((*first).headers_in, c"Host".as_ptr()));
            (sent != right).then_some(right)
        }
    }
}
