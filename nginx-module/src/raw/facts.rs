// SPDX-License-Identifier: MIT OR Apache-2.0
//! What handlers of phases are told of a request beside what applications get to know.

use nginx_sys::ngx_cycle;

use super::{Request, field::field, header::list};

/// The last of nginx's levels.
const DEBUG: i64 = 8;

impl Request {
    /// The folder in which relative paths of nginx's own files begin, without a slash at its end.
    pub(crate) fn server_root(&self) -> &[u8] {
        // SAFETY: nginx has a cycle while it answers requests, and keeps it for as long as this one.
        let prefix = self.bytes(unsafe { (*ngx_cycle).prefix });
        prefix.strip_suffix(b"/").unwrap_or(prefix)
    }

    /// The request line, without its end.
    pub(crate) fn request_line(&self) -> &[u8] {
        self.bytes(field!(self.main(), request_line))
    }

    /// The host that the client has asked for, in lower case and without a port.
    pub(crate) fn asked_host(&self) -> &[u8] {
        self.bytes(field!(self, headers_in.server))
    }

    /// The version of HTTP, 1001 for HTTP/1.1.
    pub(crate) fn version(self) -> i64 {
        i64::try_from(field!(self, http_version)).unwrap_or_default()
    }

    /// When the request came, in microseconds since 1970.
    pub(crate) fn start_micros(self) -> i64 {
        let main = self.main();
        let milliseconds = i64::try_from(field!(main, start_msec)).unwrap_or_default();
        (field!(main, start_sec) * 1000 + milliseconds) * 1000
    }

    /// A number that no other open connection has, and how many requests there have been on it.
    pub(crate) fn connection_counts(self) -> (i64, i64) {
        let connection = self.connection();
        let number = i64::try_from(field!(connection, number)).unwrap_or_default();
        (number, i64::try_from(field!(connection, requests)).unwrap_or_default())
    }

    /// Whether the connection is to be used again.
    pub(crate) fn keeps_alive(self) -> bool {
        field!(self.main(), keepalive()) != 0
    }

    /// Seconds that nginx waits: for a client that reads, and for the next request of one. How many requests a connection may have.
    pub(crate) fn limits(self) -> (i64, i64, i64) {
        let location = self.core_location();
        let seconds = |milliseconds: usize| i64::try_from(milliseconds / 1000).unwrap_or_default();
        let requests = i64::try_from(location.keepalive_requests).unwrap_or_default();
        (seconds(location.send_timeout), seconds(location.keepalive_timeout), requests)
    }

    /// The level of the error log, by nginx's numbers.
    pub(crate) fn log_level(self) -> i64 {
        // SAFETY: a live connection has a live log.
        let level =
            i64::try_from(unsafe { (*field!(self.connection(), log)).log_level }).unwrap_or_default() & 0xf;
        // With debug there are bits for its kinds instead of a level.
        if level == 0 { DEBUG } else { level }
    }

    /// The status of the response whose head is about to leave.
    pub(crate) fn response_status(self) -> usize {
        match field!(self, err_status) {
            0 => field!(self, headers_out.status),
            status => status,
        }
    }

    /// How many bytes have left for the request, head included.
    pub(crate) fn bytes_sent(self) -> i64 {
        self.connection().sent()
    }

    /// The media type of the response.
    pub(crate) fn response_type(&self) -> &[u8] {
        self.bytes(field!(self, headers_out.content_type))
    }

    /// The headers of the response that stand in its list, in order.
    pub(crate) fn response_headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        // SAFETY: the list of a live request, to which nobody adds meanwhile.
        unsafe { list(&raw const (*self.raw()).headers_out.headers) }
            .filter(|header| header.hash != 0)
            .map(|header| (self.bytes(header.key), self.bytes(header.value)))
    }

    /// The length of the response as it was announced, or -1.
    pub(crate) fn response_length(self) -> i64 {
        field!(self, headers_out.content_length_n)
    }
}
