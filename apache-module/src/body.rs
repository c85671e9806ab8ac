// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is read of a request body before its request asks for a turn: a small one that is on its way, so that a client
//! who sends slowly does not hold the place of others, and one whose length only its filters know.

use std::{
    ffi::c_int,
    fs::File,
    io::{self, Write},
    time::{Duration, Instant},
};

use gangway::{
    error::{BODY_FAILED, REQUEST_REFUSED},
    exchange::{Body, BodyPart},
    report,
    sys::poll,
};

use crate::raw::{
    BAD_REQUEST, BodyError, BodyLength, BodyRead, INTERNAL_SERVER_ERROR, NOT_IMPLEMENTED, Request, Session,
    TOO_LARGE,
};

/// The longest body that is read in advance, and that is kept in memory.
const SMALL: usize = 64 * 1024;
/// How long the next bytes of a small body are waited for. An application may answer before its body has come: RFC 9110
/// section 6.5 lets it, and some clients want to hear something before they send the rest.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a small body is waited for at all.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a stream of HTTP/2, which has no socket, is asked for more.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// What is known of a body before its handler runs.
pub(crate) struct Advance {
    /// Its length, as the application is told.
    pub(crate) length: BodyLength,
    /// All of it, where that is there already.
    pub(crate) whole: Option<Whole>,
}

/// A whole body.
pub(crate) enum Whole {
    Small(Vec<u8>),
    Large(Body),
}

impl Whole {
    pub(crate) fn into_body(self) -> Body {
        match self {
            Self::Small(bytes) => Body::new([BodyPart::Memory(bytes)]),
            Self::Large(body) => body,
        }
    }
}

/// As [`advance`], for a handler that reads without waiting. Filters are rarely asked so, and some end the process then (mod_request):
/// of a body that comes through filters all is read here.
///
/// # Errors
/// What the handler answers.
pub(crate) fn advance_fully(session: &mut Session<'_>, length: BodyLength) -> Result<Advance, c_int> {
    if session.request().is_filtered() && length != BodyLength::Known(0) {
        return whole(session, Vec::new());
    }
    advance(session, length)
}

/// Reads all of a body, for a handler that must know its length.
///
/// # Errors
/// What the handler answers.
pub(crate) fn advance_whole(session: &mut Session<'_>) -> Result<Advance, c_int> {
    whole(session, Vec::new())
}

/// Reads what should be there before a handler gets its turn. What is read but is not all stays in the session.
///
/// # Errors
/// What the handler answers.
pub(crate) fn advance(session: &mut Session<'_>, length: BodyLength) -> Result<Advance, c_int> {
    let BodyLength::Known(announced @ 1..) = length else { return Ok(Advance { length, whole: None }) };
    let request = session.request();
    let mut begun = Vec::new();
    if request.is_filtered() {
        let is_small = announced <= SMALL as u64;
        if is_small || !read_until(session, &mut begun, 1)? || changes_length(request, announced) {
            return whole(session, begun);
        }
    }
    let small = usize::try_from(announced).ok().filter(|announced| *announced <= SMALL);
    // A client that waits for "100 Continue" lets the application decide without the body.
    if let Some(announced) = small.filter(|_| !request.expects_continue())
        && gather(session, &mut begun, announced)?
    {
        return Ok(Advance { length, whole: Some(Whole::Small(begun)) });
    }
    session.unread(Body::new([BodyPart::Memory(begun)]), false);
    Ok(Advance { length, whole: None })
}

/// Whether what has been read so far may be more or less than the client has sent. A filter that has nothing to do in a body takes
/// itself out at the first read; one that has done something and is done takes the length away, too.
fn changes_length(request: Request<'_>, announced: u64) -> bool {
    request.is_filtered() || request.body_length() != BodyLength::Known(announced)
}

