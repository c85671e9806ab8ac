// SPDX-License-Identifier: MIT OR Apache-2.0
//! The response head of a request of nginx.

use std::ptr;

use nginx_sys::{
    ngx_http_request_t, ngx_int_t, ngx_list_push, ngx_list_t, ngx_parse_http_time, ngx_str_t, ngx_table_elt_t,
};

use super::{Request, field::field};

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
    /// Takes the request from the handler of its location: nginx's own handlers of the content phase answer it, as they do where
    /// a location has none.
    pub(crate) fn leave_to_phase_handlers(self) {
        field!(self, content_handler = None);
    }

    /// Has this handler answer the request, in the place of that of its location.
    pub(crate) fn give_content(self, handler: unsafe extern "C" fn(*mut ngx_http_request_t) -> ngx_int_t) {
        field!(self, content_handler = Some(handler));
    }

    /// Leaves preconditions and ranges of a request that changes something to its handler, which has acted on them when nginx's
    /// filters see the response (RFC 9110 §13.2.1, §14.2).
    pub(crate) fn leave_conditions_to_the_handler(self) {
        let line = self.bytes(field!(self, request_line));
        // Not the method, which a redirect inside nginx makes a GET.
        if line.starts_with(b"GET ") || line.starts_with(b"HEAD ") || !self.is_main() {
            return;
        }
        // The list of headers keeps them, for the handler and for nginx's variables.
        field!(self, headers_in.if_modified_since = ptr::null_mut());
        field!(self, headers_in.if_unmodified_since = ptr::null_mut());
        field!(self, headers_in.if_match = ptr::null_mut());
        field!(self, headers_in.if_none_match = ptr::null_mut());
        field!(self, headers_in.range = ptr::null_mut());
        field!(self, headers_in.if_range = ptr::null_mut());
    }

    /// Lets nginx answer this conditional request from the head of its response. Of an upstream's response nginx has decided otherwise by
    /// now, unless it puts it into a cache.
    pub(crate) fn answer_conditions(self) {
        field!(self, set_disable_not_modified(0));
    }

    /// Begins a response head. `line` is status and reason, or nothing for nginx's own words.
    pub(crate) fn set_status(self, status: u16, line: Option<ngx_str_t>) {
        field!(self, headers_out.status = usize::from(status));
        field!(self, headers_out.status_line = line.unwrap_or(ngx_str_t::empty()));
    }

    pub(crate) fn set_content_length(self, length: Option<u64>) {
        let length = length.and_then(|length| i64::try_from(length).ok()).unwrap_or(-1);
        field!(self, headers_out.content_length_n = length);
    }

    /// `type_len`: the length of the media type without its parameters, for filters that go by type.
    pub(crate) fn set_content_type(self, value: ngx_str_t, type_len: usize) {
        field!(self, headers_out.content_type = value);
        field!(self, headers_out.content_type_len = type_len);
        field!(self, headers_out.content_type_lowcase = ptr::null_mut());
    }

    /// Lets nginx answer Range requests from the response. `single`: only one range at a time, because several need
    /// the whole body in one buffer.
    pub(crate) fn allow_ranges(self, single: bool) {
        field!(self, set_allow_ranges(1));
        field!(self, set_single_range(u32::from(single)));
    }

    /// Bytes a second that the response leaves with at most; 0 is no limit.
    pub(crate) fn limit_rate(self) -> usize {
        field!(self, limit_rate)
    }

    pub(crate) fn set_limit_rate(self, rate: usize) {
        field!(self, limit_rate = rate);
        field!(self, set_limit_rate_set(1));
    }

    /// Adds a response header and tells nginx's filters of it.
    pub(crate) fn add_header(self, name: ngx_str_t, value: ngx_str_t, slot: HeaderSlot) -> bool {
        let Some(header) = self.push_header(name, value) else { return false };
        match slot {
            HeaderSlot::ContentEncoding => field!(self, headers_out.content_encoding = header),
            HeaderSlot::LastModified => {
                field!(self, headers_out.last_modified = header);
                // SAFETY: an nginx string of some length points to that many bytes.
                let time = unsafe { ngx_parse_http_time(value.data, value.len) };
                field!(self, headers_out.last_modified_time = time);
            }
            HeaderSlot::ContentRange => field!(self, headers_out.content_range = header),
            HeaderSlot::AcceptRanges => field!(self, headers_out.accept_ranges = header),
            HeaderSlot::WwwAuthenticate => field!(self, headers_out.www_authenticate = header),
            HeaderSlot::Expires => field!(self, headers_out.expires = header),
            HeaderSlot::ETag => field!(self, headers_out.etag = header),
            HeaderSlot::None => {}
        }
        true
    }

    /// Sets where a redirect of nginx's own leads.
    pub(crate) fn set_location(self, target: &[u8]) -> Option<()> {
        let name = ngx_str_t { len: 8, data: b"Location".as_ptr().cast_mut() };
        let header = self.push_header(name, self.text(target)?)?;
        field!(self, headers_out.location = header);
        Some(())
    }

    fn push_header(self, name: ngx_str_t, value: ngx_str_t) -> Option<*mut ngx_table_elt_t> {
        // SAFETY: the list of a live request.
        unsafe { self.push_to(&raw mut (*self.raw()).headers_out.headers, name, value) }
    }

    /// # Safety
    /// `list` is one of this request's lists of headers.
    pub(super) unsafe fn push_to(
        self,
        list: *mut ngx_list_t,
        name: ngx_str_t,
        value: ngx_str_t,
    ) -> Option<*mut ngx_table_elt_t> {
        // SAFETY: the caller's list; fresh memory of its pool, or NULL; all-zero is a header without a successor in every version.
        unsafe {
            let header = ngx_list_push(list).cast::<ngx_table_elt_t>();
            if header.is_null() {
                return None;
            }
            header.write(std::mem::zeroed());
            (*header).hash = 1;
            (*header).key = name;
            (*header).value = value;
            Some(header)
        }
    }
}
