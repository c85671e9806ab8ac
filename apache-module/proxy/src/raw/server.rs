// SPDX-License-Identifier: MIT OR Apache-2.0
//! httpd as a whole: its log.

use std::ffi::{c_char, c_int};

use gangway::log::Level;

use super::{hooks::module_index, sys};

/// Where httpd takes a line to come from: the same for all, as the code of the line says where.
pub(super) const SOURCE: *const c_char = c"mod_proxy_gangway.c".as_ptr();

pub(super) fn level(level: Level) -> c_int {
    (match level {
        Level::Error => sys::APLOG_ERR,
        Level::Warn => sys::APLOG_WARNING,
        Level::Notice => sys::APLOG_NOTICE,
        Level::Info => sys::APLOG_INFO,
        Level::Debug => sys::APLOG_DEBUG,
    }) as c_int
}

/// Writes a line of the process. THREAD: any.
pub(crate) fn log_process(at: Level, line: &str) {
    let length = c_int::try_from(line.len()).unwrap_or(c_int::MAX);
    // SAFETY: the format takes a length and that many bytes; httpd logs from any thread.
    unsafe {
        let server = sys::ap_server_conf;
        let format = c"%.*s".as_ptr();
        sys::ap_log_error_(SOURCE, 0, module_index(), level(at), 0, server, format, length, line.as_ptr());
    }
}
