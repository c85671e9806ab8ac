// SPDX-License-Identifier: MIT OR Apache-2.0
//! The exchange against a model that says in few lines what a response is.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Call {
    Start {
        status: u16,
        length: Option<u64>,
    },
    Write {
        kind: Kind,
        length: usize,
        flush: bool,
    },
    Flush,
    Finish(Outcome),
    Cancel,
    /// The client reads, or does not.
    Full(bool),
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Copied,
    Lent,
    File,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let kind = prop_oneof![Just(Kind::Copied), Just(Kind::Lent), Just(Kind::File)];
    let status = prop_oneof![4 => Just(200u16), 1 => Just(204u16), 1 => Just(304u16), 1 => Just(99u16)];
    let call = prop_oneof![
        3 => (status, proptest::option::of(0u64..12)).prop_map(|(status, length)| Call::Start { status, length }),
        8 => (kind, 0usize..6, any::<bool>())
            .prop_map(|(kind, length, flush)| Call::Write { kind, length, flush }),
        2 => Just(Call::Flush),
        1 => prop_oneof![Just(Outcome::Complete), Just(Outcome::Failed)].prop_map(Call::Finish),
        1 => any::<bool>().prop_map(Call::Full),
    ];
    // Cancelled at most once, near the end, so that most runs see the other rules.
    (proptest::collection::vec(call, 0..20), proptest::bool::weighted(0.2)).prop_map(|(mut calls, cancel)| {
        if cancel {
            calls.insert(calls.len() / 2, Call::Cancel);
        }
        calls.push(Call::Full(false));
        calls.push(Call::Finish(Outcome::Complete));
        calls
    })
}

#[derive(Default)]
struct Model {
    no_body: bool,
    started: bool,
    ended: Option<End>,
    drop_body: bool,
    remaining: Option<u64>,
    /// Accepted and not delivered, besides the head.
    staged: Vec<u8>,
    weight: usize,
    head_staged: bool,
    left: Vec<u8>,
    head_left: bool,
    cancelled: bool,
    full: bool,
    lent: usize,
    codes: Vec<&'static str>,
}

impl Model {
    fn deliver(&mut self) {
        self.left.append(&mut self.staged);
        self.weight = 0;
        self.head_left |= std::mem::take(&mut self.head_staged);
    }

    fn misuse(&mut self) -> Result<(), Stop> {
        self.codes.push("GW0207");
        Err(Stop::Misuse)
    }

    fn start(&mut self, status: u16, length: Option<u64>) -> Result<(), Stop> {
        if self.cancelled {
            return Err(Stop::Cancelled);
        }
        if self.started || self.ended.is_some() {
            return self.misuse();
        }
        if status == 99 {
            self.codes.push("GW0502");
            return Err(Stop::Invalid);
        }
        (self.started, self.head_staged) = (true, true);
        self.drop_body = self.no_body || status != 200;
        self.remaining = if self.drop_body { None } else { length };
        Ok(())
    }

    /// Whether what is staged has to leave, with so much more.
    fn leaves(&self, flush: bool, more: usize) -> bool {
        (flush && (self.head_staged || self.weight + more > 0)) || self.weight + more > 64 * 1024
    }

    fn write(&mut self, kind: Kind, bytes: &[u8], flush: bool) -> Result<(), Stop> {
        if self.cancelled {
            return Err(Stop::Cancelled);
        }
        if !self.started || self.ended.is_some() {
            return self.misuse();
        }
        let bytes = if self.drop_body { &[] } else { bytes };
        let weigh = |length: usize| match kind {
            Kind::File if length > 0 => 16 * 1024,
            _ => length,
        };
        if self.leaves(flush, weigh(bytes.len())) && self.full {
            return Err(Stop::Again);
        }
        let allowed = self.remaining.map_or(bytes.len(), |left| bytes.len().min(left as usize));
        self.staged.extend_from_slice(&bytes[..allowed]);
        self.weight += weigh(allowed);
        self.remaining = self.remaining.map(|left| left - allowed as u64);
        if self.leaves(flush, 0) {
            self.deliver();
        }
        if allowed < bytes.len() {
            self.codes.push("GW0503");
            return Err(Stop::Invalid);
        }
        Ok(())
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), Stop> {
        if self.ended.is_some() {
            return self.misuse();
        }
        let short = self.remaining.is_some_and(|left| left > 0);
        if outcome == Outcome::Complete && !self.cancelled {
            self.codes.extend((!self.started).then_some("GW0506"));
            self.codes.extend(short.then_some("GW0504"));
        }
        if outcome == Outcome::Complete && self.started && !short {
            self.ended = Some(End::Complete);
        } else {
            self.ended = Some(End::Failed);
            if !self.head_left {
                self.staged.clear();
                self.head_staged = false;
            }
        }
        self.deliver();
        Ok(())
    }
}