/// Reads until there are `most` bytes, waiting for them. Answers whether there are: otherwise it was all.
fn read_until(session: &mut Session<'_>, bytes: &mut Vec<u8>, most: usize) -> Result<bool, c_int> {
    while bytes.len() < most {
        let begun = bytes.len();
        bytes.resize(SMALL.max(most), 0);
        let read = session.read(bytes.get_mut(begun..).unwrap_or_default());
        let count = read.map_err(|error| failed(session.request(), error))?;
        bytes.truncate(begun + count);
        if count == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads a small body for as long as it keeps coming. Answers whether all of it is there.
fn gather(session: &mut Session<'_>, bytes: &mut Vec<u8>, announced: usize) -> Result<bool, c_int> {
    let end = Instant::now() + PATIENCE;
    let mut filled = bytes.len();
    bytes.resize(announced.max(filled), 0);
    let mut until = end.min(Instant::now() + PAUSE);
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match session.read_now(rest).map_err(|error| failed(session.request(), error))? {
            BodyRead::Bytes(count) => {
                filled += count;
                until = end.min(Instant::now() + PAUSE);
            }
            BodyRead::End => break,
            BodyRead::Later => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    bytes.truncate(filled);
                    return Ok(false);
                }
                wait(session.request(), left);
            }
        }
    }
    bytes.truncate(filled);
    Ok(true)
}

/// Sleeps until the client may have sent more.
fn wait(request: Request<'_>, most: Duration) {
    let Some(socket) = request.socket() else {
        std::thread::sleep(most.min(ASK_EVERY));
        return;
    };
    let entry = libc::pollfd { fd: socket.descriptor(), events: libc::POLLIN, revents: 0 };
    poll(&mut [entry], Some(most));
}

/// Reads all that the filters make of a body: only then is its length known, and an application is told one when the client has
/// told one. As mod_proxy does it, and with its limit.
fn whole(session: &mut Session<'_>, mut bytes: Vec<u8>) -> Result<Advance, c_int> {
    let request = session.request();
    if !read_until(session, &mut bytes, SMALL)? {
        let length = BodyLength::Known(bytes.len() as u64);
        return Ok(Advance { length, whole: Some(Whole::Small(bytes)) });
    }
    let kept = |error: io::Error| {
        report!(request, Error, BODY_FAILED, "the request body cannot be kept in a file: {error}");
        INTERNAL_SERVER_ERROR
    };
    let mut file = request.temporary_file().map_err(kept)?;
    let mut total = bytes.len() as u64;
    let mut part = vec![0; SMALL];
    loop {
        let count = session.read(&mut part).map_err(|error| failed(request, error))?;
        if count == 0 {
            break;
        }
        total += count as u64;
        check_limit(request, total)?;
        file.write_all(part.get(..count).unwrap_or_default()).map_err(kept)?;
    }
    Ok(Advance { length: BodyLength::Known(total), whole: Some(Whole::Large(parts(bytes, file, total))) })
}

fn parts(bytes: Vec<u8>, file: File, total: u64) -> Body {
    let len = total.saturating_sub(bytes.len() as u64);
    Body::new([BodyPart::Memory(bytes), BodyPart::File { file, offset: 0, len }])
}

/// Refuses a body that is larger than the server allows.
pub(crate) fn check_limit(request: Request<'_>, length: u64) -> Result<(), c_int> {
    let limit = request.body_limit();
    if limit == 0 || length <= limit {
        return Ok(());
    }
    report!(
        request,
        Info,
        REQUEST_REFUSED,
        "a request body of {length} bytes is larger than LimitRequestBody {limit}",
    );
    Err(TOO_LARGE)
}

fn failed(request: Request<'_>, error: BodyError) -> c_int {
    report!(request, Info, error.code(), "{error}");
    error.status
}

/// The length of a body that may be read.
pub(crate) fn body_length(request: Request<'_>) -> Result<BodyLength, c_int> {
    match request.body_length() {
        BodyLength::Invalid => Err(BAD_REQUEST),
        // RFC 9112 §6.1.
        BodyLength::Coded => Err(NOT_IMPLEMENTED),
        BodyLength::Known(length) => check_limit(request, length).map(|()| BodyLength::Known(length)),
        BodyLength::Chunked => Ok(BodyLength::Chunked),
    }
}
