// SPDX-License-Identifier: MIT OR Apache-2.0
//! httpd as a whole: its log.

use gangway::log::Level;

use super::module::LOG;

/// Writes a line of the process. THREAD: any.
pub(crate) fn log_process(at: Level, line: &str) {
    LOG.process(at, line);
}

/// Writes a line for whoever starts the server.
pub(crate) fn log_startup(line: &str) {
    LOG.startup(line);
}
