// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lines for the server's own error log.
//!
//! A line is an event of `tracing`. The subscriber of this process makes the server's line of it: one about the
//! process goes to the [`Sink`] that the server module installed, one about a request goes back to its caller, who
//! alone has that request's log. [`observe`] lets another subscriber see the same events, and the spans of requests.

mod subscriber;

pub use subscriber::observe;

use std::{
    fmt,
    sync::OnceLock,
    time::{Duration, Instant},
};

use crate::error::Code;

pub use gangway_abi::Level;

/// Where lines go: a server's error log.
///
/// Called from any thread. The line has no line end and no control bytes.
pub trait Sink: Send + Sync {
    /// Writes one line for the process.
    fn write(&self, level: Level, line: &str);
}

static SINK: OnceLock<Box<dyn Sink>> = OnceLock::new();

/// Installs the sink of this process. The first one stays: a server module calls this once per process.
pub fn install(sink: Box<dyn Sink>) {
    let _ = SINK.set(sink);
}

/// Writes a line about the process.
pub fn process(level: Level, line: &str) {
    subscriber::process(level, None, format_args!("{line}"));
}

/// Writes a coded line about the process.
pub fn coded(level: Level, code: Code, text: fmt::Arguments<'_>) {
    subscriber::process(level, Some(code), text);
}

/// Writes a coded line about one request.
pub fn request(request: &dyn Sink, level: Level, code: Code, text: fmt::Arguments<'_>) {
    request.write(level, &subscriber::request(level, Some(code), text));
}

/// What of a subscriber ends in the log of the process.
fn write(level: Level, line: &str) {
    match SINK.get() {
        Some(sink) => sink.write(level, &escape(line.as_bytes())),
        None => eprintln!("gangway: {line}"),
    }
}

/// Lets a few lines a second through, and counts the others.
#[derive(Debug, Default)]
pub struct Throttle(std::sync::Mutex<Second>);

#[derive(Debug, Default)]
struct Second {
    start: Option<Instant>,
    passed: u32,
    held: u64,
}

impl Throttle {
    const LINES: u32 = 5;

    /// The number of lines that were held back since the last one, if this one may pass.
    pub fn pass(&self, now: Instant) -> Option<u64> {
        // Poisoned or not: it is whole.
        let mut second = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let old =
            second.start.is_none_or(|start| now.saturating_duration_since(start) >= Duration::from_secs(1));
        if old {
            second.start = Some(now);
            second.passed = 0;
        }
        if second.passed == Self::LINES {
            second.held += 1;
            return None;
        }
        second.passed += 1;
        Some(std::mem::take(&mut second.held))
    }
}

/// Makes one printable line of bytes that a client or an application chose: control bytes and what is not UTF-8
/// become `\xNN`, so that nobody can forge a line of the log.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut line = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\t' => line.push('\t'),
                c if c.is_control() => push_hex(&mut line, u32::from(c)),
                c => line.push(c),
            }
        }
        for byte in chunk.invalid() {
            push_hex(&mut line, u32::from(*byte));
        }
    }
    line
}

fn push_hex(line: &mut String, value: u32) {
    use fmt::Write;
    // Writing to a String cannot fail.
    let _ = write!(line, "\\x{value:02x}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_bytes_cannot_forge_a_line() {
        assert_eq!(escape(b"a\r\nb\0\x1b[31m"), "a\\x0d\\x0ab\\x00\\x1b[31m");
    }

    #[test]
    fn a_flood_becomes_a_few_lines_a_second() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        for _ in 0..Throttle::LINES {
            assert_eq!(throttle.pass(start), Some(0));
        }
        assert_eq!(throttle.pass(start), None);
        assert_eq!(throttle.pass(start + Duration::from_millis(999)), None);
        assert_eq!(throttle.pass(start + Duration::from_secs(1)), Some(2));
        assert_eq!(throttle.pass(start + Duration::from_secs(9)), Some(0));
    }

    #[test]
    fn text_passes_and_broken_text_is_shown() {
        assert_eq!(escape("käse\t1".as_bytes()), "käse\t1");
        assert_eq!(escape(b"k\xe4se"), "k\\xe4se");
    }
}
