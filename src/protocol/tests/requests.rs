// SPDX-License-Identifier: MIT OR Apache-2.0
//! The application's side of FastCGI: what a web server sends, whole, cut anywhere, interleaved and wrong.

use proptest::{collection::vec, prelude::*};

use super::{backend::wire, *};
use crate::{
    fuzzing::{encode_all, reference::*},
    protocol::fastcgi::{
        Received, RequestRefusal, Requests, Stream, end, part, put, unknown_type, values_result,
    },
};

/// What was told, with neighbouring bytes of one stream put together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    events: Vec<Owned>,
    error: Option<RequestError>,
    is_idle: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Owned {
    Params(u16, Vec<u8>),
    Body(u16, Vec<u8>),
    Other(Received<'static>),
}

impl Heard {
    fn add(&mut self, received: Received<'_>) {
        let other = match received {
            Received::More => return,
            Received::Params(id, more) => {
                assert!(!more.is_empty());
                match self.events.last_mut() {
                    Some(Owned::Params(last, bytes)) if *last == id => bytes.extend_from_slice(more),
                    _ => self.events.push(Owned::Params(id, more.to_vec())),
                }
                return;
            }
            Received::Body(id, more) => {
                assert!(!more.is_empty());
                match self.events.last_mut() {
                    Some(Owned::Body(last, bytes)) if *last == id => bytes.extend_from_slice(more),
                    _ => self.events.push(Owned::Body(id, more.to_vec())),
                }
                return;
            }
            Received::Begin { id, role, keep_connection } => Received::Begin { id, role, keep_connection },
            Received::Refused { id, status, keep_connection } => {
                Received::Refused { id, status, keep_connection }
            }
            Received::ParamsEnd(id) => Received::ParamsEnd(id),
            Received::BodyEnd(id) => Received::BodyEnd(id),
            Received::Abort(id) => Received::Abort(id),
            Received::Granted(id, bytes) => Received::Granted(id, bytes),
            Received::Question(content) => Received::Question(content),
            Received::UnknownType(kind) => Received::UnknownType(kind),
        };
        self.events.push(Owned::Other(other));
    }
}

fn hear<'p>(limit: usize, parts: impl IntoIterator<Item = &'p [u8]>) -> Heard {
    let (mut requests, mut heard) = (Requests::new(limit), Heard::default());
    for mut part in parts {
        loop {
            match requests.decode(part) {
                Ok((used, Received::More)) => {
                    assert_eq!(used, part.len(), "more is wanted before all was taken");
                    break;
                }
                Ok((used, received)) => {
                    heard.add(received);
                    part = &part[used..];
                }
                Err(error) => {
                    assert_eq!(requests.decode(part), Err(error), "an error stays");
                    assert!(!requests.is_idle());
                    return Heard { error: Some(error), ..heard };
                }
            }
        }
    }
    Heard { is_idle: requests.is_idle(), ..heard }
}

/// The same at once, cut in two at every place, and byte by byte.
fn hear_all_ways(limit: usize, wire: &[u8]) -> Heard {
    let heard = hear(limit, [wire]);
    for cut in 0..=wire.len() {
        let (head, tail) = wire.split_at(cut);
        assert_eq!(hear(limit, [head, tail]), heard, "cut after byte {cut}");
    }
    assert_eq!(hear(limit, wire.chunks(1)), heard, "byte by byte");
    heard
}

fn record(id: u16, kind: u8, content: &[u8], padding: u8) -> Record {
    Record { kind, id, content: content.to_vec(), padding }
}

fn begin(id: u16, role: u8, flags: u8) -> Record {
    record(id, 1, &[0, role, flags, 0, 0, 0, 0, 0], 0)
}

fn begun(id: u16) -> Owned {
    Owned::Other(Received::Begin { id, role: Role::Responder, keep_connection: true })
}

