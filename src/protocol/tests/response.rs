// SPDX-License-Identifier: MIT OR Apache-2.0
//! Responses of good and bad backends.

use super::{backend::wire, *};
use crate::fuzzing::reference::Record;

const STDOUT: u8 = 6;
const STDERR: u8 = 7;
const END: u8 = 3;
const COMPLETE: &[u8] = &[0; 8];

fn told(records: &[Record]) -> Told {
    run_all_ways(&FastCgi, &wire(records))
}

fn refused(records: &[Record], error: DecodeError) {
    let told = told(records);
    assert_eq!(told.end, Some(error));
    assert!(!told.ended);
    assert_eq!(
        error.code().to_string(),
        if matches!(error, DecodeError::Refused(_)) { "GW0702" } else { "GW0701" }
    );
}

#[test]
fn a_whole_response() {
    let told = told(&[Record::new(STDOUT, b"hello"), Record::new(STDOUT, b""), Record::new(END, COMPLETE)]);
    let events = vec![output(b"hello"), What::OutputEnd, What::End(0)];
    assert_eq!(told, Told { events, end: None, ended: true });
}

/// PHP does not end its output before it ends the request.
#[test]
fn the_end_of_the_request_ends_the_output() {
    let told = told(&[Record::new(STDOUT, b"hello"), Record::new(END, COMPLETE)]);
    assert_eq!(told, Told { events: vec![output(b"hello"), What::End(0)], end: None, ended: true });
}

#[test]
fn output_and_errors_may_alternate() {
    let told = told(&[
        Record::new(STDERR, b"oh"),
        Record::new(STDOUT, b"Status: 2"),
        Record::new(STDERR, b"dear"),
        Record::new(STDOUT, b"00\r\n\r\n"),
        Record::new(STDERR, b""),
        Record::new(STDOUT, b""),
        Record::new(STDERR, b"late"),
        Record::new(END, COMPLETE),
    ]);
    let events = vec![
        errors(b"oh"),
        output(b"Status: 2"),
        errors(b"dear"),
        output(b"00\r\n\r\n"),
        What::OutputEnd,
        errors(b"late"),
        What::End(0),
    ];
    assert_eq!(told, Told { events, end: None, ended: true });
}

#[test]
fn padding_of_any_length_is_skipped() {
    for padding in 0..=255 {
        let records = [
            Record::padded(STDERR, b"e", padding),
            Record::padded(STDOUT, b"a", padding),
            Record::padded(STDERR, b"", padding),
            Record::padded(STDOUT, b"b", 255 - padding),
            Record::padded(STDOUT, b"", padding),
            Record::padded(END, COMPLETE, padding),
        ];
        let told = run(&FastCgi, [wire(&records).as_slice()]);
        assert_eq!(run(&FastCgi, wire(&records).chunks(1)), told);
        let events = vec![errors(b"e"), output(b"ab"), What::OutputEnd, What::End(0)];
        assert_eq!(told, Told { events, end: None, ended: true }, "{padding}");
    }
}

/// 65,535 bytes and 255 of padding are more than 16 bits can count.
#[test]
fn the_largest_record() {
    let content: Vec<u8> = (0..65_535u32).map(|at| at as u8).collect();
    let wire = wire(&[Record::padded(STDOUT, &content, 255), Record::padded(END, COMPLETE, 255)]);
    let expected = Told { events: vec![output(&content), What::End(0)], end: None, ended: true };
    for size in [1, 7, 8, 4096, 65_535, 65_536, 65_543, 65_544, 65_798, 65_799, wire.len()] {
        assert_eq!(run(&FastCgi, wire.chunks(size)), expected, "in parts of {size}");
    }
}

/// One call per record when all of it is there.
#[test]
fn a_record_is_one_call() {
    let wire = wire(&[Record::padded(STDOUT, b"hello", 3), Record::new(END, COMPLETE)]);
    let mut decoder = FastCgi.decoder();
    assert_eq!(decoder.decode(&wire), Ok((16, ResponseEvent::Output(b"hello"))));
    assert_eq!(decoder.decode(&wire[16..]), Ok((16, ResponseEvent::End(EndStatus { application: 0 }))));
    assert_eq!(decoder.decode(&[]), Ok((0, ResponseEvent::More)));
}

#[test]
fn what_the_program_returned_is_told() {
    let told = told(&[Record::new(END, &[0x12, 0x34, 0x56, 0x78, 0, 1, 2, 3])]);
    assert_eq!(told.events, [What::End(0x1234_5678)]);
}

