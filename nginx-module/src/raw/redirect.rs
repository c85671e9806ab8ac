// SPDX-License-Identifier: MIT OR Apache-2.0
//! Internal redirects: what nginx does with a request when an application sends it elsewhere.

use std::ptr;

use nginx_sys::{
    NGX_HTTP_HEAD, ngx_http_core_main_conf_t, ngx_http_core_module, ngx_http_core_srv_conf_t,
    ngx_http_internal_redirect, ngx_http_named_location, ngx_http_upstream_conf_t, ngx_http_variable_t,
    ngx_list_init, ngx_list_push, ngx_str_t, ngx_table_elt_t,
};

use super::{NoMemory, Request, Upstream, request::list, str_bytes};

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
        unsafe { Self::from_raw((*self.raw()).main) }
    }

    /// How many changes of its path are left to the request: fewer after each internal redirect and each `rewrite .. last`.
    pub(crate) fn changes_left(self) -> u32 {
        self.get_mut().uri_changes()
    }

    /// Whether the server reads `//` in a client's path as `/`.
    pub(crate) fn merges_slashes(self) -> bool {
        // SAFETY: a live request has its server configuration.
        unsafe {
            let module = &*ptr::addr_of!(ngx_http_core_module);
            let server = *(*self.raw()).srv_conf.add(module.ctx_index);
            (*server.cast::<ngx_http_core_srv_conf_t>()).merge_slashes != 0
        }
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
        let request = self.get_mut();
        if request.method != NGX_HTTP_HEAD as usize {
            request.method = nginx_sys::NGX_HTTP_GET as usize;
            request.method_name = ngx_str_t { len: 3, data: b"GET ".as_ptr().cast_mut() };
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
        let request = self.get_mut();
        let headers = &mut request.headers_in;
        headers.content_length = ptr::null_mut();
        headers.content_type = ptr::null_mut();
        headers.transfer_encoding = ptr::null_mut();
        headers.expect = ptr::null_mut();
        headers.content_length_n = -1;
        headers.set_chunked(0);
        // What has not been read of the body is discarded with the connection: nginx knows that it reads one.
        // SAFETY: NULL, or the body of a live request.
        if let Some(body) = unsafe { request.request_body.as_mut() } {
            body.bufs = ptr::null_mut();
            body.temp_file = ptr::null_mut();
        }
        request.unparsed_uri = target;
        request.set_uri_changes(MAX_URI_CHANGES);
        self.forget_variables();
        Ok(())
    }

    /// A list of the request's headers without some of them. Pointers to headers stay good: the old list lives on.
    fn drop_headers(self, is_dropped: impl Fn(&[u8]) -> bool) -> Result<(), NoMemory> {
        let headers = &raw mut self.get_mut().headers_in.headers;
        // SAFETY: the list of a live request, whose elements live in its pool; they are copied before the list changes.
        unsafe {
            let kept: Vec<ngx_table_elt_t> =
                list(&*headers).filter(|header| !is_dropped(str_bytes(&header.key))).copied().collect();
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
        // SAFETY: the core module's configuration of the http block; a request has a value for each of its variables.
        unsafe {
            let core: *mut ngx_http_core_main_conf_t = self.main_conf(&*ptr::addr_of!(ngx_http_core_module));
            let known: &[ngx_http_variable_t] = (*core).variables.as_slice();
            for (index, variable) in known.iter().enumerate() {
                if OF_THE_CLIENT.contains(&str_bytes(&variable.name)) {
                    let value = &mut *(*self.raw()).variables.add(index);
                    value.set_valid(0);
                    value.set_not_found(0);
                }
            }
        }
    }
}

impl Request {
    /// A copy of an upstream's configuration for this request alone.
    #[expect(clippy::mut_from_ref, reason = "fresh memory of the request's pool")]
    pub(crate) fn conf_copy(
        &self,
        conf: *const ngx_http_upstream_conf_t,
    ) -> Option<&mut ngx_http_upstream_conf_t> {
        // SAFETY: live pool; the configuration of the request's upstream is live.
        unsafe {
            let copy = nginx_sys::ngx_palloc(self.pool(), size_of::<ngx_http_upstream_conf_t>());
            let copy = copy.cast::<ngx_http_upstream_conf_t>();
            if copy.is_null() {
                return None;
            }
            copy.copy_from_nonoverlapping(conf, 1);
            copy.as_mut()
        }
    }
}

impl Upstream {
    /// Sends the request to `uri`, which nginx decodes, when it has seen the head.
    pub(crate) fn redirect(self, request: Request, uri: &[u8]) -> Result<(), NoMemory> {
        let value = request.text(uri).ok_or(NoMemory)?;
        // SAFETY: live pool; all-zero is what nginx starts a header from.
        unsafe {
            let header = nginx_sys::ngx_pcalloc(request.pool(), size_of::<ngx_table_elt_t>());
            let header = header.cast::<ngx_table_elt_t>().as_mut().ok_or(NoMemory)?;
            header.hash = 1;
            header.key = ngx_str_t { len: 16, data: b"X-Accel-Redirect".as_ptr().cast_mut() };
            header.value = value;
            self.get().headers_in.x_accel_redirect = header;
        }
        Ok(())
    }

    /// Where the response sends the request.
    pub(crate) fn redirect_target(&self) -> Option<&[u8]> {
        // SAFETY: NULL, or a header in the request's pool.
        unsafe { self.get().headers_in.x_accel_redirect.as_ref().map(|header| str_bytes(&header.value)) }
    }
}
