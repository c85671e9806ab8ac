// SPDX-License-Identifier: MIT OR Apache-2.0
//! The response head of a request of nginx.

use std::ptr;

use nginx_sys::{ngx_list_push, ngx_parse_http_time, ngx_str_t, ngx_table_elt_t};

use super::Request;

/// Headers that nginx's own filters look for in the response.
#[derive(Clone, Copy)]
pub(crate) enum HeaderSlot {
    ContentEncoding,
    LastModified,
    ContentRange,
    AcceptRanges,
    WwwAuthenticate,
    Expires,
    ETag,
    None,
}

impl Request {
    /// Leaves preconditions and ranges of a request that changes something to its handler, which has acted on them when nginx's
    /// filters see the response (RFC 9110 §13.2.1, §14.2).
    pub(crate) fn leave_conditions_to_the_handler(self) {
        let line = self.bytes(self.get().request_line);
        // Not the method, which a redirect inside nginx makes a GET.
        if line.starts_with(b"GET ") || line.starts_with(b"HEAD ") || !self.is_main() {
            return;
        }
        let headers = &mut self.get_mut().headers_in;
        // The list of headers keeps them, for the handler and for nginx's variables.
        for place in [
            &mut headers.if_modified_since,
            &mut headers.if_unmodified_since,
            &mut headers.if_match,
            &mut headers.if_none_match,
            &mut headers.range,
            &mut headers.if_range,
        ] {
            *place = ptr::null_mut();
        }
    }

    /// Begins a response head. `line` is status and reason, or nothing for nginx's own words.
    pub(crate) fn set_status(self, status: u16, line: Option<ngx_str_t>) {
        let out = &mut self.get_mut().headers_out;
        out.status = usize::from(status);
        out.status_line = line.unwrap_or(ngx_str_t::empty());
    }

    pub(crate) fn set_content_length(self, length: Option<u64>) {
        let length = length.and_then(|length| i64::try_from(length).ok()).unwrap_or(-1);
        self.get_mut().headers_out.content_length_n = length;
    }

    /// `type_len`: the length of the media type without its parameters, for filters that go by type.
    pub(crate) fn set_content_type(self, value: ngx_str_t, type_len: usize) {
        let out = &mut self.get_mut().headers_out;
        out.content_type = value;
        out.content_type_len = type_len;
        out.content_type_lowcase = ptr::null_mut();
    }

    /// Lets nginx answer Range requests from the response. `single`: only one range at a time, because several need
    /// the whole body in one buffer.
    pub(crate) fn allow_ranges(self, single: bool) {
        self.get_mut().set_allow_ranges(1);
        self.get_mut().set_single_range(u32::from(single));
    }

    /// Bytes a second that the response leaves with at most; 0 is no limit.
    pub(crate) fn limit_rate(self) -> usize {
        self.get().limit_rate
    }

    pub(crate) fn set_limit_rate(self, rate: usize) {
        self.get_mut().limit_rate = rate;
        self.get_mut().set_limit_rate_set(1);
    }

    /// Adds a response header and tells nginx's filters of it.
    pub(crate) fn add_header(self, name: ngx_str_t, value: ngx_str_t, slot: HeaderSlot) -> bool {
        let out = &mut self.get_mut().headers_out;
        // SAFETY: live list.
        let header = unsafe { ngx_list_push(&raw mut out.headers) }.cast::<ngx_table_elt_t>();
        if header.is_null() {
            return false;
        }
        // SAFETY: fresh memory; all-zero is a header without a successor in every version.
        unsafe {
            header.write(std::mem::zeroed());
            (*header).hash = 1;
            (*header).key = name;
            (*header).value = value;
        }
        match slot {
            HeaderSlot::ContentEncoding => out.content_encoding = header,
            HeaderSlot::LastModified => {
                out.last_modified = header;
                // SAFETY: the value is that many bytes.
                out.last_modified_time = unsafe { ngx_parse_http_time(value.data, value.len) };
            }
            HeaderSlot::ContentRange => out.content_range = header,
            HeaderSlot::AcceptRanges => out.accept_ranges = header,
            HeaderSlot::WwwAuthenticate => out.www_authenticate = header,
            HeaderSlot::Expires => out.expires = header,
            HeaderSlot::ETag => out.etag = header,
            HeaderSlot::None => {}
        }
        true
    }
}
