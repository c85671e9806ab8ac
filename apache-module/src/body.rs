// SPDX-License-Identifier: MIT OR Apache-2.0
//! Request bodies: a small one is read before its request asks for a turn, so that a client who sends slowly does
//! not hold the place of others.

use std::ffi::c_int;

use gangway::{error::BODY_FAILED, log::Level};

use crate::raw::{BodyError, Session};

/// The longest body that is read in advance.
const SMALL: u64 = 64 * 1024;

/// Reads a small body whole. `None`: there is none, or it is read when the application wants it.
///
/// # Errors
/// What the handler answers.
pub(crate) fn read_small(session: &mut Session<'_>, length: Option<u64>) -> Result<Option<Vec<u8>>, c_int> {
    let small = length.filter(|length| (1..=SMALL).contains(length));
    // A client that waits for "100 Continue" lets the application decide without the body.
    let Some(length) = small.filter(|_| !session.request().expects_continue()) else { return Ok(None) };
    let mut body = vec![0; usize::try_from(length).unwrap_or(0)];
    let mut filled = 0;
    while let Some(rest) = body.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let count = session.read(rest).map_err(|error| {
            session.request().log(Level::Info, &failed_line(error));
            error.status
        })?;
        if count == 0 {
            // An input filter may make a body shorter.
            break;
        }
        filled += count;
    }
    body.truncate(filled);
    Ok(Some(body))
}

/// Says why a body could not be read. httpd has logged more, where there is more.
pub(crate) fn failed_line(error: BodyError) -> String {
    match u16::try_from(error.status) {
        Ok(status) => format!("{BODY_FAILED} the request body cannot be read: status {status}"),
        Err(_) => format!("{BODY_FAILED} the request body cannot be read: a filter has answered the request"),
    }
}
