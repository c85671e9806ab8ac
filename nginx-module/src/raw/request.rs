// SPDX-License-Identifier: MIT OR Apache-2.0
//! One request of nginx.

use std::{ffi::c_void, ptr};

use gangway::log::Level;
use nginx_sys::{
    NGX_HTTP_HEAD, NGX_HTTP_SATISFY_ALL, ngx_add_timer, ngx_connection_t, ngx_del_timer,
    ngx_handle_read_event, ngx_handle_write_event, ngx_http_cleanup_add, ngx_http_cleanup_pt,
    ngx_http_complex_value, ngx_http_core_loc_conf_t, ngx_http_core_module, ngx_http_event_handler_pt,
    ngx_http_finalize_request, ngx_http_get_flushed_variable, ngx_http_request_t,
    ngx_http_run_posted_requests, ngx_http_send_header, ngx_http_send_special, ngx_http_test_reading,
    ngx_int_t, ngx_list_t, ngx_module_t, ngx_pnalloc, ngx_pool_t, ngx_post_event, ngx_posted_events,
    ngx_str_t, ngx_table_elt_t,
};

use super::{
    ConfText,
    conf::{is_regex, str_bytes},
    write_log,
};

/// A live request. See the module's page for what makes it sound.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request(*mut ngx_http_request_t);

impl Request {
    /// # Safety
    /// `raw` is a live request and the calling thread is the event loop's.
    pub(crate) unsafe fn from_raw(raw: *mut ngx_http_request_t) -> Self {
        Self(raw)
    }

    pub(crate) fn raw(self) -> *mut ngx_http_request_t {
        self.0
    }

    pub(super) fn get(&self) -> &ngx_http_request_t {
        // SAFETY: live by the type's contract; one thread.
        unsafe { &*self.0 }
    }

    #[expect(clippy::mut_from_ref, reason = "nginx's request is shared by pointer on one thread")]
    pub(super) fn get_mut(&self) -> &mut ngx_http_request_t {
        // SAFETY: live by the type's contract; one thread; no reference is kept across calls into nginx.
        unsafe { &mut *self.0 }
    }

    pub(super) fn connection(&self) -> &ngx_connection_t {
        // SAFETY: a live request has a live connection.
        unsafe { &*self.get().connection }
    }

    pub(crate) fn pool(self) -> *mut ngx_pool_t {
        self.get().pool
    }

    /// Bytes that live as long as the request.
    pub(super) fn bytes(&self, text: ngx_str_t) -> &[u8] {
        // SAFETY: strings of a request live in its pool or its connection's.
        unsafe { str_bytes(&text) }
    }

    pub(crate) fn method(&self) -> &[u8] {
        self.bytes(self.get().method_name)
    }

    pub(crate) fn is_head(self) -> bool {
        self.get().method == NGX_HTTP_HEAD as usize
    }

    /// Whether the method is GET or HEAD.
    pub(crate) fn is_safe(self) -> bool {
        self.get().method & (NGX_HTTP_HEAD | nginx_sys::NGX_HTTP_GET) as usize != 0
    }

    pub(crate) fn uri(&self) -> &[u8] {
        self.bytes(self.get().uri)
    }

    pub(crate) fn unparsed_uri(&self) -> &[u8] {
        self.bytes(self.get().unparsed_uri)
    }

    pub(crate) fn query(&self) -> &[u8] {
        self.bytes(self.get().args)
    }

    pub(crate) fn protocol(&self) -> &[u8] {
        self.bytes(self.get().http_protocol)
    }

    pub(crate) fn remote_addr(&self) -> &[u8] {
        self.bytes(self.connection().addr_text)
    }

    pub(crate) fn is_tls(self) -> bool {
        #[cfg(ngx_feature = "http_v3")]
        // HTTP/3 is always TLS, and its streams have no `ssl` of their own.
        if !self.connection().quic.is_null() {
            return true;
        }
        !self.connection().ssl.is_null()
    }

