// SPDX-License-Identifier: MIT OR Apache-2.0
//! One test per rule of a response in progress.

use super::*;
use crate::http::Fields;

/// So many rounds of a loop; few under Miri, for which each is a thousand times dearer.
const fn rounds(many: usize, few: usize) -> usize {
    if cfg!(miri) { few } else { many }
}

fn started(length: Option<u64>) -> (Arc<Exchange>, Arc<Fake>) {
    let (exchange, port) = Fake::exchange(RequestHead::default());
    start(&exchange, 200, length).unwrap();
    (exchange, port)
}

fn write(exchange: &Exchange, piece: Piece) -> Result<(), Stop> {
    give_back(exchange.write(piece, false, Wait::No))
}

#[test]
fn the_head_waits_for_the_first_flush() {
    let (exchange, port) = started(None);
    assert_eq!(port.deliveries(), 0);
    exchange.flush(Wait::No).unwrap();
    assert!(port.has_head() && port.deliveries() == 1);
    exchange.flush(Wait::No).unwrap();
    exchange.write(copied(0), true, Wait::No).map_err(|(stop, _)| stop).unwrap();
    assert_eq!(port.deliveries(), 1, "nothing to send is not sent");
}

#[test]
fn a_response_leaves_at_once_in_the_end() {
    let (exchange, port) = started(Some(6));
    for _ in 0..3 {
        write(&exchange, copied(2)).unwrap();
    }
    exchange.finish(Outcome::Complete).unwrap();
    assert_eq!((port.deliveries(), port.body(), port.end()), (1, b"cccccc".to_vec(), Some(End::Complete)));
}

#[test]
#[cfg_attr(miri, ignore = "megabytes: too long for Miri")]
fn staged_memory_is_bounded() {
    let most = 64 * 1024;
    let (exchange, port) = started(None);
    for written in 1..=200 {
        write(&exchange, copied(1000)).unwrap();
        let staged = written * 1000 - port.body().len();
        assert!(staged <= most, "{staged} bytes are staged");
    }
    assert!(port.deliveries() <= 4, "and it leaves in few parts");
    let (exchange, port) = started(None);
    write(&exchange, copied(most)).unwrap();
    assert_eq!(port.deliveries(), 0);
    write(&exchange, copied(1)).unwrap();
    assert_eq!((port.deliveries(), port.body().len()), (1, most + 1));
}

#[test]
#[cfg_attr(miri, ignore = "megabytes: too long for Miri")]
fn a_patient_port_gets_a_long_body_at_its_end_and_what_is_flushed_at_once() {
    let lender = Lender::default();
    let (exchange, port) = started(None);
    lock(&port.state).patient = true;
    port.set_full(true);
    static LONG: [u8; ROOM + 1] = [b'l'; ROOM + 1];
    write(&exchange, lender.lend(&LONG)).unwrap();
    assert_eq!(port.deliveries(), 0, "one long piece waits");
    assert_eq!(write(&exchange, copied(1)), Err(Stop::Again), "but nothing beside it");
    port.set_full(false);
    write(&exchange, copied(1)).unwrap();
    assert_eq!((port.deliveries(), port.body().len()), (1, LONG.len() + 1));
    give_back(exchange.write(copied(1), true, Wait::No)).unwrap();
    assert_eq!(port.deliveries(), 2, "a flush is obeyed");
    write(&exchange, copied(1)).unwrap();
    exchange.flush(Wait::No).unwrap();
    assert_eq!(port.deliveries(), 3);
    for written in 1..=1000 {
        write(&exchange, lender.lend(b"!")).unwrap();
        assert!(written + LONG.len() + 3 - port.body().len() <= 32, "pieces are bounded");
    }
    exchange.finish(Outcome::Complete).unwrap();
    assert_eq!(port.body().len(), LONG.len() + 3 + 1000);
}

