// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests, byte for byte.

use super::{backend::wire, *};
use crate::fuzzing::{encode_all, reference::*};

fn encode(protocol: &dyn Protocol, settings: &Settings<'_>, variables: &Fields) -> Vec<u8> {
    encode_all(protocol, settings, &owned(variables)).unwrap()
}

fn refuse(protocol: &dyn Protocol, settings: &Settings<'_>, variables: &Fields) -> EncodeError {
    encode_all(protocol, settings, &owned(variables)).unwrap_err()
}

fn owned(variables: &Fields) -> Vec<NameValue> {
    variables.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

/// Appendix B of the specification, example 1.
#[test]
fn fastcgi_matches_its_specification() {
    let variables = fields(&[(b"SERVER_PORT", b"80"), (b"SERVER_ADDR", b"199.170.183.42")]);
    let wire = encode(&FastCgi, &Settings::default(), &variables);
    let expected = [
        &b"\x01\x01\0\x01\0\x08\0\0\0\x01\0\0\0\0\0\0"[..],
        b"\x01\x04\0\x01\0\x2a\0\0\x0b\x02SERVER_PORT80\x0b\x0eSERVER_ADDR199.170.183.42",
        b"\x01\x04\0\x01\0\0\0\0",
    ];
    assert_eq!(wire, expected.concat());
}

#[test]
fn fastcgi_without_variables_still_ends_their_stream() {
    let wire = encode(&FastCgi, &Settings::default(), &Fields::default());
    assert_eq!(wire, b"\x01\x01\0\x01\0\x08\0\0\0\x01\0\0\0\0\0\0\x01\x04\0\x01\0\0\0\0");
}

#[test]
fn fastcgi_keeps_connections_when_told() {
    for keep_connection in [false, true] {
        let settings = Settings { keep_connection, ..Settings::default() };
        let (role, flags, _) = fastcgi_head(&encode(&FastCgi, &settings, &Fields::default()));
        assert_eq!((role, flags), (1, u8::from(keep_connection)));
    }
}

#[test]
fn fastcgi_authorizers_are_not_told_of_path_and_body() {
    let all: [(&[u8], &[u8]); 6] = [
        (b"CONTENT_LENGTH", b"5"),
        (b"PATH_INFO", b"/x"),
        (b"REQUEST_METHOD", b"GET"),
        (b"PATH_TRANSLATED", b"/srv/x"),
        (b"SCRIPT_NAME", b"/app"),
        (b"HTTP_COOKIE", b"a=1"),
    ];
    let settings = Settings { role: Role::Authorizer, ..Settings::default() };
    let (role, _, pairs) = fastcgi_head(&encode(&FastCgi, &settings, &fields(&all)));
    assert_eq!(role, 2);
    let names: Vec<_> = pairs.iter().map(|(name, _)| name.as_slice()).collect();
    assert_eq!(names, [&b"REQUEST_METHOD"[..], b"HTTP_COOKIE"]);
}

const LENGTHS: [usize; 16] =
    [0, 1, 126, 127, 128, 129, 255, 256, 16_383, 16_384, 65_534, 65_535, 65_536, 65_537, 131_072, 200_000];

#[test]
fn fastcgi_lengths_have_one_byte_or_four() {
    for (length, expected) in [
        (0, &[0][..]),
        (127, &[127]),
        (128, &[0x80, 0, 0, 128]),
        (255, &[0x80, 0, 0, 255]),
        (256, &[0x80, 0, 1, 0]),
        (65_535, &[0x80, 0, 0xff, 0xff]),
        (65_536, &[0x80, 1, 0, 0]),
    ] {
        let text = vec![b'x'; length];
        let wire = encode(&FastCgi, &Settings::default(), &fields(&[(&text, b"")]));
        assert_eq!(&wire[24..24 + expected.len()], expected, "{length}");
        assert_eq!(wire[24 + expected.len()], 0);
    }
}

#[test]
fn fastcgi_carries_names_and_values_of_any_length() {
    for name in LENGTHS {
        for value in LENGTHS {
            let (name, value) = (vec![b'n'; name], vec![b'v'; value]);
            let variables = fields(&[(b"BEFORE", b"1"), (&name, &value), (b"AFTER", b"2")]);
            let wire = encode(&FastCgi, &Settings::default(), &variables);
            let (_, _, pairs) = fastcgi_head(&wire);
            let expected =
                [(b"BEFORE".to_vec(), b"1".to_vec()), (name, value), (b"AFTER".to_vec(), b"2".to_vec())];
            assert!(pairs == expected, "{} and {} bytes", expected[1].0.len(), expected[1].1.len());
        }
    }
}

/// PHP parses each record on its own.
#[test]
fn fastcgi_pairs_stay_within_a_record_when_they_can() {
    for size in [1_000, 13_101, 21_839, 21_843, 21_844, 21_845, 32_763, 32_764, 65_524, 65_528, 65_529] {
        let value = vec![b'v'; size];
        let variables = fields(&vec![(&b"A"[..], value.as_slice()); 9]);
        let wire = encode(&FastCgi, &Settings::default(), &variables);
        let params: Vec<_> =
            records(&wire).into_iter().filter(|r| r.kind == 4 && !r.content.is_empty()).collect();
        let whole: Vec<_> = params.iter().flat_map(|record| pairs(&record.content)).collect();
        assert_eq!(whole.len(), 9, "{size}");
        assert!(whole.iter().all(|(name, known)| name == b"A" && *known == value), "{size}");
        let per_record = 65_535 / (size + 6);
        assert_eq!(params.len(), 9usize.div_ceil(per_record), "{size}: records are filled");
    }
}

#[test]
fn fastcgi_frames_bodies_in_records_of_a_checked_length() {
    for (available, content) in [
        (1, 1),
        (8, 8),
        (16_384, 16_384),
        (65_527, 65_527),
        (65_528, 65_528),
        (65_529, 65_528),
        (65_535, 65_528),
        (65_536, 65_528),
        (99_000, 65_528),
        (u64::from(u32::MAX) + 7, 65_528),
        (u64::MAX, 65_528),
    ] {
        let part = FastCgi.body_part(available);
        assert_eq!(part.content, content, "{available}");
        let [high, low] = u16::try_from(content).unwrap().to_be_bytes();
        assert_eq!(part.header(), [1, 5, 0, 1, high, low, 0, 0]);
    }
    assert_eq!((FastCgi.body_part(0).header(), FastCgi.body_part(0).content), (&[][..], 0));
    assert_eq!(FastCgi.body_end(), b"\x01\x05\0\x01\0\0\0\0");
    assert_eq!(FastCgi.abort(), b"\x01\x02\0\x01\0\0\0\0");
}

#[test]
fn fastcgi_pairs_beyond_a_record_fill_records() {
    let value = vec![b'v'; 200_000];
    let wire = encode(&FastCgi, &Settings::default(), &fields(&[(b"A", b"1"), (b"B", &value), (b"C", b"2")]));
    let lengths: Vec<_> = records(&wire).iter().skip(1).map(|record| record.content.len()).collect();
    assert_eq!(lengths, [4, 65_535, 65_535, 65_535, 200_006 - 3 * 65_535 + 4, 0]);
}

/// CVE class "FastCGI record-length truncation": a body that looks like records is one body.
#[test]
fn fastcgi_bodies_cannot_become_records() {
    let forged =
        wire(&[Record::new(1, &[0, 1, 0, 0, 0, 0, 0, 0]), Record::new(4, b"\x0f\x01SCRIPT_FILENAME/")]);
    for length in [65_527, 65_528, 65_529, 65_535, 65_536, 65_544, 99_000, 131_072] {
        let body: Vec<u8> = forged.iter().copied().cycle().take(length).collect();
        let mut wire = Vec::new();
        let mut rest = body.as_slice();
        while !rest.is_empty() {
            let part = FastCgi.body_part(rest.len() as u64);
            let (content, more) = rest.split_at(usize::try_from(part.content).unwrap());
            wire.extend_from_slice(part.header());
            wire.extend_from_slice(content);
            rest = more;
        }
        wire.extend_from_slice(FastCgi.body_end());
        let records = records(&wire);
        assert!(records.iter().all(|record| record.kind == 5 && record.id == 1), "{length}");
        assert_eq!(records.iter().filter(|record| record.content.is_empty()).count(), 1);
        let sent: Vec<u8> = records.into_iter().flat_map(|record| record.content).collect();
        assert!(sent == body, "{length}");
    }
}

/// The example of the specification.
#[test]
fn scgi_matches_its_specification() {
    let variables = fields(&[
        (b"REQUEST_METHOD", b"POST"),
        (b"CONTENT_LENGTH", b"27"),
        (b"REQUEST_URI", b"/deepthought"),
    ]);
    let wire = encode(&Scgi, &Settings::default(), &variables);
    let expected = b"70:CONTENT_LENGTH\x0027\0SCGI\x001\0REQUEST_METHOD\0POST\0REQUEST_URI\0/deepthought\0,";
    assert_eq!(wire, expected);
}

#[test]
fn scgi_always_has_a_length_and_its_version_once() {
    for variables in [fields(&[]), fields(&[(b"CONTENT_LENGTH", b"")]), fields(&[(b"SCGI", b"2")])] {
        let wire = encode(&Scgi, &Settings::default(), &variables);
        assert_eq!(wire, b"24:CONTENT_LENGTH\x000\0SCGI\x001\0,");
    }
}

#[test]
fn scgi_carries_names_and_values_of_any_length() {
    for length in LENGTHS {
        let text = vec![b'x'; length];
        let name = [b"N", text.as_slice()].concat();
        let pairs = scgi_head(&encode(&Scgi, &Settings::default(), &fields(&[(&name, &text)])));
        assert!(pairs[2..] == [(name, text)], "{length}");
    }
}

#[test]
fn scgi_refuses_what_it_cannot_carry() {
    let settings = Settings::default();
    assert_eq!(
        refuse(&Scgi, &settings, &fields(&[(b"A", b"1"), (b"X\0", b"2")])),
        EncodeError::Nul("X\\x00".into())
    );
    assert_eq!(
        refuse(&Scgi, &settings, &fields(&[(b"A", b"1"), (b"X", b"a\0b")])),
        EncodeError::Nul("X".into())
    );
    assert_eq!(refuse(&Scgi, &settings, &fields(&[(b"", b"1")])), EncodeError::NoName);
    for bad in ["-1", "+1", " 1", "1 ", "0x1", "1\n"] {
        let error = refuse(&Scgi, &settings, &fields(&[(b"CONTENT_LENGTH", bad.as_bytes())]));
        assert!(matches!(error, EncodeError::ContentLength(_)), "{bad:?}");
        assert_eq!((error.status(), error.code()), (500, crate::error::CANNOT_ENCODE));
    }
}

#[test]
fn uwsgi_matches_its_specification() {
    let settings = Settings { modifier1: 5, modifier2: 7, string: b"\x01\0S\0\0", ..Settings::default() };
    let variables = fields(&[(b"REQUEST_METHOD", b"GET"), (b"E", b"")]);
    let expected = b"\x05\x1f\0\x07\x0e\0REQUEST_METHOD\x03\0GET\x01\0E\0\0\x01\0S\0\0";
    assert_eq!(encode(&Uwsgi, &settings, &variables), expected);
    assert_eq!(encode(&Uwsgi, &Settings::default(), &Fields::default()), b"\0\0\0\0");
}

/// A block of `size` bytes.
fn uwsgi_block(size: usize) -> Fields {
    let value = vec![b'v'; size - 5];
    fields(&[(b"N", &value)])
}

#[test]
fn uwsgi_blocks_end_at_65535_bytes() {
    for size in [5, 260, 261, 65_534, 65_535] {
        let wire = encode(&Uwsgi, &Settings::default(), &uwsgi_block(size));
        assert_eq!(wire.len(), size + 4);
        let (first, second, pairs) = uwsgi_head(&wire);
        assert_eq!((first, second, pairs.len(), pairs[0].1.len()), (0, 0, 1, size - 5));
    }
    for size in [65_536, 65_540, 65_541, 131_072, 200_000] {
        let error = refuse(&Uwsgi, &Settings::default(), &uwsgi_block(size));
        assert!(matches!(error, EncodeError::TooLong { limit: 65_535, protocol: "uwsgi", .. }), "{error:?}");
        assert_eq!(error.status(), 431);
    }
}

#[test]
fn uwsgi_strings_count_for_the_block() {
    let fitting = Settings { string: b"ab", ..Settings::default() };
    let beyond = Settings { string: b"abc", ..Settings::default() };
    let variables = uwsgi_block(65_533);
    assert_eq!(encode(&Uwsgi, &fitting, &variables).len(), 65_539);
    assert!(matches!(refuse(&Uwsgi, &beyond, &variables), EncodeError::TooLong { length: 65_536, .. }));
}

#[test]
fn uwsgi_pairs_that_exceed_the_block_together_are_refused() {
    let value = vec![b'v'; 40_000];
    let error = refuse(&Uwsgi, &Settings::default(), &fields(&[(b"A", &value), (b"B", &value)]));
    assert_eq!(
        error.to_string(),
        "a list of variables of 80010 bytes is longer than the 65535 that uwsgi can express"
    );
}

#[test]
fn scgi_and_uwsgi_bodies_have_no_framing() {
    for protocol in [&Scgi as &dyn Protocol, &Uwsgi] {
        let part = protocol.body_part(u64::MAX);
        assert_eq!((part.header(), part.content), (&[][..], u64::MAX));
        assert_eq!((protocol.body_end(), protocol.abort()), (&[][..], &[][..]));
        assert!(!protocol.keeps_connections());
    }
}

#[test]
fn values_are_asked_for_on_their_own() {
    let mut out = Vec::new();
    fastcgi::get_values(&[b"FCGI_MAX_CONNS", b"FCGI_MPXS_CONNS"], &mut out).unwrap();
    assert_eq!(out, b"\x01\x09\0\0\0\x21\0\0\x0e\0FCGI_MAX_CONNS\x0f\0FCGI_MPXS_CONNS");
    let long = vec![b'x'; 65_536];
    assert!(matches!(fastcgi::get_values(&[&long], &mut out), Err(EncodeError::TooLong { .. })));
    assert_eq!(out.len(), 41);
}
