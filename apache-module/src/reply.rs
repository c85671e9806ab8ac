// SPDX-License-Identifier: MIT OR Apache-2.0
//! From what a handler gave to what httpd sends.

use std::ffi::c_int;

use gangway::{
    error::SERVER_FAILED,
    exchange::{Delivery, End, Piece},
    http::{Head, is_named},
    pool::Refusal,
    report,
    runtime::Application,
    sys::explain,
};

use crate::raw::{
    GATEWAY_TIME_OUT, INTERNAL_SERVER_ERROR, OK, Request, SERVICE_UNAVAILABLE, ScriptRequest, Session,
};

/// Bytes up to which the end of a response leaves inside the handler, so that the client's next request is often
/// there when httpd looks for it. More would make the thread wait for a client that reads slowly; httpd's own
/// filters send that, and the event MPM does it without a thread.
const LEAVES_AT_ONCE: usize = 16 * 1024;

/// RFC 8297.
const EARLY_HINTS: u16 = 103;

/// The client has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// How far the response of one request is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    head_sent: bool,
    /// The answer has no body, whatever the application gives.
    bodiless: bool,
    /// The status for the client when the body could not be read and the application gave no answer itself.
    pub(crate) body_failure: Option<c_int>,
}

impl Progress {
    /// Whether the head has been given to httpd.
    pub(crate) fn head_sent(&self) -> bool {
        self.head_sent
    }

    /// Sends a part of the response, now.
    pub(crate) fn send(&mut self, session: &mut Session<'_>, mut delivery: Delivery) -> Result<(), Gone> {
        self.hint(session.request(), &mut delivery);
        if !delivery.has_output() {
            return Ok(());
        }
        self.push(session, delivery)?;
        session.push_flush();
        if session.pass() { Ok(()) } else { Err(Gone) }
    }

    /// Gives httpd a part of the response, which it sends when it likes.
    pub(crate) fn pass_on(&mut self, session: &mut Session<'_>, delivery: Delivery) -> Result<(), Gone> {
        self.push(session, delivery)?;
        if session.pass() { Ok(()) } else { Err(Gone) }
    }

    /// Sends what comes before the head.
    fn hint(&self, request: Request<'_>, delivery: &mut Delivery) {
        for fields in delivery.take_interim() {
            if !self.head_sent {
                request.answer_meanwhile(EARLY_HINTS, fields.iter());
            }
        }
    }

    /// Sends the last part of the response. Answers what httpd's handler answers.
    pub(crate) fn finish(&mut self, session: &mut Session<'_>, mut delivery: Delivery) -> c_int {
        self.hint(session.request(), &mut delivery);
        let complete = delivery.end == Some(End::Complete);
        if !complete && !self.head_sent && delivery.head.is_none() {
            // Nothing has left: httpd makes the error page.
            return self.body_failure.unwrap_or(INTERNAL_SERVER_ERROR);
        }
        if !complete {
            // httpd would take the error below for the whole answer as long as nothing else has passed its filters.
            if self.send(session, delivery).is_ok() {
                self.cut(session);
            }
            return OK;
        }
        let has_file = delivery.pieces.iter().any(|piece| matches!(piece, Piece::File(_)));
        let at_once = !has_file && delivery.weight() <= LEAVES_AT_ONCE;
        if self.push(session, delivery).is_err() {
            self.cut(session);
            return OK;
        }
        session.push_end(at_once);
        // The client that left now has no use for another answer.
        let _ = session.pass();
        OK
    }

    /// Ends a response that is not whole so that the client sees it.
    fn cut(&self, session: &mut Session<'_>) {
        session.push_broken();
        session.push_end(false);
        let _ = session.pass();
        session.request().reset_if_unframed();
    }

    fn push(&mut self, session: &mut Session<'_>, delivery: Delivery) -> Result<(), Gone> {
        if let Some(head) = &delivery.head {
            self.bodiless = set_head(session.request(), head);
            self.head_sent = true;
        }
        if self.bodiless {
            return Ok(());
        }
        for piece in delivery.pieces {
            session.push(piece).map_err(|error| {
                report!(
                    session.request(),
                    Error,
                    SERVER_FAILED,
                    "cannot send a file: {}; the response is cut",
                    explain(&error),
                );
                Gone
            })?;
        }
        Ok(())
    }
}

/// Gives httpd the head. Answers whether the client has the body already.
fn set_head(request: Request<'_>, head: &Head) -> bool {
    let is_error_page = match request.error_status() {
        // An ErrorDocument that has nothing to say about the status: the error stays one.
        Some(_) if head.status == 200 => true,
        _ => {
            request.set_status(head.status, &head.reason);
            false
        }
    };
    // httpd reads the type from its own place, where a module that looked at a file name may have left one.
    let mut content_type = None;
    for (name, value) in head.fields.iter() {
        if !is_named(name, b"Content-Type") {
            request.add_header(name, value);
        } else if !value.is_empty() {
            content_type = Some(value);
        }
    }
    request.set_content_type(content_type);
    request.choose_ranges(head.content_length);
    if let Some(length) = head.content_length {
        request.set_content_length(length);
    }
    let last_modified = head
        .fields
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(b"last-modified"))
        .map(|(_, value)| value);
    let has_validator = last_modified.is_some() || head.has(b"etag");
    head.status == 200 && has_validator && !is_error_page && is_not_modified(request, last_modified)
}

/// Whether the client has what the head that was set stands for, by ETag and Last-Modified: then the answer has
/// become a 304. Only for reading: what an application has changed is done, whatever the client asked for.
fn is_not_modified(request: Request<'_>, last_modified: Option<&[u8]>) -> bool {
    if !request.is_get() || request.is_subrequest() {
        return false;
    }
    request.note_last_modified(last_modified);
    let is_not_modified = request.unmet_condition() == Some(304);
    if is_not_modified {
        request.set_status(304, b"");
    }
    is_not_modified
}

/// Answers a request that no handler takes.
pub(crate) fn refuse(request: Request<'_>, application: &Application, refusal: Refusal) -> c_int {
    if let Some(line) = application.refusal_line(refusal) {
        line.tell(&request);
    }
    if refusal == Refusal::Deadline {
        return GATEWAY_TIME_OUT;
    }
    request.set_error_header(c"Retry-After", c"1");
    SERVICE_UNAVAILABLE
}