#[test]
fn staged_loans_and_descriptors_are_bounded() {
    let lender = Lender::default();
    let (exchange, port) = started(None);
    for lent in 1..=rounds(1000, 80) {
        write(&exchange, lender.lend(b"!")).unwrap();
        assert!(lent - port.body().len() <= 32, "lent {lent}, left {}", port.body().len());
    }
    let (exchange, port) = started(None);
    for sent in 1..=rounds(100, 12) {
        write(&exchange, file(0, 1)).unwrap();
        assert!(sent - port.body().len() <= 4, "descriptors are dearer: {sent}, {}", port.body().len());
    }
}

#[test]
fn output_without_room_has_no_effect() {
    let lender = Lender::default();
    let (exchange, port) = started(None);
    port.set_full(true);
    assert_eq!(exchange.flush(Wait::No), Err(Stop::Again));
    assert_eq!(give_back(exchange.write(lender.lend(b"lent"), true, Wait::No)), Err(Stop::Again));
    assert!(matches!(exchange.write(copied(70_000), false, Wait::No), Err((Stop::Again, Some(_)))));
    assert!(matches!(exchange.write(file(0, 70_000), false, Wait::No), Err((Stop::Again, Some(_)))));
    write(&exchange, copied(1)).unwrap();
    assert_eq!((port.deliveries(), lender.released()), (0, 0));
    port.set_full(false);
    exchange.finish(Outcome::Complete).unwrap();
    assert_eq!(port.body(), b"c");
}

#[test]
fn an_end_needs_no_room() {
    let (exchange, port) = started(None);
    write(&exchange, copied(3)).unwrap();
    port.set_full(true);
    exchange.finish(Outcome::Complete).unwrap();
    assert_eq!((port.body().len(), port.end()), (3, Some(End::Complete)));
}

#[test]
fn content_length_is_kept_to_the_byte() {
    let (exchange, port) = started(Some(5));
    write(&exchange, copied(3)).unwrap();
    assert_eq!(write(&exchange, copied(3)), Err(Stop::Invalid));
    assert_eq!(write(&exchange, copied(1)), Err(Stop::Invalid));
    write(&exchange, copied(0)).unwrap();
    assert_eq!(port.codes(), ["GW0503", "GW0503"]);
    exchange.finish(Outcome::Complete).unwrap();
    assert_eq!((port.body().len(), port.end(), port.codes().len()), (5, Some(End::Complete), 0));

    let (exchange, port) = started(Some(7));
    assert_eq!(write(&exchange, file(10, 9)), Err(Stop::Invalid));
    exchange.finish(Outcome::Complete).unwrap();
    assert_eq!(port.body(), [10, 11, 12, 13, 14, 15, 16]);
}

#[test]
fn a_short_response_is_an_error_or_a_cut() {
    let (exchange, port) = started(Some(5));
    write(&exchange, copied(4)).unwrap();
    exchange.finish(Outcome::Complete).unwrap();
    assert!(!port.has_head() && port.end() == Some(End::Failed), "nothing has left: a whole error answer");
    assert_eq!(port.codes(), ["GW0504"]);

    let (exchange, port) = started(Some(5));
    exchange.write(copied(2), true, Wait::No).map_err(|(stop, _)| stop).unwrap();
    write(&exchange, copied(2)).unwrap();
    exchange.finish(Outcome::Complete).unwrap();
    assert_eq!((port.body().len(), port.end()), (4, Some(End::Failed)), "a part has left: cut");

    let (exchange, port) = started(Some(5));
    exchange.cancel(Cause::ClientGone);
    exchange.finish(Outcome::Complete).unwrap();
    assert!(port.codes().is_empty(), "a client that has left is nobody's fault");
}

#[test]
fn no_response_is_a_failure() {
    let (exchange, port) = Fake::exchange(RequestHead::default());
    exchange.finish(Outcome::Complete).unwrap();
    assert_eq!(
        (port.has_head(), port.end(), port.codes()),
        (false, Some(End::Failed), vec!["GW0506".into()])
    );
    let (exchange, port) = Fake::exchange(RequestHead::default());
    exchange.finish(Outcome::Failed).unwrap();
    assert_eq!((port.end(), port.codes().len()), (Some(End::Failed), 0), "the engine has logged why");
}