#[test]
fn a_request_of_the_specification() {
    // Appendix B, 3: the variables' names and values, a body of no bytes.
    let params = b"\x0b\x02SERVER_PORT80\x0b\x0eSERVER_ADDR199.170.183.42";
    let heard = hear_all_ways(
        1,
        &wire(&[begin(1, 1, 0), record(1, 4, params, 0), record(1, 4, b"", 0), record(1, 5, b"", 0)]),
    );
    let first = Received::Begin { id: 1, role: Role::Responder, keep_connection: false };
    let events = vec![
        Owned::Other(first),
        Owned::Params(1, params.to_vec()),
        Owned::Other(Received::ParamsEnd(1)),
        Owned::Other(Received::BodyEnd(1)),
    ];
    assert_eq!(heard, Heard { events, error: None, is_idle: false });
    assert_eq!(
        fastcgi::Pairs::new(params).collect::<Vec<_>>(),
        [(&b"SERVER_PORT"[..], &b"80"[..]), (b"SERVER_ADDR", b"199.170.183.42")]
    );
}

#[test]
fn several_at_a_time() {
    let heard = hear_all_ways(
        2,
        &wire(&[
            begin(7, 1, 1),
            record(7, 4, b"one", 5),
            begin(300, 1, 1),
            record(300, 4, b"two", 0),
            record(7, 4, b"", 3),
            record(300, 4, b"", 0),
            record(300, 5, b"body of two", 1),
            record(7, 5, b"", 0),
            record(300, 5, b"", 255),
        ]),
    );
    let events = vec![
        begun(7),
        Owned::Params(7, b"one".to_vec()),
        begun(300),
        Owned::Params(300, b"two".to_vec()),
        Owned::Other(Received::ParamsEnd(7)),
        Owned::Other(Received::ParamsEnd(300)),
        Owned::Body(300, b"body of two".to_vec()),
        Owned::Other(Received::BodyEnd(7)),
        Owned::Other(Received::BodyEnd(300)),
    ];
    assert_eq!(heard, Heard { events, error: None, is_idle: false });
}

#[test]
fn what_is_not_taken_up_is_refused_and_its_records_mean_nothing() {
    let heard = hear_all_ways(
        1,
        &wire(&[
            begin(1, 3, 1),
            record(1, 4, b"params of a filter", 0),
            record(1, 8, b"data", 7),
            begin(1, 1, 1),
            begin(2, 1, 0),
            record(2, 4, b"params", 0),
            record(2, 5, b"", 0),
            record(1, 4, b"", 0),
        ]),
    );
    let refused =
        |id, status, keep_connection| Owned::Other(Received::Refused { id, status, keep_connection });
    let events = vec![
        refused(1, RequestRefusal::UnknownRole, true),
        begun(1),
        refused(2, RequestRefusal::CannotMultiplex, false),
        Owned::Other(Received::ParamsEnd(1)),
    ];
    assert_eq!(heard.events, events);
}

#[test]
fn an_authorizer_has_no_body() {
    let heard = hear_all_ways(1, &wire(&[begin(1, 2, 0), record(1, 4, b"", 0), record(1, 5, b"", 0)]));
    let first = Received::Begin { id: 1, role: Role::Authorizer, keep_connection: false };
    assert_eq!(heard.events, [Owned::Other(first), Owned::Other(Received::ParamsEnd(1))]);
    let body = hear_all_ways(1, &wire(&[begin(1, 2, 0), record(1, 4, b"", 0), record(1, 5, b"x", 0)]));
    assert_eq!(body.error, Some(RequestError::Order(5, 1)));
}

