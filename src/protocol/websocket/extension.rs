// SPDX-License-Identifier: MIT OR Apache-2.0
//! The words of Sec-WebSocket-Extensions (RFC 6455 §9.1), and what of permessage-deflate is agreed on (RFC 7692 §7.1).

use super::deflate::BITS_MOST;

/// How messages are compressed on one connection: each for itself, on both sides, which a server may demand (§7.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// The window of our messages, in bits.
    pub(super) server_bits: u8,
    /// The client has named a window of ours, so the answer does.
    names_server_bits: bool,
}

impl Compression {
    /// The value of the answer's Sec-WebSocket-Extensions.
    pub(super) fn answer(self) -> String {
        let mut text =
            String::from("permessage-deflate; server_no_context_takeover; client_no_context_takeover");
        if self.names_server_bits {
            text.push_str(&format!("; server_max_window_bits={}", self.server_bits));
        }
        text
    }
}

/// The list is not written as the standard says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The first offer of the client's that can be accepted (§5.1: they stand in the order of its preference).
pub(super) fn choose(value: &[u8]) -> Result<Option<Compression>, Malformed> {
    let mut words = ExtensionWords(value);
    let mut chosen = None;
    loop {
        let offer = words.offer()?;
        if chosen.is_none() {
            chosen = offer;
        }
        words.skip_space();
        match words.next_byte() {
            None => return Ok(chosen),
            Some(b',') => {}
            Some(_) => return Err(Malformed),
        }
    }
}

/// What is left to read of the list.
struct ExtensionWords<'a>(&'a [u8]);

impl<'a> ExtensionWords<'a> {
    /// One extension with its parameters; `None` if it is not one that can be accepted.
    fn offer(&mut self) -> Result<Option<Compression>, Malformed> {
        let is_deflate = self.token()?.eq_ignore_ascii_case(b"permessage-deflate");
        let mut terms = Terms::default();
        let mut is_acceptable = is_deflate;
        loop {
            self.skip_space();
            if self.0.first() != Some(&b';') {
                break;
            }
            self.next_byte();
            let (name, value) = self.parameter()?;
            is_acceptable &= terms.add(name, value.as_deref()).is_some();
        }
        Ok(is_acceptable.then(|| terms.agree()))
    }

    fn parameter(&mut self) -> Result<(&'a [u8], Option<Vec<u8>>), Malformed> {
        let name = self.token()?;
        self.skip_space();
        if self.0.first() != Some(&b'=') {
            return Ok((name, None));
        }
        self.next_byte();
        self.skip_space();
        let value = if self.0.first() == Some(&b'"') { self.quoted()? } else { self.token()?.to_vec() };
        Ok((name, Some(value)))
    }

    fn token(&mut self) -> Result<&'a [u8], Malformed> {
        self.skip_space();
        let end = self.0.iter().position(|byte| !is_token(*byte)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at_checked(end).ok_or(Malformed)?;
        self.0 = rest;
        if token.is_empty() { Err(Malformed) } else { Ok(token) }
    }

    /// §9.1: what stands in quotes must be a token without them.
    fn quoted(&mut self) -> Result<Vec<u8>, Malformed> {
        self.next_byte();
        let mut value = Vec::new();
        loop {
            match self.next_byte().ok_or(Malformed)? {
                b'"' if value.is_empty() => return Err(Malformed),
                b'"' => return Ok(value),
                b'\\' => value.push(self.next_byte().filter(|byte| is_token(*byte)).ok_or(Malformed)?),
                byte if is_token(byte) => value.push(byte),
                _ => return Err(Malformed),
            }
        }
    }

    fn next_byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn skip_space(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The parameters of one offer.
#[derive(Default)]
struct Terms {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_bits: Option<u8>,
    client_bits: bool,
}

impl Terms {
    /// §7.1: `None` for a parameter that is not known, stands twice or has a wrong value.
    fn add(&mut self, name: &[u8], value: Option<&[u8]>) -> Option<()> {
        let once = |seen: &mut bool| (!std::mem::replace(seen, true)).then_some(());
        match (name, value) {
            (b"server_no_context_takeover", None) => once(&mut self.server_no_takeover),
            (b"client_no_context_takeover", None) => once(&mut self.client_no_takeover),
            // Whatever the client's window is, ours for its messages is the largest: nothing is asked of it.
            (b"client_max_window_bits", None) => once(&mut self.client_bits),
            (b"client_max_window_bits", Some(value)) => {
                bits(value)?;
                once(&mut self.client_bits)
            }
            (b"server_max_window_bits", Some(value)) => {
                let bits = bits(value)?;
                self.server_bits.replace(bits).is_none().then_some(())
            }
            _ => None,
        }
    }

    fn agree(self) -> Compression {
        Compression {
            server_bits: self.server_bits.unwrap_or(BITS_MOST),
            names_server_bits: self.server_bits.is_some(),
        }
    }
}

/// §7.1.2: "a decimal integer value without leading zeroes between 8 to 15 inclusive".
fn bits(value: &[u8]) -> Option<u8> {
    (8..=BITS_MOST).find(|bits| bits.to_string().as_bytes() == value)
}
