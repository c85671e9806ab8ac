// SPDX-License-Identifier: MIT OR Apache-2.0
//! nginx's upstream of one request: its functions, its settings and its state.

use std::{ffi::c_void, ptr};

use nginx_sys::{
    NGX_HTTP_UPSTREAM_IGN_XA_REDIRECT, ngx_array_t, ngx_chain_t, ngx_chain_writer, ngx_event_free_peer_pt,
    ngx_event_get_peer_pt, ngx_event_pipe_t, ngx_http_upstream_conf_t, ngx_http_upstream_create,
    ngx_http_upstream_resolved_t, ngx_http_upstream_t, ngx_int_t, ngx_palloc, ngx_pcalloc, ngx_str_t,
    ngx_table_elt_t,
};

use super::{Connection, NoMemory, Request, field::field, header::list, tag, text::str_bytes};

/// The upstream of a live request, in whose pool it lives: as a [`Request`] no reference, and no longer of use than that.
#[derive(Clone, Copy)]
pub(crate) struct Upstream(*mut ngx_http_upstream_t);

impl Request {
    /// A fresh upstream for the request.
    pub(crate) fn create_upstream(self) -> Result<Upstream, NoMemory> {
        // SAFETY: `from_raw` promises a live request, in whose pool nginx makes the upstream.
        let status = unsafe { ngx_http_upstream_create(self.raw()) };
        if status == 0 { self.upstream().ok_or(NoMemory) } else { Err(NoMemory) }
    }

    /// The upstream that the request has.
    pub(crate) fn upstream(self) -> Option<Upstream> {
        let upstream = field!(self, upstream);
        (!upstream.is_null()).then_some(Upstream(upstream))
    }
}

type OnRequest = unsafe extern "C" fn(*mut nginx_sys::ngx_http_request_t) -> ngx_int_t;

/// The functions of this module that nginx calls for an upstream, and what it gives to its filters.
pub(crate) struct Hooks {
    pub(crate) create_key: OnRequest,
    pub(crate) create_request: OnRequest,
    pub(crate) reinit_request: OnRequest,
    pub(crate) process_header: OnRequest,
    pub(crate) abort_request: unsafe extern "C" fn(*mut nginx_sys::ngx_http_request_t),
    pub(crate) finalize_request: unsafe extern "C" fn(*mut nginx_sys::ngx_http_request_t, ngx_int_t),
    pub(crate) filter_init: unsafe extern "C" fn(*mut c_void) -> ngx_int_t,
    /// Of a response that is not buffered.
    pub(crate) stream_filter: unsafe extern "C" fn(*mut c_void, isize) -> ngx_int_t,
    /// Of one that is.
    pub(crate) pipe_filter:
        unsafe extern "C" fn(*mut ngx_event_pipe_t, *mut nginx_sys::ngx_buf_t) -> ngx_int_t,
    pub(crate) context: *mut c_void,
}

/// A balancer's part of an upstream.
#[derive(Clone, Copy)]
pub(crate) struct Balancer {
    pub(crate) get: ngx_event_get_peer_pt,
    pub(crate) free: ngx_event_free_peer_pt,
    pub(crate) data: *mut c_void,
}

impl Upstream {
    pub(crate) fn raw(self) -> *mut ngx_http_upstream_t {
        self.0
    }

    /// Makes the upstream one of this module's.
    pub(crate) fn install(self, request: Request, hooks: &Hooks) -> Result<(), NoMemory> {
        // SAFETY: the pool of a live request; all-zero is what nginx's modules start a pipe from.
        let pipe =
            unsafe { ngx_pcalloc(request.pool(), size_of::<ngx_event_pipe_t>()) }.cast::<ngx_event_pipe_t>();
        if pipe.is_null() {
            return Err(NoMemory);
        }
        // SAFETY: fresh memory that nobody else knows yet.
        unsafe {
            (*pipe).input_filter = Some(hooks.pipe_filter);
            (*pipe).input_ctx = hooks.context;
        }
        field!(self, pipe = pipe);
        field!(self, output.tag = tag());
        field!(self, create_key = Some(hooks.create_key));
        field!(self, create_request = Some(hooks.create_request));
        field!(self, reinit_request = Some(hooks.reinit_request));
        field!(self, process_header = Some(hooks.process_header));
        field!(self, abort_request = Some(hooks.abort_request));
        field!(self, finalize_request = Some(hooks.finalize_request));
        field!(self, input_filter_init = Some(hooks.filter_init));
        field!(self, input_filter = Some(hooks.stream_filter));
        field!(self, input_filter_ctx = hooks.context);
        Ok(())
    }