#[test]
fn questions_and_types_that_are_not_known() {
    let question = b"\x0e\0FCGI_MAX_CONNS\x0f\0FCGI_MPXS_CONNS\x03\0ABC";
    let heard = hear_all_ways(
        1,
        &wire(&[
            record(0, 9, question, 4),
            record(0, 9, b"", 0),
            record(0, 77, b"whatever", 2),
            begin(1, 1, 1),
        ]),
    );
    let events = vec![
        Owned::Other(Received::Question(question.to_vec())),
        Owned::Other(Received::Question(Vec::new())),
        Owned::Other(Received::UnknownType(77)),
        begun(1),
    ];
    assert_eq!(heard.events, events);
    let mut out = b"before".to_vec();
    let known: [(&[u8], &[u8]); 3] =
        [(b"FCGI_MAX_CONNS", b"8"), (b"FCGI_MAX_REQS", b"8"), (b"FCGI_MPXS_CONNS", b"1")];
    values_result(question, &known, &mut out).unwrap();
    let values = fastcgi::Values::decode(&out[6..]).unwrap().unwrap();
    assert_eq!(values.used, out.len() - 6);
    assert_eq!(
        values.pairs.collect::<Vec<_>>(),
        [(&b"FCGI_MAX_CONNS"[..], &b"8"[..]), (b"FCGI_MPXS_CONNS", b"1")]
    );
    assert_eq!(records(&unknown_type(77)), [record(0, 11, &[77, 0, 0, 0, 0, 0, 0, 0], 0)]);
}

#[test]
fn an_answer_that_is_too_long_leaves_nothing() {
    let (value, mut out) = (vec![b'x'; 70_000], b"before".to_vec());
    assert!(values_result(b"\x01\0a", &[(b"a", &value)], &mut out).is_err());
    assert_eq!(out, b"before");
}

#[test]
fn what_breaks_the_protocol() {
    let error = |records: &[Record]| hear_all_ways(2, &wire(records)).error;
    assert_eq!(error(&[begin(1, 1, 0), begin(1, 1, 0)]), Some(RequestError::Twice(1)));
    assert_eq!(error(&[record(1, 1, b"seven..", 0)]), Some(RequestError::BeginLength(7)));
    assert_eq!(error(&[begin(1, 1, 0), record(1, 5, b"early", 0)]), Some(RequestError::Order(5, 1)));
    let whole = [begin(1, 1, 0), record(1, 4, b"", 0), record(1, 5, b"", 0)];
    for (kind, content) in [(4, &b"late"[..]), (5, b"late")] {
        assert_eq!(
            error(&[&whole[..], &[record(1, kind, content, 0)]].concat()),
            Some(RequestError::Order(kind, 1))
        );
    }
    // A second end is no harm.
    assert_eq!(error(&[&whole[..], &[record(1, 4, b"", 0), record(1, 5, b"", 0)]].concat()), None);
    for kind in [0, 3, 6, 7, 8, 9, 10, 11, 255] {
        assert_eq!(
            error(&[begin(1, 1, 0), record(1, kind, b"", 0)]),
            Some(RequestError::Type(kind)),
            "{kind}"
        );
    }
    assert_eq!(hear_all_ways(1, &[2, 1, 0, 1, 0, 8, 0, 0]).error, Some(RequestError::Version(2)));
}

#[test]
fn after_its_end_nothing_of_a_request_is_told() {
    let mut requests = Requests::new(1);
    let first = wire(&[begin(1, 1, 1), record(1, 4, b"name", 0)]);
    assert!(matches!(requests.decode(&first), Ok((16, Received::Begin { id: 1, .. }))));
    // The record of the variables is under way.
    assert_eq!(requests.decode(&first[16..25]), Ok((9, Received::Params(1, b"n"))));
    requests.end(1);
    assert_eq!((requests.active(), requests.is_idle()), (0, false));
    assert_eq!(requests.decode(&first[25..]), Ok((3, Received::More)));
    assert!(requests.is_idle());
    let rest = wire(&[record(1, 4, b"", 0), record(1, 5, b"body", 1), record(1, 2, b"", 0)]);
    assert_eq!(requests.decode(&rest), Ok((rest.len(), Received::More)));
    assert!(requests.is_idle());
    // The number is free again.
    assert!(matches!(requests.decode(&first), Ok((16, Received::Begin { id: 1, .. }))));
}

