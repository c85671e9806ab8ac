// SPDX-License-Identifier: MIT OR Apache-2.0
//! The committed inputs, spoiled in an order that is the same each time; and inputs made of them at random.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use super::*;

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 18] = [
    ("head", head),
    ("variables", variables),
    ("words", words),
    ("fields", fields),
    ("line", line),
    ("fastcgi_response", fastcgi_response),
    ("fastcgi_request", fastcgi_request),
    ("scgi_uwsgi_response", scgi_uwsgi_response),
    ("cgi_response", cgi_response),
    ("request", request),
    ("script", script),
    ("spawn_request", spawn_request),
    ("cgi_path", cgi_path),
    ("stderr", stderr),
    ("relay", relay),
    ("websocket", websocket),
    ("websocket_handshake", websocket_handshake),
    ("lanes", lanes),
];

fn below_fuzz(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(path)
}

/// The committed inputs of a target, in the order of their names.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = below_fuzz("corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 3, "{} inputs in {}", files.len(), folder.display());
    files.into_iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// Runs a body, and says for which input it panicked.
fn check((name, body): Target, input: &[u8], origin: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(input))) {
        eprintln!("{name} fails for b\"{}\" ({origin})", input.escape_ascii());
        resume_unwind(panic);
    }
}

/// Each input whole, cut at every place and with each byte spoiled.
#[test]
fn the_corpus_holds() {
    for target in TARGETS {
        for input in corpus(target.0) {
            check(target, &input, "committed");
            for at in 0..input.len() {
                check(target, &input[..at], "cut");
                for spoiled in [0, b'\n', b' ', b'-', b'0', b':', b'=', b'_', 0x7f, PAIR, PART] {
                    let mut input = input.clone();
                    input[at] = spoiled;
                    check(target, &input, "spoiled");
                }
            }
        }
    }
}

/// Numbers that look random and are the same for the same seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        number as usize % sides.max(1)
    }

    /// One change of an input; `other` is one to take from.
    fn change(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        const BYTES: &[u8] = b"\0\x01\x03\x06\x07\x08\t\n\r :/.0129AHS_-=;\x7f\x80\xfe\xff";
        let at = self.roll(input.len() + 1);
        let end = at + self.roll((input.len() - at).min(40) + 1);
        match self.roll(7) {
            0 => input.truncate(at),
            1 => drop(input.drain(at..end)),
            2 => input.insert(at, BYTES[self.roll(BYTES.len())]),
            3 => {
                let again = input[at..end].to_vec();
                input.splice(at..at, again);
            }
            4 => {
                let from = self.roll(other.len() + 1);
                let to = from + self.roll(other.len() - from + 1);
                input.splice(at..end, other[from..to].iter().copied());
            }
            change => {
                if let Some(byte) = input.get_mut(at) {
                    *byte =
                        if change == 5 { *byte ^ 1 << self.roll(8) } else { BYTES[self.roll(BYTES.len())] };
                }
            }
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// `make fuzz` sets the two variables; without them each run is the same.
#[test]
fn changed_inputs_hold() {
    let (runs, seed) = (setting("GANGWAY_FUZZ_RUNS", 1_000), setting("GANGWAY_FUZZ_SEED", 1));
    for target in TARGETS {
        let inputs = corpus(target.0);
        for run in 0..runs {
            // Two seeds that differ in one bit shall not roll alike.
            let mut dice = Dice((seed << 32 | run).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut input = inputs[dice.roll(inputs.len())].clone();
            for _ in 0..=dice.roll(6) {
                let other = dice.roll(inputs.len());
                dice.change(&mut input, &inputs[other]);
            }
            check(target, &input, &format!("seed {seed}, run {run}"));
        }
    }
}

#[test]
fn the_fuzzer_has_the_same_targets() {
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(below_fuzz(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().into()).collect()
    };
    let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).into()).collect();
    assert_eq!(names("targets"), known);
    assert_eq!(names("corpus"), known);
    let manifest = std::fs::read_to_string(below_fuzz("Cargo.toml")).unwrap();
    for name in &known {
        assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"targets/{name}.rs\"")), "{name}");
        let source = std::fs::read_to_string(below_fuzz(&format!("targets/{name}.rs"))).unwrap();
        assert!(source.contains(&format!("|data: &[u8]| gangway::fuzzing::{name}(data)")), "{name}");
    }
}