#[test]
fn every_protocol_status_but_success_is_an_error() {
    for status in 1..=255 {
        let expected = match status {
            1 => ProtocolStatus::CannotMultiplex,
            2 => ProtocolStatus::Overloaded,
            3 => ProtocolStatus::UnknownRole,
            other => ProtocolStatus::Other(other),
        };
        let end = Record::padded(END, &[0, 0, 0, 0, status, 0, 0, 0], 5);
        refused(&[Record::new(STDOUT, b"x"), end], DecodeError::Refused(expected));
    }
    let text = DecodeError::Refused(ProtocolStatus::Overloaded).to_string();
    assert_eq!(text, "the backend refused the request: it is overloaded (FCGI_OVERLOADED)");
}

#[test]
fn ends_of_another_length_are_refused() {
    for length in (0..=16u16).filter(|length| *length != 8).chain([255, 256, 65_535]) {
        refused(&[Record::new(END, &vec![0; usize::from(length)])], DecodeError::EndLength(length));
    }
}

#[test]
fn every_other_version_is_refused() {
    for version in (0..=255).filter(|version| *version != 1) {
        let mut wire = wire(&[Record::new(STDOUT, b"x"), Record::new(STDOUT, b"y")]);
        wire[9] = version;
        let told = run_all_ways(&FastCgi, &wire);
        assert_eq!((told.events, told.end), (vec![output(b"x")], Some(DecodeError::Version(version))));
    }
}

#[test]
fn every_other_type_is_refused() {
    for kind in (0..=255).filter(|kind| ![STDOUT, STDERR, END].contains(kind)) {
        refused(&[Record::new(STDOUT, b"x"), Record::new(kind, b"12345678")], DecodeError::Type(kind));
        let management = Record { id: 0, ..Record::new(kind, b"") };
        refused(&[management, Record::new(END, COMPLETE)], DecodeError::Type(kind));
    }
}

#[test]
fn records_of_other_requests_are_refused() {
    for id in [0, 2, 255, 256, 257, 511, 0x0100, 0x0101, u16::MAX] {
        for (kind, content) in [(STDOUT, &b"x"[..]), (STDERR, b"x"), (STDOUT, b""), (END, COMPLETE)] {
            refused(&[Record { id, ..Record::new(kind, content) }], DecodeError::RequestId(id));
        }
    }
}

#[test]
fn other_protocols_are_refused_at_their_first_record() {
    for wire in [&b"HTTP/1.1 200 OK\r\n\r\n"[..], b"Status: 200 OK\r\n\r\n", b"\0\0\0\0\0\0\0\0\0"] {
        let told = run_all_ways(&FastCgi, wire);
        assert_eq!((told.events, told.end), (vec![], Some(DecodeError::Version(wire[0]))));
    }
}

#[test]
fn output_after_its_end_is_refused() {
    refused(
        &[Record::new(STDOUT, b"x"), Record::new(STDOUT, b""), Record::new(STDOUT, b"more")],
        DecodeError::OutputAfterEnd(4),
    );
    // The end said twice is no output.
    let told = told(&[Record::new(STDOUT, b""), Record::new(STDOUT, b""), Record::new(END, COMPLETE)]);
    assert_eq!(told.events, [What::OutputEnd, What::End(0)]);
}

#[test]
fn bytes_after_the_end_are_an_error() {
    let mut wire = wire(&[Record::new(STDOUT, b"x"), Record::padded(END, COMPLETE, 3)]);
    for more in [&b"\x01"[..], b"\0", b"\x01\x06\0\x01\0\x01\0\0y"] {
        let length = wire.len();
        wire.extend_from_slice(more);
        let told = run_all_ways(&FastCgi, &wire);
        assert_eq!(told.events, [output(b"x"), What::End(0)]);
        assert_eq!(
            (told.end, told.ended),
            (Some(DecodeError::AfterEnd), false),
            "such a connection is not kept"
        );
        wire.truncate(length);
    }
}