#[test]
fn a_failure_takes_back_what_has_not_left() {
    let lender = Lender::default();
    let (exchange, port) = started(None);
    write(&exchange, lender.lend(b"staged")).unwrap();
    exchange.finish(Outcome::Failed).unwrap();
    assert!(!port.has_head() && port.body().is_empty());
    assert_eq!((port.end(), lender.released()), (Some(End::Failed), 1));
}

#[test]
fn responses_without_a_body_drop_it() {
    let lender = Lender::default();
    for (status, no_body) in [(200, true), (204, false), (304, false), (404, true)] {
        let (exchange, port) = Fake::exchange(RequestHead { no_body, ..RequestHead::default() });
        start(&exchange, status, Some(3)).unwrap();
        for piece in [lender.lend(b"lent"), copied(100_000), file(0, 1 << 40)] {
            port.set_full(true);
            assert_eq!(write(&exchange, piece), Ok(()), "{status}: neither too long nor without room");
        }
        exchange.finish(Outcome::Complete).unwrap();
        assert_eq!((port.body().len(), port.end()), (0, Some(End::Complete)), "{status}");
        assert!(port.codes().is_empty());
        let length = lock(&port.state).out.head.as_ref().unwrap().content_length;
        assert_eq!(length, if no_body { Some(3) } else { None }, "HEAD says what GET would have");
    }
    assert_eq!(lender.released(), 4);
}

#[test]
fn lent_bytes_are_released_once_on_every_path() {
    let lender = Lender::default();
    let lend = || lender.lend(b"12345");
    let refused = |exchange: &Exchange, expected| {
        assert_eq!(write(exchange, lend()), Err(expected));
        assert_eq!(lender.released(), 0, "{expected:?}: the borrow stays the caller's");
    };
    let (exchange, _) = Fake::exchange(RequestHead::default());
    refused(&exchange, Stop::Misuse);
    let (exchange, _) = started(None);
    exchange.finish(Outcome::Complete).unwrap();
    refused(&exchange, Stop::Misuse);
    let (exchange, _) = started(None);
    exchange.cancel(Cause::Deadline);
    refused(&exchange, Stop::Cancelled);

    let accepted = |length: Option<u64>, expected: Result<(), Stop>| {
        let (exchange, port) = started(length);
        let before = lender.released();
        assert_eq!(write(&exchange, lend()), expected);
        let _ = exchange.finish(Outcome::Complete);
        drop((exchange, port));
        assert_eq!(lender.released() - before, 1, "{length:?}");
    };
    accepted(None, Ok(()));
    accepted(Some(5), Ok(()));
    accepted(Some(9), Ok(()));
    accepted(Some(3), Err(Stop::Invalid));
    accepted(Some(0), Err(Stop::Invalid));
    let before = lender.released();
    let (exchange, _) = started(None);
    assert_eq!(write(&exchange, lender.lend(b"")), Ok(()));
    assert_eq!(lender.released() - before, 1, "nothing to send: back at once");
}

#[test]
fn a_client_that_leaves_during_a_write_is_seen_by_the_next() {
    let lender = Lender::default();
    let (exchange, port) = started(None);
    lock(&port.state).broken = true;
    assert_eq!(give_back(exchange.write(lender.lend(b"gone"), true, Wait::No)), Ok(()), "taken over");
    assert_eq!(lender.released(), 1);
    assert_eq!(exchange.cancelled(), Some(Cause::ClientGone));
    assert_eq!(give_back(exchange.write(lender.lend(b"late"), true, Wait::No)), Err(Stop::Cancelled));
    assert_eq!(lender.released(), 1);
    assert_eq!(exchange.finish(Outcome::Failed), Err(Stop::Cancelled));
    assert!(exchange.is_finished());
}