    /// Whether [`Upstream::install`] has made it one of this module's: the tag is the address of the module itself.
    pub(crate) fn is_ours(self) -> bool {
        field!(self, output.tag) == tag()
    }

    /// What [`Hooks::context`] was; NULL before.
    pub(crate) fn context(self) -> *mut c_void {
        field!(self, input_filter_ctx)
    }

    /// Puts other functions in the place of those of [`Hooks`].
    pub(crate) fn set_head_functions(self, create_request: OnRequest, process_header: OnRequest) {
        field!(self, create_request = Some(create_request));
        field!(self, process_header = Some(process_header));
    }

    /// The pipe of a response that is buffered; NULL before [`Upstream::install`].
    pub(crate) fn pipe(self) -> *mut ngx_event_pipe_t {
        field!(self, pipe)
    }

    /// Calls nginx's function for a backend that can be read from. The request may be gone after it.
    pub(crate) fn run_read_handler(self, request: Request) {
        if let Some(handler) = field!(self, read_event_handler) {
            // SAFETY: nginx's own handler for this live request and its upstream, called as nginx calls it.
            unsafe { handler(request.raw(), self.0) }
        }
    }

    /// Calls nginx's function for a backend that can be written to. The request may be gone after it.
    pub(crate) fn run_write_handler(self, request: Request) {
        if let Some(handler) = field!(self, write_event_handler) {
            // SAFETY: nginx's own handler for this live request and its upstream, called as nginx calls it.
            unsafe { handler(request.raw(), self.0) }
        }
    }
}

/// Settings.
impl Upstream {
    /// What nginx is to go by.
    ///
    /// # Safety
    /// `conf` belongs to the request's cycle or pool.
    pub(crate) unsafe fn set_conf(self, conf: *const ngx_http_upstream_conf_t) {
        field!(self, conf = conf.cast_mut());
    }

    /// Gives the request a configuration of its own, in which `change` is made.
    pub(crate) fn change_conf(
        self,
        request: Request,
        change: impl FnOnce(&mut ngx_http_upstream_conf_t),
    ) -> Result<(), NoMemory> {
        // SAFETY: the pool of a live request; `set_conf` gave the configuration, which outlives the request. The copy is
        // fresh memory that nobody else knows while `change` has it.
        unsafe {
            let copy = ngx_palloc(request.pool(), size_of::<ngx_http_upstream_conf_t>())
                .cast::<ngx_http_upstream_conf_t>();
            if copy.is_null() {
                return Err(NoMemory);
            }
            copy.copy_from_nonoverlapping(field!(self, conf), 1);
            change(&mut *copy);
            self.set_conf(copy);
        }
        Ok(())
    }

    /// Whether nginx ignores one of these headers of a response, by its bits.
    pub(crate) fn ignores(self, headers: u32) -> bool {
        // SAFETY: `set_conf` gave the configuration, which outlives the request.
        unsafe { (*field!(self, conf)).ignore_headers & headers as usize != 0 }
    }

    /// Has nginx obey X-Accel-Redirect for this request, whatever its location ignores.
    pub(crate) fn obey_redirect(self, request: Request) -> Result<(), NoMemory> {
        if !self.ignores(NGX_HTTP_UPSTREAM_IGN_XA_REDIRECT) {
            return Ok(());
        }
        self.change_conf(request, |conf| {
            conf.ignore_headers &= !(NGX_HTTP_UPSTREAM_IGN_XA_REDIRECT as usize);
        })
    }

    pub(crate) fn read_timeout(self) -> nginx_sys::ngx_msec_t {
        // SAFETY: `set_conf` gave the configuration, which outlives the request.
        unsafe { (*field!(self, conf)).read_timeout }
    }

    /// What stands before the address in nginx's lines: a text of the program's.
    pub(crate) fn set_schema(self, schema: &'static [u8]) {
        field!(self, schema = ngx_str_t { len: schema.len(), data: schema.as_ptr().cast_mut() });
    }

    /// The caches of the http block.
    ///
    /// # Safety
    /// The request's cycle has them.
    pub(crate) unsafe fn set_caches(self, caches: *const ngx_array_t) {
        field!(self, caches = caches.cast_mut());
    }

    #[cfg(ngx_feature = "ssl")]
    pub(crate) fn set_tls(self, is_tls: bool) {
        field!(self, set_ssl(u32::from(is_tls)));
    }