    /// The value of one of nginx's variables at this moment; empty when it is not set. What depends on the location is
    /// made anew: the parts of a request share the values of a main request, and it keeps them over redirects.
    pub(crate) fn variable(&self, index: ngx_int_t) -> &[u8] {
        // SAFETY: the index is from the same configuration; the value lives in the request's pool.
        unsafe {
            let value = ngx_http_get_flushed_variable(self.0, index as usize);
            match value.as_ref() {
                Some(value) if value.not_found() == 0 => value.as_bytes(),
                _ => &[],
            }
        }
    }

    /// A text of the configuration with this request's variables.
    pub(crate) fn evaluate(&self, text: ConfText) -> Option<&[u8]> {
        let mut value = ngx_str_t::empty();
        // SAFETY: compiled by the same configuration; the value lives in the request's pool or the cycle's.
        let status = unsafe { ngx_http_complex_value(self.0, text.raw(), &raw mut value) };
        (status == 0).then(|| self.bytes(value))
    }

    /// The request headers in order.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        list(&self.get().headers_in.headers)
            .filter(|header| header.hash != 0 || header.key.len > 0)
            .map(|header| (self.bytes(header.key), self.bytes(header.value)))
    }

    /// Whether the client announced a body, be it empty.
    pub(crate) fn declares_body(self) -> bool {
        let headers = &self.get().headers_in;
        !headers.content_length.is_null() || headers.chunked() != 0
    }

    /// Whether the body came chunked.
    pub(crate) fn is_chunked(self) -> bool {
        self.get().headers_in.chunked() != 0
    }

    /// What the client says of the body's length. Of a chunked body nginx counts what has come so far.
    pub(crate) fn announced_length(self) -> Option<u64> {
        let headers = &self.get().headers_in;
        if headers.chunked() != 0 { None } else { u64::try_from(headers.content_length_n).ok() }
    }

    pub(crate) fn streams_body(self) -> bool {
        self.get().request_body_no_buffering() != 0
    }

    /// The bytes of the request's line and headers.
    pub(crate) fn head_length(self) -> usize {
        let body = self.get().headers_in.content_length_n.max(0);
        usize::try_from(self.get().request_length.saturating_sub(body)).unwrap_or(usize::MAX)
    }

    /// Whether the response comes from nginx's cache.
    pub(crate) fn is_cached(self) -> bool {
        self.get().cached() != 0
    }

    /// Whether a filter of the response works on its bytes, and may keep some back.
    pub(crate) fn filters_hold_back(self) -> bool {
        let request = self.get();
        request.main_filter_need_in_memory() != 0 || request.filter_need_in_memory() != 0
    }

    /// Lets nginx call the request's write handler after the current event.
    pub(crate) fn post_write_event(self) {
        // SAFETY: the live write event of a live connection.
        unsafe { ngx_post_event(self.connection().write, &raw mut ngx_posted_events) }
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
        unsafe { self.get().headers_in.content_type.as_ref() }.map_or(&[], |header| self.bytes(header.value))
    }

    /// The user whom auth_basic has let in, if it guards this location (`realm` is its configuration's).
    pub(crate) fn user(&self) -> &[u8] {
        self.bytes(self.get().headers_in.user)
    }

    /// Whether every access rule of the location had to be met.
    pub(crate) fn satisfies_all(self) -> bool {
        self.core_location().satisfy == NGX_HTTP_SATISFY_ALL as usize
    }

    pub(crate) fn core_location(&self) -> &ngx_http_core_loc_conf_t {
        // SAFETY: every location has the core module's configuration.
        unsafe { &*self.location_conf(&*ptr::addr_of!(ngx_http_core_module)) }
    }

    /// The configuration of a module for the request's location.
    pub(crate) fn location_conf<T>(self, module: &ngx_module_t) -> *mut T {
        // SAFETY: a live request has a slot for each http module.
        unsafe { (*self.get().loc_conf.add(module.ctx_index)).cast() }
    }

    /// The configuration of a module for the http block.
    pub(crate) fn main_conf<T>(self, module: &ngx_module_t) -> *mut T {
        // SAFETY: a live request has a slot for each http module.
        unsafe { (*self.get().main_conf.add(module.ctx_index)).cast() }
    }

    /// A module's word about the request.
    pub(crate) fn context(self, module: &ngx_module_t) -> *mut c_void {
        // SAFETY: a live request has a slot for each http module.
        unsafe { *self.get().ctx.add(module.ctx_index) }
    }

    pub(crate) fn set_context(self, module: &ngx_module_t, data: *mut c_void) {
        // SAFETY: as above.
        unsafe { *self.get().ctx.add(module.ctx_index) = data }
    }

    /// Writes a line to the request's error log, with its context.
    pub(crate) fn log(self, level: Level, line: &str) {
        // SAFETY: a live connection has a live log.
        unsafe { write_log(self.connection().log, level, line) }
    }

    pub(crate) fn is_main(self) -> bool {
        self.0 == self.get().main
    }

    pub(crate) fn is_internal(self) -> bool {
        self.get().internal() != 0
    }

    pub(crate) fn header_sent(self) -> bool {
        self.get().header_sent() != 0
    }

    pub(crate) fn header_only(self) -> bool {
        self.get().header_only() != 0
    }

    /// Whether output waits in nginx.
    pub(crate) fn is_buffered(self) -> bool {
        self.get().buffered() != 0 || !self.get().postponed.is_null() || self.connection().buffered() != 0
    }

    /// Runs `handler(data)` when the request ends. Main requests of one connection share the list.
    pub(crate) fn on_end(self, handler: ngx_http_cleanup_pt, data: *mut c_void) -> bool {
        // SAFETY: live request.
        let cleanup = unsafe { ngx_http_cleanup_add(self.0, 0) };
        // SAFETY: NULL or fresh.
        match unsafe { cleanup.as_mut() } {
            Some(cleanup) => {
                cleanup.handler = handler;
                cleanup.data = data;
                true
            }
            None => false,
        }
    }

    /// Lets nginx watch for a client that leaves, and call `writable` when more can be sent.
    pub(crate) fn watch_client(self, writable: ngx_http_event_handler_pt) {
        self.get_mut().write_event_handler = writable;
        self.watch_client_alone();
    }

    /// Lets nginx watch for a client that leaves.
    pub(crate) fn watch_client_alone(self) {
        self.get_mut().read_event_handler = Some(ngx_http_test_reading);
        // SAFETY: live connection; as ngx_http_upstream_init_request() does.
        unsafe {
            let read = self.connection().read;
            if (*read).ready() != 0 {
                // What arrived before is not announced again.
                ngx_post_event(read, &raw mut ngx_posted_events);
            } else {
                // An error here shows again at the next use of the connection.
                let _ = ngx_handle_read_event(read, 0);
            }
        }
    }

    /// After output: waits for the client as long as send_timeout, or not at all if nothing waits.
    pub(crate) fn watch_output(self) -> bool {
        let (timeout, lowat) = (self.core_location().send_timeout, self.core_location().send_lowat);
        // SAFETY: live connection and write event.
        unsafe {
            let write = self.connection().write;
            if self.connection().buffered() != 0 {
                if (*write).delayed() == 0 && self.0 == self.connection().data.cast() {
                    ngx_add_timer(write, timeout);
                }
            } else if (*write).timer_set() != 0 && (*write).delayed() == 0 {
                ngx_del_timer(write);
            }
            ngx_handle_write_event(write, lowat) == 0
        }
    }

    /// Whether a client took nothing for as long as send_timeout, and whether output is held back by a rate limit.
    pub(crate) fn write_state(self) -> (bool, bool) {
        // SAFETY: live write event.
        let write = unsafe { &*self.connection().write };
        (write.timedout() != 0, write.delayed() != 0)
    }

    pub(crate) fn set_timed_out(self) {
        // SAFETY: live connection.
        unsafe { (*self.get().connection).set_timedout(1) }
    }

    /// Sends what waits in nginx.
    pub(crate) fn flush(self) -> ngx_int_t {
        // SAFETY: live request whose header has been sent.
        unsafe { ngx_http_send_special(self.0, nginx_sys::NGX_HTTP_FLUSH as usize) }
    }

    pub(crate) fn send_header(self) -> ngx_int_t {
        // SAFETY: live request whose header has not been sent.
        unsafe { ngx_http_send_header(self.0) }
    }

    /// Ends the request: it is gone after this.
    pub(crate) fn finalize(self, status: ngx_int_t) {
        // SAFETY: live request that this module still holds.
        unsafe { ngx_http_finalize_request(self.0, status) }
    }

    /// Ends the request's upstream, but not the request: as ngx_http_upstream_create() does it for another one.
    pub(crate) fn leave_upstream(self) {
        // SAFETY: live request; the upstream's clean-up gives back the count that is added for it.
        unsafe {
            let upstream = self.get_mut().upstream;
            if let Some(upstream) = upstream.as_ref()
                && let Some(Some(cleanup)) = upstream.cleanup.as_ref()
            {
                let main = self.get_mut().main;
                (*main).set_count((*main).count() + 1);
                cleanup(self.0.cast());
            }
        }
    }

    /// Sets where a redirect of nginx's own leads.
    pub(crate) fn set_location(self, target: &[u8]) -> Option<()> {
        let value = self.text(target)?;
        // SAFETY: live request and list; all-zero is what nginx starts a header from.
        unsafe {
            let header = nginx_sys::ngx_list_push(&raw mut self.get_mut().headers_out.headers);
            let header = header.cast::<ngx_table_elt_t>();
            header.as_mut()?;
            header.write(std::mem::zeroed());
            (*header).hash = 1;
            (*header).key = ngx_str_t { len: 8, data: b"Location".as_ptr().cast_mut() };
            (*header).value = value;
            self.get_mut().headers_out.location = header;
        }
        Some(())
    }

    /// Runs what an event has made ready on the connection, as nginx's own event handlers do at their end.
    pub(crate) fn posted_runner(self) -> impl FnOnce() {
        let connection = self.get().connection;
        // SAFETY: nginx keeps a connection's memory when it is closed, and the function checks for that.
        move || unsafe { ngx_http_run_posted_requests(connection) }
    }

    /// A copy in the request's pool.
    pub(crate) fn text(self, bytes: &[u8]) -> Option<ngx_str_t> {
        self.joined_text(&[bytes])
    }

    /// A copy of these parts one after the other in the request's pool.
    pub(crate) fn joined_text(self, parts: &[&[u8]]) -> Option<ngx_str_t> {
        self.pool_text(parts).map(|text| text.0)
    }

    /// The path of the request, for as long as the request lives.
    pub(crate) fn pool_uri(self) -> PoolText {
        PoolText(self.get().uri)
    }

    /// These parts one after the other, copied into the request's pool.
    pub(crate) fn pool_text(self, parts: &[&[u8]]) -> Option<PoolText> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        // SAFETY: live pool; fresh memory of that size, with a NUL after it.
        unsafe {
            let data = ngx_pnalloc(self.pool(), length + 1).cast::<u8>();
            if data.is_null() {
                return None;
            }
            let mut at = data;
            for part in parts {
                ptr::copy_nonoverlapping(part.as_ptr(), at, part.len());
                at = at.add(part.len());
            }
            at.write(0);
            Some(PoolText(ngx_str_t { len: length, data }))
        }
    }
}

/// Bytes that live as long as the request they are of. Values that outlive it must not hold one.
#[derive(Clone, Copy)]
pub(crate) struct PoolText(ngx_str_t);

impl PoolText {
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: made of a live request's own memory or its pool's, neither of which changes or goes before the request
        // does; whoever holds the text lives in that pool or on the stack of a call for that request.
        unsafe { str_bytes(&self.0) }
    }
}

impl Default for PoolText {
    fn default() -> Self {
        Self(ngx_str_t::empty())
    }
}

impl std::fmt::Debug for PoolText {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&gangway::log::escape(self.bytes()))
    }
}

/// The elements of a list of headers.
pub(super) fn list(list: &ngx_list_t) -> impl Iterator<Item = &ngx_table_elt_t> {
    let mut part = &raw const list.part;
    let mut index = 0;
    std::iter::from_fn(move || {
        loop {
            // SAFETY: a list is a chain of parts, each with `nelts` elements, that live as long as the request.
            let current = unsafe { part.as_ref() }?;
            if index < current.nelts {
                // SAFETY: as above.
                let header = unsafe { &*current.elts.cast::<ngx_table_elt_t>().add(index) };
                index += 1;
                return Some(header);
            }
            part = current.next;
            index = 0;
        }
    })
}
