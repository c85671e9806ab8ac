// SPDX-License-Identifier: MIT OR Apache-2.0
//! Response heads as bytes, and the rules for header names and values.

mod decimal;
mod fields;
mod head;

pub use decimal::Decimal;
pub use fields::{Fields, Layout};
pub(crate) use head::parse_length;
pub use head::{Head, HeadError};

/// Whether `name` is a field name: a token of RFC 9110 §5.6.2, not empty.
#[must_use]
pub fn is_field_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&byte| KINDS[usize::from(byte)] & TOKEN != 0)
}

/// Whether `value` may be a field value: RFC 9110 §5.5 without control bytes (HTAB is allowed).
#[must_use]
pub fn is_field_value(value: &[u8]) -> bool {
    value.iter().all(|&byte| KINDS[usize::from(byte)] & TEXT != 0)
}

const TOKEN: u8 = 1;
const TEXT: u8 = 2;

/// What each byte may be a part of.
static KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0u8;
    loop {
        let other = matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        );
        if byte.is_ascii_alphanumeric() || other {
            kinds[byte as usize] |= TOKEN;
        }
        if byte == b'\t' || byte >= 0x20 && byte != 0x7f {
            kinds[byte as usize] |= TEXT;
        }
        if byte == u8::MAX {
            break kinds;
        }
        byte += 1;
    }
};

/// Whether a header speaks about the connection, which is the server's alone: RFC 9110 §7.6.1 with the older
/// `Keep-Alive` and `Proxy-Connection`.
#[must_use]
pub fn is_connection_field(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 7] = [
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    ];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_name_is_judged() {
        let token: Vec<u8> = (0..=255u8).filter(|byte| is_field_name(&[*byte])).collect();
        let expected = b"!#$%&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~";
        assert_eq!(token, expected);
        assert!(!is_field_name(b""));
        assert!(!is_field_name(b"Set-Cookie "));
    }

    #[test]
    fn every_byte_of_a_value_is_judged() {
        for byte in 0..=255u8 {
            let allowed = byte == b'\t' || (byte >= 0x20 && byte != 0x7f);
            assert_eq!(is_field_value(&[b'a', byte, b'z']), allowed, "byte {byte:#x}");
        }
        assert!(is_field_value(b""));
    }

    #[test]
    fn connection_fields_are_known_in_any_case() {
        assert!(is_connection_field(b"Transfer-Encoding"));
        assert!(is_connection_field(b"KEEP-ALIVE"));
        assert!(!is_connection_field(b"Content-Length"));
    }
}