#[test]
fn the_first_cause_stays_and_every_call_learns_of_it() {
    let (exchange, port) = started(None);
    exchange.cancel(Cause::Deadline);
    exchange.cancel(Cause::ClientGone);
    assert_eq!((exchange.cancelled(), lock(&port.state).cancels), (Some(Cause::Deadline), 2));
    assert_eq!(write(&exchange, copied(1)), Err(Stop::Cancelled));
    assert_eq!(exchange.flush(Wait::No), Err(Stop::Cancelled));
    assert_eq!(exchange.read_body(&mut [0; 4], Wait::No), Err(Stop::Cancelled));
    assert_eq!(start(&exchange, 200, None), Err(Stop::Cancelled));
    assert_eq!(exchange.finish(Outcome::Failed), Ok(()), "an end always passes");
}

#[test]
fn a_body_of_no_bytes_is_at_its_end() {
    let (exchange, _) = Fake::exchange(RequestHead { content_length: Some(0), ..RequestHead::default() });
    assert_eq!(exchange.read_body(&mut [0; 4], Wait::No), Ok(0));
    let (exchange, _) = Fake::exchange(RequestHead { content_length: Some(9), ..RequestHead::default() });
    assert_eq!(exchange.read_body(&mut [0; 4], Wait::No), Ok(4));
}

#[test]
fn a_line_has_no_control_bytes() {
    let (exchange, port) = Fake::exchange(RequestHead::default());
    exchange.log(Level::Info, "a\r\nb\x1b");
    assert_eq!(lock(&port.state).lines, ["a\\x0d\\x0ab\\x1b"]);
}

fn wired(has_interim: bool, has_trailers: bool) -> (Arc<Exchange>, Arc<Fake>) {
    let wire = Wire { has_interim, has_trailers, ..Wire::default() };
    Fake::exchange(RequestHead { wire: Some(Box::new(wire)), ..RequestHead::default() })
}

fn one(name: &'static str, value: &'static str) -> impl Iterator<Item = (&'static [u8], &'static [u8])> {
    std::iter::once((name.as_bytes(), value.as_bytes()))
}

#[test]
fn interim_heads_come_before_the_head_and_are_bounded() {
    let (exchange, port) = wired(true, false);
    for _ in 0..20 {
        exchange.interim(103, one("link", "</a>")).unwrap();
    }
    assert_eq!(port.deliveries(), 16);
    assert_eq!(lock(&port.state).out.take_interim().len(), 16);
    assert_eq!(exchange.interim(100, one("link", "</a>")), Err(Stop::Invalid));
    assert_eq!(exchange.interim(103, one("link", "a\r\nb")), Err(Stop::Invalid));
    start(&exchange, 200, None).unwrap();
    assert_eq!(exchange.interim(103, one("link", "</a>")), Err(Stop::Misuse));
    let (exchange, port) = wired(false, false);
    exchange.interim(103, one("link", "</a>")).unwrap();
    assert_eq!(port.deliveries(), 0, "there is no way to the client");
}

#[test]
fn trailers_leave_with_the_end() {
    let (exchange, port) = wired(false, true);
    assert_eq!(exchange.trailers(one("x", "1")), Err(Stop::Misuse), "before the head");
    exchange.trailers(std::iter::empty()).unwrap();
    start(&exchange, 200, None).unwrap();
    exchange.trailers(one("x", "1")).unwrap();
    exchange.flush(Wait::No).unwrap();
    let announced = |port: &Fake| {
        let out = &lock(&port.state).out;
        out.beyond.as_ref().map(|beyond| (beyond.expects_trailers, beyond.trailers.as_ref().map(Fields::len)))
    };
    assert_eq!(announced(&port), Some((true, None)), "they wait for the end");
    exchange.trailers(one("y", "2")).unwrap();
    exchange.finish(Outcome::Complete).unwrap();
    assert_eq!(announced(&port), Some((true, Some(2))));
    assert_eq!(exchange.trailers(one("x", "1")), Err(Stop::Misuse), "after the end");
    let (exchange, port) = wired(false, false);
    exchange.trailers(std::iter::empty()).unwrap();
    start(&exchange, 200, None).unwrap();
    exchange.trailers(one("x", "1")).unwrap();
    exchange.finish(Outcome::Complete).unwrap();
    assert!(lock(&port.state).out.beyond.is_none(), "nobody wants them");
}
