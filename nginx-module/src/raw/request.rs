// SPDX-License-Identifier: MIT OR Apache-2.0
//! One request of nginx: what the client has asked for.

use std::{ffi::c_void, ptr, slice};

use gangway::log::{Level, RequestLog};
use nginx_sys::{
    NGX_HTTP_HEAD, NGX_HTTP_SATISFY_ALL, ngx_http_complex_value, ngx_http_core_loc_conf_t,
    ngx_http_core_main_conf_t, ngx_http_core_module, ngx_http_core_srv_conf_t, ngx_http_get_flushed_variable,
    ngx_http_get_variable, ngx_http_request_t, ngx_http_variable_t, ngx_int_t, ngx_pool_t, ngx_str_t,
};

use super::{
    ConfText, Connection,
    field::field,
    header::list,
    log::{level_number, write_log},
    text::{is_regex, str_bytes},
};

/// A live request of this thread's event loop.
///
/// It is a number for the request, not a reference: whoever holds one keeps it no longer than nginx keeps the request,
/// which ends in a finalize call of ours or in an event that runs our cleanup handler first. Nothing of nginx's is
/// referred to for longer than a field takes to read or write, because nginx changes requests in every call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request(*mut ngx_http_request_t);

impl Request {
    /// # Safety
    /// `raw` is a live request, the calling thread is the event loop's, and the value is not used after nginx has freed the
    /// request.
    pub(crate) unsafe fn from_raw(raw: *mut ngx_http_request_t) -> Self {
        Self(raw)
    }

    pub(crate) fn raw(self) -> *mut ngx_http_request_t {
        self.0
    }

    pub(crate) fn connection(self) -> Connection {
        // SAFETY: a live request has a live connection for as long as it lives.
        unsafe { Connection::from_raw_unchecked(field!(self, connection)) }
    }

    pub(crate) fn pool(self) -> *mut ngx_pool_t {
        field!(self, pool)
    }

    /// Bytes of the request's own.
    pub(super) fn bytes(&self, text: ngx_str_t) -> &[u8] {
        // SAFETY: strings of a request live in its pool, its connection's or its cycle's, all of which outlive it, and
        // nginx writes to none of them once the request's head has been read.
        unsafe { str_bytes(&text) }
    }

    pub(crate) fn method(&self) -> &[u8] {
        self.bytes(field!(self, method_name))
    }

    pub(crate) fn is_head(self) -> bool {
        self.has_method_of(NGX_HTTP_HEAD)
    }

    /// Whether the method is GET or HEAD.
    pub(crate) fn is_safe(self) -> bool {
        self.has_method_of(NGX_HTTP_HEAD | nginx_sys::NGX_HTTP_GET)
    }

    /// Whether it reads a part of another request's page, or asks something about that request (SSI, `auth_request` and their like):
    /// the body of the client's request is not for it. A copy that `mirror` makes has method and body.
    pub(crate) fn is_part(self) -> bool {
        !self.is_main() && self.is_safe()
    }

    /// Whether the method is one of these, by nginx's bits.
    pub(super) fn has_method_of(self, methods: u32) -> bool {
        field!(self, method) & methods as usize != 0
    }

    pub(crate) fn uri(&self) -> &[u8] {
        self.bytes(field!(self, uri))
    }

    pub(crate) fn unparsed_uri(&self) -> &[u8] {
        self.bytes(field!(self, unparsed_uri))
    }

    pub(crate) fn query(&self) -> &[u8] {
        self.bytes(field!(self, args))
    }

    pub(crate) fn protocol(&self) -> &[u8] {
        self.bytes(field!(self, http_protocol))
    }

    pub(crate) fn remote_addr(&self) -> &[u8] {
        self.bytes(field!(self.connection(), addr_text))
    }

    pub(crate) fn is_tls(self) -> bool {
        #[cfg(ngx_feature = "http_v3")]
        // HTTP/3 is always TLS, and its streams have no `ssl` of their own.
        if !field!(self.connection(), quic).is_null() {
            return true;
        }
        self.connection().is_tls()
    }

