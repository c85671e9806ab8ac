// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request's headers, variables and notes.

use std::{
    ffi::{CStr, c_char},
    ptr,
};

use super::Request;
use crate::{
    directive::Expression,
    module::Module,
    sys::{self, apr_table_t},
    text,
};

impl<'r, M: Module> Request<'r, M> {
    /// A request header.
    #[must_use]
    pub fn header(self, name: &CStr) -> Option<&'r [u8]> {
        self.entry(field!(self, headers_in), name)
    }

    /// The request headers in order.
    pub fn headers(self) -> impl Iterator<Item = (&'r [u8], &'r [u8])> {
        self.entries(field!(self, headers_in))
    }

    /// Sets a request header.
    pub fn set_header(self, name: &'static CStr, value: &[u8]) {
        let (table, value) = (field!(self, headers_in), self.pool().keep(value));
        // SAFETY: httpd makes the table with the request; the name lives for the process, the value in the request's pool.
        unsafe { sys::apr_table_setn(table, name.as_ptr(), value) }
    }

    /// Takes a request header out.
    pub fn unset_header(self, name: &CStr) {
        let table = field!(self, headers_in);
        // SAFETY: httpd makes the table with the request, and reads the name only during the call.
        unsafe { sys::apr_table_unset(table, name.as_ptr()) }
    }

    /// A variable that SetEnv or a module has set.
    #[must_use]
    pub fn variable(self, name: &CStr) -> Option<&'r [u8]> {
        self.entry(field!(self, subprocess_env), name)
    }

    /// The variables as they are now, in order.
    pub fn variables(self) -> impl Iterator<Item = (&'r [u8], &'r [u8])> {
        self.entries(field!(self, subprocess_env))
    }

    /// Sets a variable.
    pub fn set_variable(self, name: &'static CStr, value: &[u8]) {
        let (table, value) = (field!(self, subprocess_env), self.pool().keep(value));
        // SAFETY: httpd makes the table with the request; the name lives for the process, the value in the request's pool.
        unsafe { sys::apr_table_setn(table, name.as_ptr(), value) }
    }

    /// Takes a variable out.
    pub fn unset_variable(self, name: &CStr) {
        let table = field!(self, subprocess_env);
        // SAFETY: httpd makes the table with the request, and reads the name only during the call.
        unsafe { sys::apr_table_unset(table, name.as_ptr()) }
    }

    /// What modules tell each other about the request.
    #[must_use]
    pub fn note(self, name: &CStr) -> Option<&'r [u8]> {
        self.entry(field!(self, notes), name)
    }

    /// Tells other modules something about the request.
    pub fn set_note(self, name: &'static CStr, value: &[u8]) {
        let (table, value) = (field!(self, notes), self.pool().keep(value));
        // SAFETY: httpd makes the table with the request; the name lives for the process, the value in the request's pool.
        unsafe { sys::apr_table_setn(table, name.as_ptr(), value) }
    }

    /// Whether CGIPassAuth says that applications get Authorization; `None` where it does not stand in the configuration.
    #[must_use]
    pub fn passes_authorization(self) -> Option<bool> {
        match self.core_conf()?.cgi_pass_auth() {
            sys::AP_CGI_PASS_AUTH_ON => Some(true),
            sys::AP_CGI_PASS_AUTH_OFF => Some(false),
            _ => None,
        }
    }

    /// The value of an expression, or why it has none.
    ///
    /// # Errors
    /// What httpd says.
    pub fn evaluate(self, expression: Expression<'r>) -> Result<&'r [u8], &'r [u8]> {
        let mut error: *const c_char = ptr::null();
        // SAFETY: `from_raw` promises a live request, and the expression lives as long; both answers are C strings in the request's
        // pool, or NULL.
        unsafe {
            let value = sys::ap_expr_str_exec(self.as_ptr(), expression.as_ptr(), &raw mut error);
            if error.is_null() { Ok(text(value)) } else { Err(text(error)) }
        }
    }

    /// The value of a name. `table` is one of the request's own.
    pub(super) fn entry(self, table: *mut apr_table_t, name: &CStr) -> Option<&'r [u8]> {
        // SAFETY: all callers give a table that httpd has made with the request; the answer is NULL or a C string that lives as long:
        // a table frees nothing.
        unsafe {
            let value = sys::apr_table_get(table, name.as_ptr());
            (!value.is_null()).then(|| text(value))
        }
    }

    /// The entries of a table in order. `table` is one of the request's own.
    pub(super) fn entries(self, table: *mut apr_table_t) -> impl Iterator<Item = (&'r [u8], &'r [u8])> {
        // SAFETY: all callers give a table that httpd has made with the request: an array of entries of this type.
        let (first, count) = unsafe {
            let array = &*sys::apr_table_elts(table);
            (array.elts.cast::<sys::apr_table_entry_t>(), usize::try_from(array.nelts).unwrap_or(0))
        };
        // SAFETY: there were so many entries, and what is added later may move the array but leaves the old one in the pool. Each is
        // read when its turn has come, so that it may change before.
        let entries = (0..count).map(move |at| unsafe { first.add(at).read() });
        entries
            .filter(|entry| !entry.key.is_null())
            // SAFETY: names and values are C strings in the request's pool; an entry that was taken out has no name.
            .map(|entry| unsafe { (text(entry.key), text(entry.val)) })
    }
}
