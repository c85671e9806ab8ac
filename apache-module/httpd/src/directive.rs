// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of directives, and a directive that is being read.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    marker::PhantomData,
    ptr,
};

use crate::{pooled::Text, sys, text};

/// A directive that is being read.
#[derive(Clone, Copy, Debug)]
pub struct Command<'c> {
    raw: *mut sys::cmd_parms,
    module_index: c_int,
    life: PhantomData<&'c ()>,
}

impl<'c> Command<'c> {
    /// Wraps what httpd gives to a directive's function of the module with that number.
    ///
    /// # Safety
    /// `raw` is live for `'c`.
    #[must_use]
    pub unsafe fn from_raw(raw: *mut sys::cmd_parms, module_index: c_int) -> Self {
        Self { raw, module_index, life: PhantomData }
    }

    /// httpd's own.
    #[must_use]
    pub fn as_ptr(&self) -> *mut sys::cmd_parms {
        self.raw
    }

    /// The pool of the configuration.
    #[must_use]
    pub fn pool(&self) -> *mut sys::apr_pool_t {
        // SAFETY: httpd gives a live pool of the configuration with each command.
        unsafe { (*self.raw).pool }
    }

    /// Splits the rest of the line into words, by httpd's rules for quotes.
    ///
    /// # Safety
    /// `arguments` is what httpd gave with this command.
    #[must_use]
    pub unsafe fn words(&self, arguments: *const c_char) -> Vec<&'c [u8]> {
        let mut rest = arguments;
        let mut words = Vec::new();
        // SAFETY: the caller vouches for a C string; httpd gives a live pool for temporary things, which outlives the
        // command; ap_getword_conf moves `rest` along the string.
        unsafe {
            while *rest != 0 {
                words.push(text(sys::ap_getword_conf((*self.raw).temp_pool, &raw mut rest)));
            }
        }
        words
    }

    /// Bytes that live as long as the configuration.
    #[must_use]
    pub fn copy(&self, bytes: &[u8]) -> Text {
        // SAFETY: the pool of the configuration.
        unsafe { Text::copy(self.pool(), bytes) }
    }

    /// Parses an expression of httpd's.
    ///
    /// # Errors
    /// What httpd says of it.
    pub fn expression(&self, source: &[u8], flags: u32) -> Result<*mut sys::ap_expr_info_t, String> {
        let mut error: *const c_char = ptr::null();
        // SAFETY: a live command; the source is a C string in the configuration's pool.
        let parsed = unsafe {
            let source = self.copy(source).as_c_str().as_ptr();
            sys::ap_expr_parse_cmd_mi(self.raw, source, flags, &raw mut error, None, self.module_index)
        };
        if error.is_null() {
            return Ok(parsed);
        }
        // SAFETY: a C string in the command's pool.
        let reason = String::from_utf8_lossy(unsafe { text(error) });
        let source = String::from_utf8_lossy(source);
        Err(format!("has an expression \"{source}\" that httpd does not understand: {reason}"))
    }

    /// httpd's form of a result: NULL or the reason.
    #[must_use]
    pub fn answer(&self, result: Result<(), String>) -> *const c_char {
        match result {
            Ok(()) => ptr::null(),
            Err(reason) => self.copy(reason.as_bytes()).as_c_str().as_ptr(),
        }
    }
}

/// A function that httpd calls with the rest of the line.
pub type RawArgs = unsafe extern "C" fn(*mut sys::cmd_parms, *mut c_void, *const c_char) -> *const c_char;

/// The table of a module's directives, which [`END`] ends.
#[repr(transparent)]
pub struct Table<const N: usize>(pub [sys::command_rec; N]);

// SAFETY: httpd only reads it.
unsafe impl<const N: usize> Sync for Table<N> {}

/// A line of the table.
#[must_use]
pub const fn directive(
    name: &'static CStr,
    function: RawArgs,
    places: u32,
    help: &'static CStr,
) -> sys::command_rec {
    sys::command_rec {
        name: name.as_ptr(),
        func: sys::cmd_func { raw_args: Some(function) },
        cmd_data: ptr::null_mut(),
        req_override: places as c_int,
        args_how: sys::RAW_ARGS,
        errmsg: help.as_ptr(),
    }
}

/// The end of a table.
pub const END: sys::command_rec = sys::command_rec {
    name: ptr::null(),
    func: sys::cmd_func { raw_args: None },
    cmd_data: ptr::null_mut(),
    req_override: 0,
    args_how: sys::RAW_ARGS,
    errmsg: ptr::null(),
};