    /// The value of one of nginx's variables at this moment; empty when it is not set. What depends on the location is
    /// made anew: the parts of a request share the values of a main request, and it keeps them over redirects.
    pub(crate) fn variable(&self, index: ngx_int_t) -> &[u8] {
        // SAFETY: `Conf::variable` gave the index in the configuration that nginx answers this live request with; the
        // value lives in the request's pool.
        unsafe {
            let value = ngx_http_get_flushed_variable(self.0, index as usize);
            match value.as_ref() {
                Some(value) if value.not_found() == 0 => value.as_bytes(),
                _ => &[],
            }
        }
    }

    /// The value of a variable whose module may not be there; empty when it is not, or is not set. `name` is in lower case.
    pub(crate) fn named_variable(&self, name: &'static [u8]) -> &[u8] {
        let mut text = ngx_str_t { len: name.len(), data: name.as_ptr().cast_mut() };
        let hash = name.iter().fold(0usize, |hash, byte| hash.wrapping_mul(31).wrapping_add((*byte).into()));
        // SAFETY: nginx looks the name up in its table, which it does not keep; the value lives in the request's pool or connection.
        unsafe {
            match ngx_http_get_variable(self.0, &raw mut text, hash).as_ref() {
                Some(value) if value.not_found() == 0 => value.as_bytes(),
                _ => &[],
            }
        }
    }

    /// The number of one of nginx's variables, if something in the configuration uses it.
    pub(crate) fn used_variable(&self, name: &[u8]) -> Option<ngx_int_t> {
        let used = &self.core_main().variables;
        if used.elts.is_null() {
            return None;
        }
        // SAFETY: an array of nginx's own, of so many variables, in the cycle that outlives this request.
        let all = unsafe { slice::from_raw_parts(used.elts.cast::<ngx_http_variable_t>(), used.nelts) };
        // SAFETY: the names stand in the same cycle.
        let at = all.iter().position(|variable| unsafe { variable.name.as_bytes() } == name)?;
        ngx_int_t::try_from(at).ok()
    }

    /// The numbers of variables that something in the configuration uses, by their names.
    pub(super) fn used_variables(self, is_meant: impl Fn(&[u8]) -> bool) -> Vec<usize> {
        let used = &self.core_main().variables;
        if used.elts.is_null() {
            return Vec::new();
        }
        // SAFETY: an array of nginx's own, of so many variables, in the cycle that outlives this request, as their names do.
        let all = unsafe { slice::from_raw_parts(used.elts.cast::<ngx_http_variable_t>(), used.nelts) };
        // SAFETY: the names of variables stand in the cycle, which outlives this request.
        let meant =
            all.iter().enumerate().filter(|(_, variable)| is_meant(unsafe { variable.name.as_bytes() }));
        meant.map(|(number, _)| number).collect()
    }

    /// A text of the configuration with this request's variables.
    pub(crate) fn evaluate(&self, text: ConfText) -> Option<&[u8]> {
        let mut value = ngx_str_t::empty();
        // SAFETY: `Conf::compile` made the text in the configuration that nginx answers this live request with.
        let status = unsafe { ngx_http_complex_value(self.0, text.raw(), &raw mut value) };
        (status == 0).then(|| self.bytes(value))
    }

