// SPDX-License-Identifier: MIT OR Apache-2.0
//! Internal redirects: what nginx does with a request when an application sends it elsewhere.

use std::ptr;

use nginx_sys::{
    ngx_http_internal_redirect, ngx_http_named_location, ngx_http_variable_t, ngx_list_init, ngx_list_push,
    ngx_str_t, ngx_table_elt_t,
};

use super::{NoMemory, Request, field::field, header::list, text::str_bytes};

/// How often nginx changes the path of one request, as ngx_http_request.h has it.
const MAX_URI_CHANGES: u32 = nginx_sys::NGX_HTTP_MAX_URI_CHANGES + 1;

/// Variables whose values say what a client has sent, and which nginx finds once for a request.
const OF_THE_CLIENT: [&[u8]; 7] = [
    b"request_uri",
    b"content_length",
    b"content_type",
    b"http_content_length",
    b"http_content_type",
    b"request_body",
    b"request_body_file",
];

impl Request {
    /// The request that this one is a part of, or itself.
    pub(crate) fn main(self) -> Self {
        // SAFETY: the main request of a live one is live.
        unsafe { Self::from_raw(field!(self, main)) }
    }

    /// How many changes of its path are left to the request: fewer after each internal redirect and each `rewrite .. last`.
    pub(crate) fn changes_left(self) -> u32 {
        field!(self, uri_changes())
    }

    /// Whether the server reads `//` in a client's path as `/`.
    pub(crate) fn merges_slashes(self) -> bool {
        self.core_server().merge_slashes != 0
    }

    /// Sends the request to a named location.
    pub(crate) fn go_to_named(self, name: &[u8]) -> Result<(), NoMemory> {
        let mut name = self.text(name).ok_or(NoMemory)?;
        // SAFETY: live request; the name lives in its pool.
        unsafe { ngx_http_named_location(self.raw(), &raw mut name) };
        Ok(())
    }

    /// Sends the request to another location, as a GET.
    pub(crate) fn go_to(self, path: &[u8], query: Option<&[u8]>) -> Result<(), NoMemory> {
        let mut path = self.text(path).ok_or(NoMemory)?;
        let mut query = self.text(query.unwrap_or_default()).ok_or(NoMemory)?;
        self.become_get();
        // SAFETY: live request; the strings live in its pool.
        unsafe { ngx_http_internal_redirect(self.raw(), &raw mut path, &raw mut query) };
        Ok(())
    }

    fn become_get(self) {
        if !self.is_head() {
            field!(self, method = nginx_sys::NGX_HTTP_GET as usize);
            field!(self, method_name = ngx_str_t { len: 3, data: b"GET ".as_ptr().cast_mut() });
        }
    }

    /// Makes the request what a client's GET for `target` would be: without a body and the headers that describe one, and
    /// with all the changes of its path before it.
    pub(crate) fn ask_anew(self, target: &[u8]) -> Result<(), NoMemory> {
        let target = self.text(target).ok_or(NoMemory)?;
        self.drop_headers(|name| {
            const PREFIX: &[u8] = b"content-";
            let of_the_body =
                name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
            of_the_body
                || [&b"transfer-encoding"[..], b"expect", b"trailer"]
                    .iter()
                    .any(|known| name.eq_ignore_ascii_case(known))
        })?;
        self.become_get();
        field!(self, headers_in.content_length = ptr::null_mut());
        field!(self, headers_in.content_type = ptr::null_mut());
        field!(self, headers_in.transfer_encoding = ptr::null_mut());
        field!(self, headers_in.expect = ptr::null_mut());
        field!(self, headers_in.content_length_n = -1);
        field!(self, headers_in.set_chunked(0));
        // What has not been read of the body is discarded with the connection: nginx knows that it reads one.
        // SAFETY: NULL, or the body of a live request, to which nothing else refers here.
        if let Some(body) = unsafe { field!(self, request_body).as_mut() } {
            body.bufs = ptr::null_mut();
            body.temp_file = ptr::null_mut();
        }
        field!(self, unparsed_uri = target);
        field!(self, set_uri_changes(MAX_URI_CHANGES));
        self.forget_variables();
        Ok(())
    }

    /// A list of the request's headers without some of them. Pointers to headers stay good: the old list lives on.
    fn drop_headers(self, is_dropped: impl Fn(&[u8]) -> bool) -> Result<(), NoMemory> {
        // SAFETY: the list of a live request, whose elements live in its pool; they are copied before the list changes.
        unsafe {
            let headers = &raw mut (*self.raw()).headers_in.headers;
            let kept: Vec<ngx_table_elt_t> =
                list(headers).filter(|header| !is_dropped(str_bytes(&header.key))).copied().collect();
            let room = kept.len().max(4);
            if ngx_list_init(headers, self.pool(), room, size_of::<ngx_table_elt_t>()) != 0 {
                return Err(NoMemory);
            }
            for header in kept {
                // There is room for all of them.
                let place = ngx_list_push(headers).cast::<ngx_table_elt_t>();
                place.as_mut().ok_or(NoMemory)?;
                place.write(header);
            }
        }
        Ok(())
    }

    /// Lets nginx find those variables again that say what a client has sent.
    fn forget_variables(self) {
        // SAFETY: the http block's list of variables is complete; a live request has a value for each of them.
        unsafe {
            let known: &[ngx_http_variable_t] = self.core_main().variables.as_slice();
            for (index, variable) in known.iter().enumerate() {
                if OF_THE_CLIENT.contains(&str_bytes(&variable.name)) {
                    let value = field!(self, variables).add(index);
                    (*value).set_valid(0);
                    (*value).set_not_found(0);
                }
            }
        }
    }
}
