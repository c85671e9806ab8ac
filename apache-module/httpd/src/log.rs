// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lines in httpd's error log.

use std::ffi::{CStr, c_int};

use gangway::log::{self, Level, Sink};

use crate::sys;

/// Where the lines of a module come from.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    /// The same source file for all: the code of a line says where.
    pub source: &'static CStr,
    /// The number of the module, by which `LogLevel` knows it.
    pub module_index: fn() -> c_int,
}

/// httpd's number of a level.
#[must_use]
pub fn level(level: Level) -> c_int {
    (match level {
        Level::Error | Level::Further => sys::APLOG_ERR,
        Level::Warn => sys::APLOG_WARNING,
        Level::Notice => sys::APLOG_NOTICE,
        Level::Info => sys::APLOG_INFO,
        Level::Debug => sys::APLOG_DEBUG,
    }) as c_int
}

/// The core's lines about the process.
impl Sink for Log {
    fn write(&self, level: Level, line: &str) {
        self.process(level, line);
    }
}

impl Log {
    /// Sends the core's lines about the process to httpd. The first call counts.
    pub fn install(self) {
        log::install(Box::new(self));
    }

    /// Writes a line of the process. THREAD: any.
    pub fn process(&self, at: Level, line: &str) {
        self.write(level(at), line);
    }

    /// Writes a line that a configuration test shows.
    pub fn startup(&self, line: &str) {
        self.write((sys::APLOG_ERR | sys::APLOG_STARTUP) as c_int, line);
    }

    /// Writes a warning that a configuration test shows.
    pub fn startup_warning(&self, line: &str) {
        self.write((sys::APLOG_WARNING | sys::APLOG_STARTUP) as c_int, line);
    }

    /// Writes a line to the log of a server. THREAD: any.
    pub(crate) fn server(&self, server: *const sys::server_rec, at: Level, line: &str) {
        self.write_to(server, level(at), line);
    }

    fn write(&self, level: c_int, line: &str) {
        // SAFETY: httpd's own, NULL as long as there is no server.
        self.write_to(unsafe { sys::ap_server_conf }, level, line);
    }

    fn write_to(&self, server: *const sys::server_rec, level: c_int, line: &str) {
        let length = c_int::try_from(line.len()).unwrap_or(c_int::MAX);
        let (source, index) = (self.source.as_ptr(), (self.module_index)());
        // SAFETY: the format takes a length and that many bytes; httpd logs from any thread, and to its standard error as
        // long as there is no server.
        unsafe {
            let format = c"%.*s".as_ptr();
            sys::ap_log_error_(source, 0, index, level, 0, server, format, length, line.as_ptr());
        }
    }

    /// Whether a line of this level about a request is written.
    ///
    /// # Safety
    /// The request is live, and this is its thread.
    pub unsafe fn takes(&self, request: *const sys::request_rec, at: Level) -> bool {
        // SAFETY: the caller promises a live request of this thread.
        let configured = unsafe { sys::ap_get_request_module_loglevel(request, (self.module_index)()) };
        // httpd leaves out no notice.
        at == Level::Notice || level(at) <= configured
    }

    /// Writes a line with a request's context.
    ///
    /// # Safety
    /// The request is live, and this is its thread.
    pub unsafe fn request(&self, request: *const sys::request_rec, at: Level, line: &str) {
        let length = c_int::try_from(line.len()).unwrap_or(c_int::MAX);
        let (source, index) = (self.source.as_ptr(), (self.module_index)());
        // SAFETY: the caller promises a live request of this thread; the format takes a length and that many bytes.
        unsafe {
            let format = c"%.*s".as_ptr();
            if at == Level::Further {
                let server = (*request).server;
                sys::ap_log_error_(source, 0, index, level(at), 0, server, format, length, line.as_ptr());
                return;
            }
            sys::ap_log_rerror_(source, 0, index, level(at), 0, request, format, length, line.as_ptr());
        }
    }
}
