// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rules for names and values of response headers, which every response head is held to.

/// Whether `name` is a field name: a token of RFC 9110 §5.6.2, not empty.
#[must_use]
pub fn is_field_name(name: &[u8]) -> bool {
    !name.is_empty() && are_all(name, TOKEN)
}

/// Whether `value` may be a field value: RFC 9110 §5.5 without control bytes (HTAB is allowed).
#[must_use]
pub fn is_field_value(value: &[u8]) -> bool {
    are_all(value, TEXT)
}

/// Without a way out at the first byte that is not: such heads are rare, and a step without a branch is half of one.
#[inline]
fn are_all(bytes: &[u8], kind: u8) -> bool {
    bytes.iter().fold(kind, |kinds, &byte| kinds & KINDS[usize::from(byte)]) != 0
}

/// Whether a header has this name, in any case. Most write it as `known` does, which is one comparison of memory.
#[must_use]
#[inline]
pub fn is_named(name: &[u8], known: &[u8]) -> bool {
    name.len() == known.len() && (name == known || name.eq_ignore_ascii_case(known))
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

/// Whether a header speaks about the connection, which is the server's alone.
///
/// RFC 9110 §7.6.1 names Connection, and Proxy-Connection, Keep-Alive, TE, Transfer-Encoding and Upgrade as what an
/// intermediary removes whether or not Connection lists them. Trailer (§6.6.2) announces what no handler can send.
/// Not in it: Proxy-Authenticate and Proxy-Authorization, which RFC 2616 §13.5.1 counted among the hop-by-hop headers
/// and RFC 9110 (§11.7) leaves to whoever authenticates, and "Trailers", a slip of that old list: there is no such header.
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
    // Most names begin with another letter, which costs one comparison.
    matches!(name.first().map(u8::to_ascii_lowercase), Some(b'c' | b'k' | b'p' | b't' | b'u'))
        && NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// The value of Content-Length. RFC 9110 §8.6: `1*DIGIT`, within what a file offset can hold.
#[must_use]
pub fn parse_length(value: &[u8]) -> Option<u64> {
    let add = |length: i64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    };
    let length = (!value.is_empty()).then(|| value.iter().try_fold(0, add))??;
    u64::try_from(length).ok()
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
    fn a_byte_that_must_not_be_is_found_wherever_it_stands() {
        for at in 0..32 {
            let mut text = [b'a'; 32];
            text[at] = b'\n';
            assert!(!is_field_name(&text) && !is_field_value(&text), "at {at}");
        }
        assert!(is_field_name(&[b'a'; 32]) && is_field_value(&[0xff; 32]));
    }

    #[test]
    fn names_are_told_in_any_case() {
        for name in ["Content-Length", "content-length", "CONTENT-LENGTH", "cOntent-Length"] {
            assert!(is_named(name.as_bytes(), b"Content-Length"), "{name}");
        }
        for name in ["", "Content-Lengt", "Content-Lengths", "Content_Length", "Content-Type"] {
            assert!(!is_named(name.as_bytes(), b"Content-Length"), "{name}");
        }
    }

    #[test]
    fn connection_fields_are_known_in_any_case_and_no_others_are() {
        for name in
            ["Connection", "KEEP-ALIVE", "Proxy-Connection", "te", "Trailer", "Transfer-Encoding", "upgrade"]
        {
            assert!(is_connection_field(name.as_bytes()), "{name}");
        }
        for name in
            ["", "Content-Length", "Cookie", "Trailers", "Text", "Proxy-Authenticate", "Proxy-Authorization"]
        {
            assert!(!is_connection_field(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn lengths_are_one_decimal_number_of_a_file() {
        assert_eq!((parse_length(b"0"), parse_length(b"0012")), (Some(0), Some(12)));
        assert_eq!(parse_length(b"9223372036854775807"), Some(i64::MAX as u64));
        for bad in ["", "-1", "+1", "0x1", "1,1", "1 1", "99999999999999999999", "9223372036854775808"] {
            assert_eq!(parse_length(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