/// A response is whole with its end, or with the end of its output; anywhere else it is cut.
#[test]
fn a_response_cut_anywhere_is_known_to_be_cut() {
    let records =
        [Record::padded(STDOUT, b"hello", 3), Record::new(STDERR, b"e"), Record::padded(END, COMPLETE, 9)];
    let wire = wire(&records);
    let whole = wire.len() - 9;
    for cut in 0..wire.len() {
        let told = run_all_ways(&FastCgi, &wire[..cut]);
        assert_eq!(told.end, (cut < whole).then_some(DecodeError::Cut), "{cut}");
        assert!(!told.ended, "the padding belongs to the request");
    }
    let ended = [Record::new(STDOUT, b"hello"), Record::padded(STDOUT, b"", 4)];
    let wire = backend::wire(&ended);
    for cut in 0..=wire.len() {
        let told = run_all_ways(&FastCgi, &wire[..cut]);
        assert_eq!(told.end, (cut < 13 + 8).then_some(DecodeError::Cut), "{cut}");
    }
    assert_eq!(DecodeError::Cut.code().to_string(), "GW0703");
}

#[test]
fn nothing_at_all_is_a_cut_response() {
    assert_eq!(run(&FastCgi, [&b""[..]]), Told { end: Some(DecodeError::Cut), ..Told::default() });
}

#[test]
fn without_framing_everything_is_output() {
    for protocol in [&Scgi as &dyn Protocol, &Uwsgi] {
        let told = run_all_ways(protocol, b"\x01\x06anything");
        assert_eq!(told, Told { events: vec![output(b"\x01\x06anything")], end: None, ended: false });
        assert_eq!(run(protocol, [&b""[..]]), Told::default());
    }
}

#[test]
fn values_are_read_whole_or_not_at_all() {
    let mut record = Record::padded(10, b"\x0e\x02FCGI_MAX_CONNS10\x80\0\0\x01\0A", 5);
    record.id = 0;
    let wire = record.wire();
    for cut in 0..wire.len() {
        assert!(fastcgi::Values::decode(&wire[..cut]).unwrap().is_none(), "{cut}");
    }
    let more = [wire.as_slice(), b"more"].concat();
    let mut values = fastcgi::Values::decode(&more).unwrap().expect("all of it");
    assert_eq!(values.used, wire.len());
    let pairs: Vec<_> = values.pairs.by_ref().collect();
    assert_eq!(pairs, [(&b"FCGI_MAX_CONNS"[..], &b"10"[..]), (b"A", b"")]);
    assert_eq!(values.pairs.rest(), 0);
    for (at, byte, error) in
        [(0, 2, DecodeError::Version(2)), (1, 6, DecodeError::Type(6)), (3, 1, DecodeError::RequestId(1))]
    {
        let mut wire = wire.clone();
        wire[at] = byte;
        assert_eq!(fastcgi::Values::decode(&wire).unwrap_err(), error);
    }
}

/// CVE-2025-23016: lengths whose sum is beyond what is there.
#[test]
fn pairs_with_lying_lengths_end_the_list() {
    for block in [
        &b"\x01"[..],
        b"\x01\x01A",
        b"\x02\0A",
        b"\x80\0\0",
        b"\x80\0\0\x05\0abc",
        b"\xff\xff\xff\xff\xff\xff\xff\xffab",
        b"\xff\xff\xff\xff\0ab",
        b"\0\xff\xff\xff\xffab",
    ] {
        let good = [&b"\x01\x01NV"[..], block].concat();
        let mut pairs = fastcgi::Pairs::new(&good);
        assert_eq!(pairs.next(), Some((&b"N"[..], &b"V"[..])));
        assert_eq!((pairs.next(), pairs.rest()), (None, block.len()));
    }
}

/// Who reads as many bytes as are wanted gets whole records' contents, and nothing of what follows them.
#[test]
fn what_is_wanted_ends_with_the_content() {
    let records = [
        Record::padded(STDOUT, b"hello", 3),
        Record::padded(STDERR, &[b'e'; 300], 255),
        Record::new(STDOUT, &[b'x'; 65_535]),
        Record::padded(END, COMPLETE, 9),
    ];
    let wire = wire(&records);
    let (mut decoder, mut rest, mut parts) = (FastCgi.decoder(), wire.as_slice(), Vec::new());
    while !decoder.ended() {
        let (part, more) = rest.split_at(usize::from(decoder.wanted().unwrap()));
        let (used, event) = decoder.decode(part).unwrap();
        assert_eq!(used, part.len());
        if let ResponseEvent::Output(bytes) | ResponseEvent::Errors(bytes) = event {
            parts.push(bytes.len());
        }
        rest = more;
    }
    assert_eq!((parts, rest), (vec![5, 300, 65_535], &[][..]));
    assert_eq!(Scgi.decoder().wanted(), None);
}
