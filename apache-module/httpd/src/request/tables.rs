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

/// The tables that httpd makes with a request or its connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum OwnTable {
    HeadersIn,
    HeadersOut,
    ErrHeadersOut,
    SubprocessEnv,
    Notes,
    ConnectionNotes,
}

impl<'r, M: Module> Request<'r, M> {
    /// A request header.
    #[must_use]
    pub fn header(self, name: &CStr) -> Option<&'r [u8]> {
        self.entry(OwnTable::HeadersIn, name)
    }

    /// The request headers in order.
    pub fn headers(self) -> impl Iterator<Item = (&'r [u8], &'r [u8])> {
        self.entries(OwnTable::HeadersIn)
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
        self.entry(OwnTable::SubprocessEnv, name)
    }

    /// The variables as they are now, in order.
    pub fn variables(self) -> impl Iterator<Item = (&'r [u8], &'r [u8])> {
        self.entries(OwnTable::SubprocessEnv)
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
        self.entry(OwnTable::Notes, name)
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

    /// For httpd's functions.
    pub(super) fn own_table(self, table: OwnTable) -> *mut apr_table_t {
        match table {
            OwnTable::HeadersIn => field!(self, headers_in),
            OwnTable::HeadersOut => field!(self, headers_out),
            OwnTable::ErrHeadersOut => field!(self, err_headers_out),
            OwnTable::SubprocessEnv => field!(self, subprocess_env),
            OwnTable::Notes => field!(self, notes),
            // SAFETY: httpd keeps the connection for longer than the request.
            OwnTable::ConnectionNotes => unsafe { (*self.connection()).notes },
        }
    }

    /// The value of a name.
    pub(super) fn entry(self, table: OwnTable, name: &CStr) -> Option<&'r [u8]> {
        // SAFETY: httpd has made the table with the request or its connection; the answer is NULL or a C string that lives as long:
        // a table frees nothing.
        unsafe {
            let value = sys::apr_table_get(self.own_table(table), name.as_ptr());
            (!value.is_null()).then(|| text(value))
        }
    }

    /// The entries of a table in order.
    pub(super) fn entries(self, table: OwnTable) -> impl Iterator<Item = (&'r [u8], &'r [u8])> {
        // SAFETY: httpd has made the table with the request or its connection: an array of entries of this type.
        let (first, count) = unsafe {
            let array = &*sys::apr_table_elts(self.own_table(table));
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
