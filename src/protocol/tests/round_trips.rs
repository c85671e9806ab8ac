// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any request and any response, against the decoders of the application's side.

use proptest::{collection::vec, prelude::*};

use super::{backend::wire, *};
use crate::fuzzing::{encode_all, reference::*};

/// Lengths that are near a boundary more often than not.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0usize..40, 2 => 120usize..140, 1 => 250usize..260, 1 => 65_500usize..65_560, 1 => 0usize..140_000]
}

fn text(alphabet: std::ops::RangeInclusive<u8>) -> impl Strategy<Value = Vec<u8>> {
    // A cycle of a few bytes: what matters of long texts is their length.
    (vec(alphabet, 1..9), length())
        .prop_map(|(bytes, length)| bytes.into_iter().cycle().take(length).collect())
}

fn variables(alphabet: std::ops::RangeInclusive<u8>) -> impl Strategy<Value = Vec<NameValue>> {
    vec((text(alphabet.clone()), text(alphabet)), 0..12)
}

fn response() -> impl Strategy<Value = Vec<Record>> {
    let record = (prop_oneof![3 => Just(6u8), 1 => Just(7u8)], vec(any::<u8>(), 0..60), any::<u8>())
        .prop_map(|(kind, content, padding)| Record::padded(kind, &content, padding));
    vec(record, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fastcgi_requests_arrive(pairs in variables(0..=255), keep_connection: bool) {
        let settings = Settings { keep_connection, ..Settings::default() };
        let out = encode_all(&FastCgi, &settings, &pairs).unwrap();
        prop_assert!(fastcgi_head(&out) == (1, u8::from(keep_connection), pairs));
    }

    #[test]
    fn scgi_requests_arrive(pairs in variables(1..=255)) {
        match encode_all(&Scgi, &Settings::default(), &pairs) {
            Ok(out) => prop_assert!(scgi_head(&out)[2..] == pairs),
            Err(error) => {
                prop_assert_eq!(error, EncodeError::NoName);
                prop_assert!(pairs.iter().any(|(name, _)| name.is_empty()));
            }
        }
    }

    #[test]
    fn uwsgi_requests_arrive(pairs in variables(0..=255), modifier1: u8, modifier2: u8) {
        let settings = Settings { modifier1, modifier2, ..Settings::default() };
        let size: usize = pairs.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        match encode_all(&Uwsgi, &settings, &pairs) {
            Ok(out) => prop_assert!(uwsgi_head(&out) == (modifier1, modifier2, pairs)),
            Err(_) => prop_assert!(size > 65_535),
        }
    }

    /// However the records were cut and padded, both streams come out whole.
    #[test]
    fn fastcgi_responses_arrive(records in response(), application: u32, parts in vec(1usize..40, 1..60)) {
        let mut records: Vec<_> = records.into_iter().filter(|record| !record.content.is_empty()).collect();
        let stream = |kind| -> Vec<u8> {
            records.iter().filter(|record| record.kind == kind).flat_map(|record| record.content.clone()).collect()
        };
        let (stdout, stderr) = (stream(6), stream(7));
        let [a, b, c, d] = application.to_be_bytes();
        records.push(Record::padded(3, &[a, b, c, d, 0, 0, 0, 0], stdout.len() as u8));
        let wire = wire(&records);
        let mut rest = wire.as_slice();
        let mut cut = Vec::new();
        for size in parts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (part, more) = rest.split_at(rest.len().min(*size));
            cut.push(part);
            rest = more;
        }
        let told = run(&FastCgi, cut.clone());
        prop_assert_eq!(&run_with(&FastCgi, cut, true), &told);
        prop_assert!(told.ended && told.end.is_none());
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        for event in &told.events {
            match event {
                What::Output(bytes) => output.extend_from_slice(bytes),
                What::Errors(bytes) => errors.extend_from_slice(bytes),
                What::End(status) => prop_assert_eq!(*status, application),
                What::OutputEnd => prop_assert!(false, "nobody said so"),
            }
        }
        prop_assert!(output == stdout && errors == stderr);
    }

    #[test]
    fn pairs_of_the_core_are_those_of_the_reference(list in variables(0..=255)) {
        let out = encode_all(&FastCgi, &Settings::default(), &list).unwrap();
        let stream: Vec<u8> =
            records(&out).into_iter().filter(|record| record.kind == 4).flat_map(|record| record.content).collect();
        let read: Vec<_> =
            fastcgi::Pairs::new(&stream).map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        prop_assert!(read == list);
    }
}
