// SPDX-License-Identifier: MIT OR Apache-2.0
//! The core's lines in httpd's error log.

use gangway::log::{self, Level, Sink};

use crate::raw;

struct ErrorLog;

impl Sink for ErrorLog {
    fn write(&self, level: Level, line: &str) {
        raw::log_process(level, line);
    }
}

/// Sends lines about the process to httpd. The first call counts.
pub(crate) fn install() {
    log::install(Box::new(ErrorLog));
}