    /// The address that the request has made itself; NULL without one.
    pub(crate) fn resolved(self) -> *mut ngx_http_upstream_resolved_t {
        field!(self, resolved)
    }

    /// # Safety
    /// NULL, or complete and in the request's pool.
    pub(crate) unsafe fn set_resolved(self, resolved: *mut ngx_http_upstream_resolved_t) {
        field!(self, resolved = resolved);
    }
}

/// The backend and the connection to it.
impl Upstream {
    pub(crate) fn balancer(self) -> Balancer {
        Balancer { get: field!(self, peer.get), free: field!(self, peer.free), data: field!(self, peer.data) }
    }

    pub(crate) fn set_balancer(self, balancer: Balancer) {
        field!(self, peer.get = balancer.get);
        field!(self, peer.free = balancer.free);
        field!(self, peer.data = balancer.data);
    }

    pub(crate) fn connection(self) -> Option<Connection> {
        // SAFETY: NULL, or the connection to the backend, which is one of this process's array.
        unsafe { Connection::from_raw(field!(self, peer.connection)) }
    }

    /// Whether the connection is one that was kept.
    pub(crate) fn has_kept_connection(self) -> bool {
        field!(self, peer.cached()) != 0
    }

    /// How many backends nginx may still ask.
    pub(crate) fn tries(self) -> usize {
        field!(self, peer.tries)
    }

    pub(crate) fn set_tries(self, tries: usize) {
        field!(self, peer.tries = tries);
    }

    /// When the first backend was asked, by nginx's clock.
    pub(crate) fn start_time(self) -> nginx_sys::ngx_msec_t {
        field!(self, peer.start_time)
    }

    /// Whether the connection may be kept after the response.
    pub(crate) fn keeps_connection(self) -> bool {
        field!(self, keepalive()) != 0
    }

    pub(crate) fn set_keeps_connection(self, keeps: bool) {
        field!(self, set_keepalive(u32::from(keeps)));
    }

    /// nginx counts the bytes of the response again that are given back to the connection.
    pub(crate) fn uncount_received(self, count: i64) {
        let state = field!(self, state);
        if !state.is_null() {
            // SAFETY: the state of the backend that is being asked, in the request's pool.
            unsafe { (*state).bytes_received -= count }
        }
    }
}

/// The request on its way to the backend.
impl Upstream {
    /// What nginx sends.
    pub(crate) fn request_chain(self) -> *mut ngx_chain_t {
        field!(self, request_bufs)
    }

    /// # Safety
    /// NULL, or a chain of live buffers in the request's pool.
    pub(crate) unsafe fn set_request_chain(self, chain: *mut ngx_chain_t) {
        field!(self, request_bufs = chain);
    }

    /// Has nginx send by `filter(data, chain)`.
    ///
    /// # Safety
    /// `filter` can be called with `data` and a chain of live buffers as long as the request lives.
    pub(crate) unsafe fn set_output_filter(
        self,
        filter: unsafe extern "C" fn(*mut c_void, *mut ngx_chain_t) -> ngx_int_t,
        data: *mut c_void,
    ) {
        field!(self, output.output_filter = Some(filter));
        field!(self, output.filter_ctx = data);
    }

    /// `ngx_chain_writer()`: sends what the connection takes, and keeps the rest.
    ///
    /// # Safety
    /// NULL or a chain of live buffers; there is a connection.
    pub(crate) unsafe fn write_chain(self, chain: *mut ngx_chain_t) -> ngx_int_t {
        // SAFETY: the writer of a live upstream, which nginx has set up for its connection; the chain is the caller's.
        unsafe { ngx_chain_writer((&raw mut (*self.0).writer).cast(), chain) }
    }

    /// Whether nothing waits in [`Upstream::write_chain`].
    pub(crate) fn has_written_all(self) -> bool {
        field!(self, writer.out).is_null()
    }

    /// Whether nginx takes the request for sent, as far as it had it.
    pub(crate) fn is_request_sent(self) -> bool {
        field!(self, request_sent()) != 0
    }

    pub(crate) fn set_request_sent(self, sent: bool) {
        field!(self, set_request_sent(u32::from(sent)));
    }

    /// Whether all of the request has left.
    pub(crate) fn is_body_sent(self) -> bool {
        field!(self, request_body_sent()) != 0
    }

    /// What ngx_http_upstream_reinit() does with the chains of a request that was sent: it is to be sent again.
    pub(crate) fn forget_sent(self) {
        field!(self, output.buf = ptr::null_mut());
        field!(self, output.in_ = ptr::null_mut());
        field!(self, output.busy = ptr::null_mut());
        self.set_request_sent(false);
    }
}

