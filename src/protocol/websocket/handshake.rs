// SPDX-License-Identifier: MIT OR Apache-2.0
//! The opening handshake (RFC 6455 §4.2): whether a request asks for a WebSocket, and the answer.

use std::ffi::CStr;

use sha1::{Digest, Sha1};

use super::extension::{self, Compression, is_token};

/// §1.3: what a server adds to the key to show that it knows WebSocket.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Most names of subprotocols that are looked at.
const PROTOCOLS_MOST: usize = 64;

/// Why a request that asks for a WebSocket gets none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// §4.4: the answer names the version that is known.
    #[error("a WebSocket of another version than 13")]
    Version,
    /// §4.2.1.
    #[error("no WebSocket: {0}")]
    Malformed(&'static str),
}

impl HandshakeError {
    /// The status of the answer.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Version => 426,
            Self::Malformed(_) => 400,
        }
    }

    /// The fields of the answer: what would be right (§4.4, RFC 9110 §15.5.22 and §7.8).
    #[must_use]
    pub const fn fields(self) -> &'static [(&'static CStr, &'static CStr)] {
        match self {
            Self::Version => {
                &[(c"Sec-WebSocket-Version", c"13"), (c"Upgrade", c"websocket"), (c"Connection", c"upgrade")]
            }
            Self::Malformed(_) => &[],
        }
    }
}

/// A request for a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    accept: String,
    /// The subprotocols that the client speaks, in the order of its preference.
    pub subprotocols: Vec<String>,
    compression: Option<Compression>,
}

/// What a connection is after the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Fields of the answer; Upgrade and Connection are the server's.
    pub fields: Vec<(&'static str, String)>,
    /// How messages are compressed.
    pub compression: Option<Compression>,
}

impl Handshake {
    /// Whether a request asks for a WebSocket at all: only then the others look at it (RFC 9110 §7.8: a server may ignore
    /// Upgrade). `fields` are the request's.
    pub fn is_asked_for<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> bool {
        let mut upgrade = false;
        let mut connection = false;
        for (name, value) in fields {
            upgrade |= name.eq_ignore_ascii_case(b"upgrade") && has_word(value, b"websocket");
            connection |= name.eq_ignore_ascii_case(b"connection") && has_word(value, b"upgrade");
        }
        upgrade && connection
    }

    /// Reads a GET request over HTTP/1.1 that asks for a WebSocket. `deflate`: messages may be compressed.
    ///
    /// # Errors
    /// It asks wrongly.
    pub fn read<'a>(
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        deflate: bool,
    ) -> Result<Self, HandshakeError> {
        let (mut key, mut version) = (None, None);
        let (mut subprotocols, mut extensions) = (Vec::new(), Vec::new());
        for (name, value) in fields {
            let value = value.trim_ascii();
            if name.eq_ignore_ascii_case(b"sec-websocket-key") {
                if key.replace(value).is_some() {
                    return Err(HandshakeError::Malformed("two keys"));
                }
            } else if name.eq_ignore_ascii_case(b"sec-websocket-version") {
                if version.replace(value).is_some() {
                    return Err(HandshakeError::Malformed("two versions"));
                }
            } else if name.eq_ignore_ascii_case(b"sec-websocket-protocol") {
                add_protocols(value, &mut subprotocols)?;
            } else if name.eq_ignore_ascii_case(b"sec-websocket-extensions") {
                // §11.3.2: several fields are one list.
                if !extensions.is_empty() {
                    extensions.extend_from_slice(b", ");
                }
                extensions.extend_from_slice(value);
            }
        }
        if version != Some(b"13") {
            return Err(HandshakeError::Version);
        }
        let key = key.filter(|key| is_key(key)).ok_or(HandshakeError::Malformed("the key is none"))?;
        let compression = if extensions.is_empty() {
            None
        } else {
            extension::choose(&extensions)
                .map_err(|_| HandshakeError::Malformed("the extensions cannot be read"))?
        };
        Ok(Self { accept: accept(key), subprotocols, compression: compression.filter(|_| deflate) })
    }

    /// The answer, with one of the client's subprotocols or none.
    #[must_use]
    pub fn accept(&self, subprotocol: Option<&str>) -> Accepted {
        let mut fields = vec![("Sec-WebSocket-Accept", self.accept.clone())];
        if let Some(subprotocol) = subprotocol {
            fields.push(("Sec-WebSocket-Protocol", subprotocol.to_owned()));
        }
        if let Some(compression) = self.compression {
            fields.push(("Sec-WebSocket-Extensions", compression.answer()));
        }
        Accepted { fields, compression: self.compression }
    }
}

/// Whether a list of words, with a version or without, has this one.
fn has_word(value: &[u8], word: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(word))
}

/// §4.2.1: tokens, and none of them twice.
fn add_protocols(value: &[u8], subprotocols: &mut Vec<String>) -> Result<(), HandshakeError> {
    for part in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|part| !part.is_empty()) {
        let token = std::str::from_utf8(part).ok().filter(|_| part.iter().all(|byte| is_token(*byte)));
        let token = token.ok_or(HandshakeError::Malformed("a subprotocol is no token"))?;
        if subprotocols.iter().any(|known| known == token) {
            return Err(HandshakeError::Malformed("a subprotocol stands twice"));
        }
        if subprotocols.len() == PROTOCOLS_MOST {
            return Err(HandshakeError::Malformed("too many subprotocols"));
        }
        subprotocols.push(token.to_owned());
    }
    Ok(())
}

/// §4.2.1: 16 bytes in base64. Two characters pad them, and of the last one before those four bits are unused.
fn is_key(key: &[u8]) -> bool {
    let digits = key.strip_suffix(b"==").filter(|digits| digits.len() == 22);
    digits.is_some_and(|digits| {
        digits.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
    })
}

/// §4.2.2: the value of Sec-WebSocket-Accept.
fn accept(key: &[u8]) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    base64(&digest)
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = [0u8; 3];
        for (slot, byte) in group.iter_mut().zip(chunk) {
            *slot = *byte;
        }
        let number = group.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte));
        for place in 0..4 {
            let digit = DIGITS.get((number >> (18 - 6 * place) & 63) as usize);
            let digit = digit.filter(|_| place <= chunk.len()).copied().unwrap_or(b'=');
            text.push(char::from(digit));
        }
    }
    text
}