const BYTES: &[u8] = b"abcdef";

/// Makes one call on both sides; they answer the same.
fn make(call: &Call, exchange: &Exchange, port: &Fake, lender: &Lender, model: &mut Model) {
    match call {
        Call::Start { status, length } => {
            assert_eq!(start(exchange, *status, *length), model.start(*status, *length));
        }
        Call::Write { kind, length, flush } => {
            let (piece, bytes) = match kind {
                Kind::Copied => (Piece::Copied(BYTES[..*length].to_vec()), BYTES[..*length].to_vec()),
                Kind::Lent => (lender.lend(&BYTES[..*length]), BYTES[..*length].to_vec()),
                Kind::File => (file(65, *length as u64), (65..65 + *length as u8).collect()),
            };
            let answer = give_back(exchange.write(piece, *flush, Wait::No));
            let taken_over = matches!(answer, Ok(()) | Err(Stop::Invalid));
            model.lent += usize::from(taken_over && matches!(kind, Kind::Lent));
            assert_eq!(answer, model.write(*kind, &bytes, *flush));
        }
        Call::Flush => assert_eq!(exchange.flush(Wait::No), model.write(Kind::Copied, b"", true)),
        Call::Finish(outcome) => assert_eq!(exchange.finish(*outcome), model.finish(*outcome)),
        Call::Cancel => {
            exchange.cancel(Cause::ClientGone);
            model.cancelled = true;
        }
        Call::Full(full) => {
            port.set_full(*full);
            model.full = *full;
        }
    }
    assert_eq!(port.body(), model.left);
    assert_eq!((port.has_head(), port.end()), (model.head_left, model.ended));
    assert_eq!(port.codes(), std::mem::take(&mut model.codes));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 2000 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_exchange_does_what_the_model_says(calls in calls(), no_body in proptest::bool::weighted(0.1)) {
        let (exchange, port) = Fake::exchange(RequestHead { no_body, ..RequestHead::default() });
        let (lender, mut model) = (Lender::default(), Model { no_body, ..Model::default() });
        for call in &calls {
            make(call, &exchange, &port, &lender, &mut model);
        }
        prop_assert!(exchange.is_finished());
        drop((exchange, port));
        prop_assert_eq!(lender.released(), model.lent, "each accepted loan is released once");
    }

    #[test]
    fn joined_deliveries_are_their_parts_in_order(
        parts in proptest::collection::vec((0u8..3, 0usize..if cfg!(miri) { 50 } else { 5000 }, any::<bool>()), 0..30),
    ) {
        let (mut joined, mut one_by_one, mut expected) = (Delivery::default(), Delivery::default(), Vec::new());
        let mut current = Delivery::default();
        for (kind, length, cut) in parts {
            let piece = |kind| match kind {
                0 => Piece::Copied(vec![b'c'; length]),
                1 => Lender::default().lend(&[b'l'; 5000][..length]),
                _ => file(length as u64, 3),
            };
            expected.extend(bytes_of(&piece(kind)));
            current.push(piece(kind));
            one_by_one.push(piece(kind));
            if cut {
                joined.append(std::mem::take(&mut current));
            }
        }
        joined.append(current);
        for delivery in [&joined, &one_by_one] {
            prop_assert!(delivery.pieces.iter().all(|piece| !piece.is_empty()));
            let all: Vec<u8> = delivery.pieces.iter().flat_map(bytes_of).collect();
            prop_assert!(all == expected, "the bytes are the same");
        }
        let weight: usize = joined.pieces.iter().map(Piece::weight).sum();
        prop_assert_eq!(joined.weight(), weight);
    }
}
