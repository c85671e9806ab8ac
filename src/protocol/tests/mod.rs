// SPDX-License-Identifier: MIT OR Apache-2.0
//! The protocols against the specifications' own bytes, against decoders written a second time, and cut anywhere.

mod backend;
mod encode;
mod lanes;
mod requests;
mod response;
mod round_trips;

use super::*;

/// Everything that a decoder tells, with neighbouring parts of one kind put together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    events: Vec<What>,
    /// What `finish` says, or the error that came first.
    end: Option<DecodeError>,
    ended: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    Output(Vec<u8>),
    Errors(Vec<u8>),
    OutputEnd,
    End(u32),
}

impl Told {
    fn add(&mut self, event: ResponseEvent<'_>) {
        match (event, self.events.last_mut()) {
            (ResponseEvent::More, _) => {}
            (ResponseEvent::Output(more), Some(What::Output(bytes)))
            | (ResponseEvent::Errors(more), Some(What::Errors(bytes))) => {
                bytes.extend_from_slice(more);
            }
            (ResponseEvent::Output(bytes), _) => self.events.push(What::Output(bytes.to_vec())),
            (ResponseEvent::Errors(bytes), _) => self.events.push(What::Errors(bytes.to_vec())),
            (ResponseEvent::OutputEnd, _) => self.events.push(What::OutputEnd),
            (ResponseEvent::End(status), _) => self.events.push(What::End(status.application)),
        }
    }
}

fn output(bytes: &[u8]) -> What {
    What::Output(bytes.to_vec())
}

fn errors(bytes: &[u8]) -> What {
    What::Errors(bytes.to_vec())
}

fn run<'p>(protocol: &dyn Protocol, parts: impl IntoIterator<Item = &'p [u8]>) -> Told {
    run_with(protocol, parts, false)
}

/// Feeds the parts one after the other and checks the contract of `decode` on the way. `passes`: parts that need not be
/// looked at are not.
fn run_with<'p>(protocol: &dyn Protocol, parts: impl IntoIterator<Item = &'p [u8]>, passes: bool) -> Told {
    let mut decoder = protocol.decoder();
    let mut told = Told::default();
    for mut part in parts {
        if passes && !part.is_empty() && decoder.pass(part.len()) {
            told.add(ResponseEvent::Output(part));
            continue;
        }
        loop {
            match decoder.decode(part) {
                Ok((used, ResponseEvent::More)) => {
                    assert_eq!(used, part.len(), "more is wanted before all was taken");
                    break;
                }
                Ok((used, event)) => {
                    assert!(used > 0 || part.is_empty(), "{event:?} came from nothing");
                    if let ResponseEvent::Output(bytes) | ResponseEvent::Errors(bytes) = event {
                        assert!(!bytes.is_empty() && bytes.len() <= used);
                    }
                    told.add(event);
                    part = &part[used..];
                }
                Err(error) => {
                    assert_eq!(decoder.decode(part), Err(error), "an error stays");
                    assert_eq!(decoder.finish(), Err(error));
                    return Told { end: Some(error), ended: decoder.ended(), ..told };
                }
            }
        }
    }
    Told { end: decoder.finish().err(), ended: decoder.ended(), ..told }
}

/// The same at once, cut in two at every place, and byte by byte.
fn run_all_ways(protocol: &dyn Protocol, wire: &[u8]) -> Told {
    let told = run(protocol, [wire]);
    for cut in 0..=wire.len() {
        let (head, tail) = wire.split_at(cut);
        for passes in [false, true] {
            assert_eq!(run_with(protocol, [head, tail], passes), told, "cut after byte {cut}");
        }
    }
    for passes in [false, true] {
        assert_eq!(run_with(protocol, wire.chunks(1), passes), told, "byte by byte");
    }
    told
}

fn fields(pairs: &[(&[u8], &[u8])]) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in pairs {
        fields.push(name, value);
    }
    fields
}
