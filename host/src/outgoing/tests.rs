// SPDX-License-Identifier: MIT OR Apache-2.0
//! What leaves is what an application gave, however little room there is at a time.

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::net::UnixStream,
};

use gangway::exchange::FileSlice;
use proptest::prelude::*;

use super::*;

fn head(status: u16, fields: &[(&str, &str)]) -> Head {
    Head::check(status, b"", fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))).unwrap()
}

/// Sends all of it to a reader that takes little at a time, and splits what comes into records.
fn sent(mut outgoing: Outgoing) -> Vec<(u8, Vec<u8>)> {
    let (near, mut far) = UnixStream::pair().unwrap();
    far.set_nonblocking(true).unwrap();
    let (mut wire, mut buffer) = (Vec::new(), vec![0; 30_011]);
    loop {
        let state = outgoing.send(&near).unwrap();
        while let Ok(count) = far.read(&mut buffer) {
            wire.extend_from_slice(&buffer[..count]);
            if state == Sent::Blocked {
                // There is a little room now.
                break;
            }
        }
        if state == Sent::All {
            break;
        }
    }
    assert!(outgoing.is_empty());
    let mut records = Vec::new();
    let mut rest = wire.as_slice();
    while let [1, kind, 0, 7, high, low, 0, 0, more @ ..] = rest {
        let (content, more) = more.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        records.push((*kind, content.to_vec()));
        rest = more;
    }
    assert!(rest.is_empty(), "{} bytes are no records", rest.len());
    records
}

fn output(records: &[(u8, Vec<u8>)]) -> Vec<u8> {
    records.iter().filter(|(kind, _)| *kind == 6).flat_map(|(_, content)| content.clone()).collect()
}

#[test]
fn a_small_response_is_two_records_in_one_piece() {
    let mut outgoing = Outgoing::default();
    let head =
        Head { content_length: Some(5), ..head(200, &[("Content-Type", "text/plain"), ("Status", "500")]) };
    outgoing.output(7, Some(&head), vec![Piece::Copied(b"hello".to_vec())]);
    outgoing.end(7);
    assert_eq!(outgoing.segments.len(), 1, "one call sends it");
    let records = sent(outgoing);
    let text = "Status: 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(records, [(6, text.as_bytes().to_vec()), (3, vec![0; 8])]);
}

#[test]
fn large_pieces_are_not_copied_and_cut_into_records() {
    let mut outgoing = Outgoing::default();
    let body: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    outgoing.output(
        7,
        Some(&head(404, &[])),
        vec![Piece::Copied(body.clone()), Piece::Copied(b"end".to_vec())],
    );
    outgoing.end(7);
    assert!(outgoing.own.len() < 200, "{}", outgoing.own.len());
    let records = sent(outgoing);
    assert!(
        records.iter().all(|(_, content)| content.len() <= 65_528) && records.len() == 6,
        "{}",
        records.len()
    );
    let output = output(&records);
    assert_eq!(output, [b"Status: 404 Not Found\r\n\r\n", body.as_slice(), b"end"].concat());
}

#[test]
fn files_are_sent_from_their_descriptors() {
    let mut file = tempfile::tempfile().unwrap();
    let text: Vec<u8> = (0..200_000u32).map(|n| (n % 253) as u8).collect();
    file.write_all(&text).unwrap();
    let slice = |offset, len| Piece::File(FileSlice { fd: file.try_clone().unwrap().into(), offset, len });
    let mut outgoing = Outgoing::default();
    let pieces =
        vec![Piece::Copied(b"a".to_vec()), slice(10, 150_000), Piece::Copied(b"b".to_vec()), slice(0, 3)];
    outgoing.output(7, Some(&head(200, &[])), pieces);
    outgoing.end(7);
    let expected = [b"Status: 200 OK\r\n\r\na", &text[10..150_010], b"b", &text[..3]].concat();
    assert!(output(&sent(outgoing)) == expected);
    let mut outgoing = Outgoing::default();
    let short = FileSlice { fd: File::open("/dev/null").unwrap().into(), offset: 0, len: 9 };
    outgoing.output(7, None, vec![Piece::File(short)]);
    let (near, _far) = UnixStream::pair().unwrap();
    assert!(outgoing.send(&near).is_err(), "a file that is shorter than it was");
}

#[test]
fn what_is_added_behind_a_rest_follows_it() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let mut outgoing = Outgoing::default();
    let body = vec![b'x'; 2_000_000];
    outgoing.output(7, None, vec![Piece::Copied(body.clone())]);
    assert_eq!(outgoing.send(&near).unwrap(), Sent::Blocked);
    let mut more = Outgoing::errors(7, b"line\n");
    more.output(7, None, vec![Piece::Copied(body)]);
    more.end(7);
    more.end_connection();
    outgoing.append(more);
    assert!(outgoing.ends_connection());
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        far.read_to_end(&mut all).unwrap();
        all
    });
    while outgoing.send(&near).unwrap() == Sent::Blocked {
        sys::wait(&near, sys::Waiting::Output, std::time::Duration::from_secs(9));
    }
    drop(near);
    let all = reader.join().unwrap();
    let count = all.iter().filter(|byte| **byte == b'x').count();
    assert_eq!(count, 4_000_000);
    assert!(all.windows(5).any(|part| part == b"line\n") && all.ends_with(&end(7, 0, None)));
}

#[test]
fn a_connection_that_is_closed_is_an_error_and_no_signal() {
    let (near, far) = UnixStream::pair().unwrap();
    drop(far);
    assert!(Outgoing::bytes(b"x").send(&near).is_err());
}

#[test]
fn pages_are_whole_responses() {
    for (page, status) in [
        (Page::BadRequest, "400"),
        (Page::TooLarge, "431"),
        (Page::ServerError, "500"),
        (Page::Unavailable, "503"),
        (Page::GatewayTimeout, "504"),
    ] {
        let text = page.response();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("Status: {status} ")) && body.starts_with(status), "{text}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{text}");
        assert_eq!(head.contains("Retry-After: 1"), status == "503", "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_pieces_arrive(lengths in proptest::collection::vec(0usize..70_000, 0..12), has_head: bool) {
        let pieces: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(index, length)| vec![index as u8; *length]).collect();
        let mut outgoing = Outgoing::default();
        let head = has_head.then(|| head(204, &[]));
        outgoing.output(7, head.as_ref(), pieces.iter().cloned().map(Piece::Copied).collect());
        outgoing.end(7);
        let records = sent(outgoing);
        let start: &[u8] = if has_head { b"Status: 204 No Content\r\n\r\n" } else { b"" };
        prop_assert!(output(&records) == [start, &pieces.concat()].concat());
        prop_assert_eq!(records.last().map(|(kind, _)| *kind), Some(3));
    }
}