    /// The request headers in order.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        // SAFETY: the list of a live request; nginx adds nothing to it once the request's head has been read.
        unsafe { list(&raw const (*self.0).headers_in.headers) }
            .filter(|header| header.hash != 0 || header.key.len > 0)
            .map(|header| (self.bytes(header.key), self.bytes(header.value)))
    }

    /// Whether the client announced a body, be it empty.
    pub(crate) fn declares_body(self) -> bool {
        !field!(self, headers_in.content_length).is_null() || self.is_chunked()
    }

    /// Whether the body came chunked.
    pub(crate) fn is_chunked(self) -> bool {
        field!(self, headers_in.chunked()) != 0
    }

    /// What the client says of the body's length. Of a chunked body nginx counts what has come so far.
    pub(crate) fn announced_length(self) -> Option<u64> {
        if self.is_chunked() { None } else { u64::try_from(field!(self, headers_in.content_length_n)).ok() }
    }

    pub(crate) fn streams_body(self) -> bool {
        field!(self, request_body_no_buffering()) != 0
    }

    /// The bytes of the request's line and headers.
    pub(crate) fn head_length(self) -> usize {
        let body = field!(self, headers_in.content_length_n).max(0);
        usize::try_from(field!(self, request_length).saturating_sub(body)).unwrap_or(usize::MAX)
    }

    /// Whether the response comes from nginx's cache.
    pub(crate) fn is_cached(self) -> bool {
        field!(self, cached()) != 0
    }

    /// The path of the request's location. Regular expressions and names of locations are no paths.
    pub(crate) fn location_path(&self) -> &[u8] {
        let location = self.core_location();
        if location.named() != 0 || location.noname() != 0 || is_regex(location) {
            &[]
        } else {
            self.bytes(location.name)
        }
    }

    pub(crate) fn content_type(&self) -> &[u8] {
        // SAFETY: NULL or a header in the request's list.
        unsafe { field!(self, headers_in.content_type).as_ref() }
            .map_or(&[], |header| self.bytes(header.value))
    }

    /// The user whom auth_basic has let in, if it guards this location (`realm` is its configuration's).
    pub(crate) fn user(&self) -> &[u8] {
        self.bytes(field!(self, headers_in.user))
    }

    /// Whether every access rule of the location had to be met.
    pub(crate) fn satisfies_all(self) -> bool {
        self.core_location().satisfy == NGX_HTTP_SATISFY_ALL as usize
    }

    /// The core module's configuration of the location, which nobody changes once it has been read.
    pub(crate) fn core_location(&self) -> &ngx_http_core_loc_conf_t {
        // SAFETY: nginx numbers its modules before any request; every location has the core module's configuration, and
        // the cycle that owns it outlives the request.
        unsafe { &*self.location_slot((*ptr::addr_of!(ngx_http_core_module)).ctx_index).cast() }
    }

    /// The core module's configuration of the server.
    pub(super) fn core_server(&self) -> &ngx_http_core_srv_conf_t {
        // SAFETY: as the core module numbers itself before any request, and every server has its configuration in the
        // cycle, which outlives the request.
        unsafe { &*(*field!(self, srv_conf).add((*ptr::addr_of!(ngx_http_core_module)).ctx_index)).cast() }
    }

    /// The core module's configuration of the http block.
    pub(super) fn core_main(&self) -> &ngx_http_core_main_conf_t {
        // SAFETY: there is one http block in a cycle that has requests; the cycle outlives them.
        unsafe { &*self.main_slot((*ptr::addr_of!(ngx_http_core_module)).ctx_index).cast() }
    }

    /// What the http module with this number has made for the request's location.
    pub(super) fn location_slot(self, module: usize) -> *mut c_void {
        // SAFETY: a live request has a slot for each http module, and `module` is nginx's number of one.
        unsafe { *field!(self, loc_conf).add(module) }
    }

    /// What the http module with this number has made for the http block.
    pub(super) fn main_slot(self, module: usize) -> *mut c_void {
        // SAFETY: a live request has a slot for each http module, and `module` is nginx's number of one.
        unsafe { *field!(self, main_conf).add(module) }
    }

    pub(crate) fn is_main(self) -> bool {
        self.0 == field!(self, main)
    }

    pub(crate) fn is_internal(self) -> bool {
        field!(self, internal()) != 0
    }

    pub(crate) fn header_sent(self) -> bool {
        field!(self, header_sent()) != 0
    }

    pub(crate) fn header_only(self) -> bool {
        field!(self, header_only()) != 0
    }
}

/// The request's error log: lines get the context of the request.
impl RequestLog for Request {
    fn takes(&self, level: Level) -> bool {
        // SAFETY: a live connection has a live log.
        unsafe { (*field!(self.connection(), log)).log_level >= level_number(level) }
    }

    fn write(&self, level: Level, line: &str) {
        // SAFETY: a live connection has a live log.
        unsafe { write_log(field!(self.connection(), log), level, line) }
    }
}
