// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lines of the log that do not belong to the life of a script.

use crate::{
    config::Cgi,
    error::{CGI_FULL, CGI_SPAWNER},
    log::Line,
};

/// Why a script is not run whose real path lies elsewhere than its root.
pub const LEADS_OUT: &str = "a symbolic link leads out of the root (symlinks=any lets it)";

/// As many wait as may; `held` requests were refused without a line since the last one.
#[must_use]
pub fn full_line(cgi: &Cgi, held: u64) -> Line {
    let (processes, queue) = (cgi.processes(), cgi.queue());
    let text = format!(
        "the request is refused, for queue={queue} requests wait for processes={processes} ({held} more were refused \
         since the last line); raise queue= or processes=, or make the scripts faster"
    );
    Line::error(CGI_FULL, text)
}

/// A request has waited for as long as it may.
#[must_use]
pub fn late_line(cgi: &Cgi) -> Line {
    let processes = cgi.processes();
    let text = format!("the request waited as long as timeout= for one of processes={processes}");
    Line::error(CGI_FULL, text)
}

/// The helper has ended, and with it so many scripts.
#[must_use]
pub fn lost_line(count: usize) -> Line {
    Line::error(CGI_SPAWNER, format!("the helper that starts scripts has ended; {count} scripts are lost"))
}
