// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists of httpd's that handlers of phases look at, other requests beside one, and what httpd finds by name.

use std::{ffi::c_char, sync::OnceLock};

use gangway::phases::{LookUp, Relation, Table};

use super::Request;
use crate::{lists::show_names, module::Module, sys, text};

type SslVariable = unsafe extern "C" fn(
    *mut sys::apr_pool_t,
    *mut sys::server_rec,
    *mut sys::conn_rec,
    *mut sys::request_rec,
    *mut c_char,
) -> *mut c_char;

impl<'r, M: Module> Request<'r, M> {
    /// Shows the entries of a list that nobody changes.
    pub(super) fn show_list(self, list: Table, show: &mut dyn FnMut(&[u8], &[u8])) {
        let raw = self.as_ptr();
        // SAFETY: `from_raw` promises a live request of this thread; httpd keeps its server for longer, and its lists and the tree of
        // directives as long as the configuration.
        unsafe {
            match list {
                Table::ContentLanguages => show_names((*raw).content_languages, show),
                Table::AllowedXmethods => {
                    if let Some(allowed) = (*raw).allowed_methods.as_ref() {
                        show_names(allowed.method_list, show);
                    }
                }
                _ => {
                    self.server().map(|server| server.show_list(list, show));
                }
            }
        }
    }

    /// Another request beside this one.
    #[must_use]
    pub fn related(self, which: Relation) -> Option<Self> {
        let raw = self.as_ptr();
        // SAFETY: `from_raw` promises a live request of this thread. Those that it is a part of or was redirected from live longer, and
        // those that it was redirected to share its pool; all of a connection are of one thread.
        unsafe {
            Self::from_raw(match which {
                Relation::Main => (*raw).main,
                Relation::Prev => (*raw).prev,
                Relation::Next => (*raw).next,
                Relation::Connection => return None,
            })
        }
    }

    /// Shows what httpd finds by a name, if it finds something.
    pub fn look_up(self, what: LookUp, name: &[u8], show: &mut dyn FnMut(&[u8])) {
        match what {
            LookUp::Ssl => {
                if let Some(value) = self.ssl_variable(name) {
                    show(value);
                }
            }
            LookUp::Define | LookUp::Mpm => {
                self.server().map(|server| server.look_up(what, name, show));
            }
        }
    }

    /// A variable of the TLS connection, if mod_ssl is loaded and knows it.
    fn ssl_variable(self, name: &[u8]) -> Option<&'r [u8]> {
        static FUNCTION: OnceLock<Option<SslVariable>> = OnceLock::new();
        let function = FUNCTION.get_or_init(|| {
            // SAFETY: asked for while requests are served, when the table of such functions is complete. A function of this name has this
            // type: mod_ssl.h.
            unsafe {
                let found = sys::apr_dynamic_fn_retrieve(c"ssl_var_lookup".as_ptr());
                std::mem::transmute::<sys::apr_opt_fn_t, Option<SslVariable>>(found)
            }
        });
        let (raw, pool) = (self.as_ptr(), self.pool());
        // SAFETY: `from_raw` promises a live request of this thread, whose connection and server live longer; the answer is NULL or a C
        // string in its pool or of mod_ssl's own.
        unsafe {
            let value = (*function)?(pool.as_ptr(), (*raw).server, (*raw).connection, raw, pool.keep(name));
            (!value.is_null()).then(|| text(value)).filter(|value| !value.is_empty())
        }
    }
}
