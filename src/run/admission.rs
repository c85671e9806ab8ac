// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lines of the log for requests that find no place among `processes=`.

use crate::{config::Cgi, error::CGI_FULL, log::Line};

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
