// SPDX-License-Identifier: MIT OR Apache-2.0
//! What httpd knows of a request, each thing with its type.
//!
//! ```text
//! target      what is asked for, and what serves it
//! tables      headers, variables, notes
//! host        the host that the client has asked for
//! connection  who asks, and over what
//! input       the body, as the input filters give it
//! head        the head of the response
//! output      what leaves through the output filters
//! trace       its span, where somebody observes it
//! redirect    another document of the server instead of a response
//! facts       what handlers of phases look at and change
//! lists       what they look at alone: lists, other requests, what is found by name
//! ```

use std::{ffi::c_void, marker::PhantomData, ptr::NonNull};

use gangway::log::{Level, RequestLog};

use crate::{
    module::{Module, module_index, place_of},
    pool::Pool,
    server::Server,
    sys::{self, request_rec},
};

/// Reads a member of the request.
macro_rules! field {
    ($request:expr, $($name:ident).+) => {
        // SAFETY: by the promise of `Request::from_raw` the request is live, and only this thread uses it.
        unsafe { (*$request.raw.as_ptr())$(.$name)+ }
    };
}

/// Reads a C string of the request; NULL is empty.
macro_rules! string {
    ($request:expr, $($name:ident).+) => {
        // SAFETY: httpd keeps NULL or a C string here, in a pool that lives as long as the request; it replaces such a string, but
        // does not write to it.
        unsafe { $crate::text((*$request.raw.as_ptr())$(.$name)+) }
    };
}

mod connection;
mod facts;
mod head;
mod host;
mod input;
mod lists;
mod output;
mod redirect;
mod tables;
mod target;
mod trace;

pub use connection::Socket;
pub use input::{BodyError, BodyLength};

/// A request, during the call of httpd that brought it, as the module `M` sees it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r, M> {
    raw: NonNull<request_rec>,
    life: PhantomData<(&'r (), M)>,
}

impl<'r, M: Module> Request<'r, M> {
    /// Wraps a request; NULL is none.
    ///
    /// # Safety
    /// `raw` is NULL or a request that lives for `'r` and that no other thread uses meanwhile.
    #[must_use]
    pub unsafe fn from_raw(raw: *mut request_rec) -> Option<Self> {
        NonNull::new(raw).map(|raw| Self { raw, life: PhantomData })
    }

    /// httpd's own.
    #[must_use]
    pub fn as_ptr(self) -> *mut request_rec {
        self.raw.as_ptr()
    }

    /// The pool that goes with the request.
    #[must_use]
    pub fn pool(self) -> Pool<'r> {
        let pool = field!(self, pool);
        // SAFETY: a request lives in its own pool, and only its thread uses that.
        unsafe { Pool::from_raw(pool) }
    }

    /// The connection, for httpd's functions.
    #[must_use]
    pub fn connection(self) -> *mut sys::conn_rec {
        field!(self, connection)
    }

    /// The server that it has come to.
    #[must_use]
    pub fn server(self) -> Option<Server<'r>> {
        let server = field!(self, server);
        // SAFETY: httpd keeps the server of a request for longer.
        unsafe { Server::from_raw(server) }
    }

    /// What makes buckets for the connection.
    #[must_use]
    pub fn bucket_list(self) -> *mut sys::apr_bucket_alloc_t {
        // SAFETY: `from_raw` promises a live request, and httpd keeps its connection for longer.
        unsafe { (*self.connection()).bucket_alloc }
    }

    /// The configuration that applies to it now.
    #[must_use]
    pub fn conf(self) -> Option<&'r M::Conf<'r>> {
        // SAFETY: httpd keeps under the number of a module what `module::create` or `module::merge` made for it, in pools that live
        // at least as long as the request, and nobody writes to it while requests are served.
        unsafe { self.module_conf(module_index::<M>()).cast::<M::Conf<'r>>().as_ref() }
    }

    /// The configuration of another module, whose number the caller has.
    #[must_use]
    pub fn module_conf(self, index: std::ffi::c_int) -> *mut c_void {
        let vector = field!(self, per_dir_config);
        // SAFETY: the list of a live request was made when all modules were loaded.
        unsafe { place_of(vector, index).read() }
    }

    /// The configuration of httpd's core.
    #[must_use]
    pub fn core_conf(self) -> Option<&'r sys::core_dir_config> {
        // SAFETY: the core has a number since httpd began.
        let index = unsafe { (&raw const sys::core_module.module_index).read() };
        // SAFETY: what stands under the core's number has this type, and lives at least as long as the request; httpd does not
        // write to it while it serves requests.
        unsafe { self.module_conf(index).cast::<sys::core_dir_config>().as_ref() }
    }

    /// The module's own place in the request, which lives as long and holds NULL at first.
    #[must_use]
    pub fn place(self) -> *mut *mut c_void {
        let vector = field!(self, request_config);
        // SAFETY: the list of a live request was made when all modules were loaded.
        unsafe { place_of(vector, module_index::<M>()) }
    }
}

/// Its lines get its context, and `LogLevel` of the module and of the section decides.
impl<M: Module> RequestLog for Request<'_, M> {
    fn takes(&self, level: Level) -> bool {
        // SAFETY: by the promise of `from_raw` the request is live, and this is its thread.
        unsafe { M::LOG.takes(self.raw.as_ptr(), level) }
    }

    fn write(&self, level: Level, line: &str) {
        // SAFETY: by the promise of `from_raw` the request is live, and this is its thread.
        unsafe { M::LOG.request(self.raw.as_ptr(), level, line) }
    }
}

/// A hook about a request: convert, call safe code, convert back. One that only acts if something is true of the process asks that
/// first.
#[macro_export]
macro_rules! request_hook {
    ($name:ident, $body:path) => {
        $crate::request_hook!($name, $body, if always);
    };
    ($name:ident, $body:path, if $($acts:tt)+) => {
        unsafe extern "C" fn $name(r: *mut $crate::sys::request_rec) -> ::std::ffi::c_int {
            if !$crate::request_hook!(@acts $($acts)+) {
                return $crate::DECLINED;
            }
            ::gangway::engine::fence(stringify!($name), $crate::status::INTERNAL_SERVER_ERROR, || {
                // SAFETY: httpd calls a request hook with a request that lives for the call, on the request's thread.
                unsafe { $crate::request::Request::from_raw(r) }.map_or($crate::DECLINED, $body)
            })
        }
    };
    (@acts always) => { true };
    (@acts $acts:path) => { $acts() };
}