/// The response.
impl Upstream {
    pub(crate) fn is_buffering(self) -> bool {
        field!(self, buffering()) != 0
    }

    pub(crate) fn set_buffering(self, buffering: bool) {
        field!(self, set_buffering(u32::from(buffering)));
    }

    pub(crate) fn is_cacheable(self) -> bool {
        field!(self, cacheable()) != 0
    }

    pub(crate) fn set_uncacheable(self) {
        field!(self, set_cacheable(0));
    }

    /// Of a response that is not buffered: the connection has failed.
    pub(crate) fn set_failed(self) {
        field!(self, set_error(1));
    }

    /// What nginx still waits for; -1 is until the end of the connection.
    pub(crate) fn length(self) -> i64 {
        field!(self, length)
    }

    pub(crate) fn set_length(self, length: i64) {
        field!(self, length = length);
    }

    /// The same of a response that is buffered.
    pub(crate) fn set_pipe_length(self, length: i64) {
        let pipe = self.pipe();
        if !pipe.is_null() {
            // SAFETY: the pipe that `install` has made in the request's pool.
            unsafe { (*pipe).length = length }
        }
    }

    /// Whether nginx has all of a response that is buffered.
    pub(crate) fn has_whole_body(self) -> bool {
        let pipe = self.pipe();
        // SAFETY: the pipe that `install` has made in the request's pool.
        !pipe.is_null() && unsafe { (*pipe).upstream_done() != 0 || (*pipe).length == 0 }
    }

    /// The address that the balancer has chosen, in nginx's words; nothing before it has.
    pub(crate) fn peer_name(&self) -> &[u8] {
        // SAFETY: NULL, or a string of the balancer's that outlives the request.
        unsafe { field!(self, peer.name).as_ref().map_or(&[], |name| str_bytes(name)) }
    }

    pub(crate) fn status(self) -> usize {
        field!(self, headers_in.status_n)
    }

    /// Gives nginx the status, and its line or nothing for nginx's own words.
    pub(crate) fn set_status(self, status: u16, line: ngx_str_t) {
        field!(self, headers_in.status_n = usize::from(status));
        field!(self, headers_in.status_line = line);
        let state = field!(self, state);
        // SAFETY: NULL, or the state of the backend that is being asked, in the request's pool.
        unsafe {
            if !state.is_null() && (*state).status == 0 {
                (*state).status = usize::from(status);
            }
        }
    }

    /// The response's Content-Length, if it has one.
    pub(crate) fn content_length(self) -> Option<u64> {
        u64::try_from(field!(self, headers_in.content_length_n)).ok()
    }

    pub(crate) fn set_content_length(self, length: Option<u64>) {
        let length = length.and_then(|length| i64::try_from(length).ok()).unwrap_or(-1);
        field!(self, headers_in.content_length_n = length);
    }

    /// The headers of the response.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        // SAFETY: the list of a live upstream, and strings in the request's pool. nginx has taken all of the head, and so
        // nobody adds to it.
        unsafe { list(&raw const (*self.0).headers_in.headers) }
            .filter(|header| header.hash != 0)
            // SAFETY: strings in the request's pool, which nobody changes.
            .map(|header| unsafe { (str_bytes(&header.key), str_bytes(&header.value)) })
    }

    /// Sends the request to `uri`, which nginx decodes, when it has seen the head.
    pub(crate) fn redirect(self, request: Request, uri: &[u8]) -> Result<(), NoMemory> {
        let value = request.text(uri).ok_or(NoMemory)?;
        // SAFETY: the pool of a live request; all-zero is what nginx starts a header from.
        unsafe {
            let header = ngx_pcalloc(request.pool(), size_of::<ngx_table_elt_t>()).cast::<ngx_table_elt_t>();
            if header.is_null() {
                return Err(NoMemory);
            }
            (*header).hash = 1;
            (*header).key = ngx_str_t { len: 16, data: b"X-Accel-Redirect".as_ptr().cast_mut() };
            (*header).value = value;
            field!(self, headers_in.x_accel_redirect = header);
        }
        Ok(())
    }

    /// Where the response sends the request.
    pub(crate) fn redirect_target(&self) -> Option<&[u8]> {
        // SAFETY: NULL, or a header in the request's pool, whose string nobody changes.
        unsafe { field!(self, headers_in.x_accel_redirect).as_ref().map(|header| str_bytes(&header.value)) }
    }
}
