// SPDX-License-Identifier: MIT OR Apache-2.0
//! Interim responses, which the nginx versions in use have no function for.

use nginx_sys::ngx_http_write_filter;

use super::{Request, field::field};

impl Request {
    /// Whether interim responses reach the client.
    pub(crate) fn has_interim(self) -> bool {
        let version = field!(self, http_version);
        let has_v2 = cfg!(ngx_feature = "http_v2") && (2000..=2999).contains(&version);
        self.is_main() && (has_v2 || (1001..=1999).contains(&version))
    }

    /// Whether fields behind the body reach the client: its protocol has a place for them, and it has said that it wants some
    /// (RFC 9110 §6.5.1).
    pub(crate) fn has_trailers(self) -> bool {
        let has_place = match field!(self, http_version) {
            1001..=1999 => self.core_location().chunked_transfer_encoding != 0,
            version => version >= 2000,
        };
        let is_asked = |(name, value): (&[u8], &[u8])| {
            name.eq_ignore_ascii_case(b"te")
                && value
                    .split(|byte| *byte == b',')
                    .any(|word| word.trim_ascii().eq_ignore_ascii_case(b"trailers"))
        };
        has_place && self.is_main() && !self.is_head() && self.headers().any(is_asked)
    }

    /// Lets the response be framed so that fields may follow it. Before the head.
    pub(crate) fn expect_trailers(self) {
        field!(self, set_expect_trailers(1));
    }

    /// Adds a field that follows the body. Answers false without memory.
    pub(crate) fn add_trailer(self, name: &[u8], value: &[u8]) -> bool {
        let (Some(name), Some(value)) = (self.text(name), self.text(value)) else { return false };
        // SAFETY: the list of a live request, as `push_header` has it for headers.
        unsafe { self.push_to(&raw mut (*self.raw()).headers_out.trailers, name, value).is_some() }
    }

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
