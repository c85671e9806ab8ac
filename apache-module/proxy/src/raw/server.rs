// SPDX-License-Identifier: MIT OR Apache-2.0
//! httpd as a whole: its log.

use super::module::LOG;

/// Sends the core's lines about the process to httpd's log.
pub(crate) fn install_log() {
    LOG.install();
}

/// Writes a line for whoever starts the server.
pub(crate) fn log_startup(line: &str) {
    LOG.startup(line);
}
