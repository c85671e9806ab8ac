// SPDX-License-Identifier: MIT OR Apache-2.0
//! Interim responses, which the nginx versions in use have no function for.

use nginx_sys::ngx_http_write_filter;

use super::{Request, field::field};

impl Request {
    /// Sends an interim response (RFC 9110 §15.2), if the client's protocol has them. What cannot be sent is left out:
    /// the response itself says everything.
    pub(crate) fn send_interim(self, status: u16, fields: &[(&[u8], &[u8])]) {
        match field!(self, http_version) {
            1001..=1999 => self.send_interim_text(status, fields),
            #[cfg(ngx_feature = "http_v2")]
            2000..=2999 => super::interim_v2::send(self, status, fields),
            _ => {}
        }
    }

    fn send_interim_text(self, status: u16, fields: &[(&[u8], &[u8])]) {
        let reason: &[u8] = if status == 103 { b" Early Hints\r\n" } else { b" \r\n" };
        let mut head = [b"HTTP/1.1 ", status.to_string().as_bytes(), reason].concat();
        for (name, value) in fields {
            head.extend_from_slice(&[name, b": ".as_slice(), value, b"\r\n"].concat());
        }
        head.extend_from_slice(b"\r\n");
        let Ok(link) = self.buffer(&head, 0) else { return };
        // SAFETY: a fresh buffer of a live main request whose own head has not been sent: the bytes go before it.
        unsafe {
            (*(*link).buf).set_flush(1);
            // What fails here fails again when the response is sent.
            let _ = ngx_http_write_filter(self.raw(), link);
        }
    }
}