#[test]
fn nobody_waits_any_more() {
    let heard = hear_all_ways(1, &wire(&[begin(1, 1, 0), record(1, 4, b"", 0), record(1, 2, b"", 4)]));
    assert_eq!(heard.events.last(), Some(&Owned::Other(Received::Abort(1))));
}

#[test]
fn parts_are_as_large_as_a_record_can_be() {
    assert_eq!(part(1, Stream::Output, 0), None);
    assert_eq!(part(258, Stream::Errors, 3), Some(([1, 7, 1, 2, 0, 3, 0, 0], 3)));
    let (header, content) = part(1, Stream::Output, 1 << 20).unwrap();
    assert_eq!((header, content), ([1, 6, 0, 1, 0xff, 0xf8, 0, 0], 65_528));
    let mut out = Vec::new();
    put(9, Stream::Output, &[], &mut out);
    assert!(out.is_empty());
    assert_eq!(
        records(&end(258, 0x0102_0304, Some(RequestRefusal::Overloaded))),
        [record(258, 3, &[1, 2, 3, 4, 2, 0, 0, 0], 0)]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// What the web server's side writes, the application's side reads.
    #[test]
    fn requests_of_the_other_side_arrive(
        pairs in vec((vec(any::<u8>(), 0..300), vec(any::<u8>(), 0..300)), 0..20),
        body in vec(any::<u8>(), 0..200),
        keep_connection: bool,
        sizes in vec(1usize..80, 1..40),
    ) {
        let settings = Settings { keep_connection, ..Settings::default() };
        let mut wire = encode_all(&FastCgi, &settings, &pairs).unwrap();
        let piece = FastCgi.body_part(body.len() as u64);
        wire.extend_from_slice(piece.header());
        wire.extend_from_slice(&body);
        wire.extend_from_slice(FastCgi.body_end());
        let (mut rest, mut parts) = (wire.as_slice(), Vec::new());
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, more) = rest.split_at(rest.len().min(*size));
            parts.push(now);
            rest = more;
        }
        let heard = hear(1, parts);
        prop_assert_eq!(heard.error, None);
        let (mut params, mut content, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for event in heard.events {
            match event {
                Owned::Params(1, bytes) => params.extend(bytes),
                Owned::Body(1, bytes) => content.extend(bytes),
                Owned::Other(received) => ends.push(received),
                other => prop_assert!(false, "{:?}", other),
            }
        }
        let begin = Received::Begin { id: 1, role: Role::Responder, keep_connection };
        prop_assert_eq!(ends, vec![begin, Received::ParamsEnd(1), Received::BodyEnd(1)]);
        prop_assert!(content == body);
        let read: Vec<_> = fastcgi::Pairs::new(&params).map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        prop_assert!(read == pairs);
    }

    /// What the application's side writes, the web server's side reads.
    #[test]
    fn responses_for_the_other_side_arrive(
        parts in vec((any::<bool>(), vec(any::<u8>(), 0..70_000)), 0..5),
        application: u32,
    ) {
        let mut wire = Vec::new();
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        for (is_output, bytes) in &parts {
            put(1, if *is_output { Stream::Output } else { Stream::Errors }, bytes, &mut wire);
            if *is_output { stdout.extend(bytes) } else { stderr.extend(bytes) }
        }
        wire.extend(end(1, application, None));
        let told = run(&FastCgi, [wire.as_slice()]);
        prop_assert!(told.ended && told.end.is_none());
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        for event in told.events {
            match event {
                What::Output(bytes) => output.extend(bytes),
                What::Errors(bytes) => errors.extend(bytes),
                What::End(status) => prop_assert_eq!(status, application),
                What::OutputEnd => prop_assert!(false, "nobody said so"),
            }
        }
        prop_assert!(output == stdout && errors == stderr);
    }
}
