// SPDX-License-Identifier: MIT OR Apache-2.0
//! The request body that nginx has read, as an owned body of the exchange.

use std::{fs::File, io};

use gangway::{
    exchange::{Body, BodyPart},
    sys,
};

use crate::raw::{Request, RequestBuffer};

/// Takes the body over: bytes in memory are copied, a temporary file is shared by a descriptor of our own.
///
/// Answers the body and its length.
///
/// # Errors
/// When the descriptor of a temporary file cannot be duplicated.
pub(crate) fn take(request: Request) -> io::Result<(Body, u64)> {
    let mut parts = Vec::new();
    let mut length = 0u64;
    for buffer in request.body_buffers() {
        match buffer {
            RequestBuffer::Memory(bytes) => {
                length += bytes.len() as u64;
                parts.push(BodyPart::Memory(bytes.to_vec()));
            }
            RequestBuffer::File { fd, offset, len } => {
                length += len;
                parts.push(BodyPart::File { file: File::from(sys::duplicate(fd)?), offset, len });
            }
        }
    }
    Ok((Body::new(parts), length))
}
