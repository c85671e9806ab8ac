// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lines for the server's own error log.
//!
//! A line is an event of `tracing`. The subscriber of this process makes the server's line of it: one about the
//! process goes to the [`Sink`] that the server module installed, one about a request to its [`RequestLog`], if that
//! takes lines of its level. [`observe`] lets another subscriber see the same events, and the spans of requests.

mod subscriber;

pub use subscriber::observe;
pub(crate) use subscriber::subscribe;

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

/// The log of one request, on the thread that may use it.
pub trait RequestLog {
    /// Whether it takes lines of this level. One that it does not take is not made, unless somebody else wants it.
    fn takes(&self, level: Level) -> bool;

    /// Writes one line, with the context of the request.
    fn write(&self, level: Level, line: &str);
}

/// A line that is to be written: what the core decides, for whoever has the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How important it is.
    pub level: Level,
    /// Its code.
    pub code: Code,
    /// What it says behind the code.
    pub text: String,
}

impl Line {
    /// A line of the level of errors.
    #[must_use]
    pub fn error(code: Code, text: String) -> Self {
        Self { level: Level::Error, code, text }
    }

    /// Writes it to a request's log.
    pub fn tell(&self, log: &dyn RequestLog) {
        if wants(log, self.level) {
            request(log, self.level, self.code, format_args!("{}", self.text));
        }
    }

    /// Writes it as one about the process.
    pub fn tell_process(&self) {
        coded(self.level, self.code, format_args!("{}", self.text));
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
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

/// Writes a line about one request, whose code comes first if it has one. [`report!`](crate::report) does it without
/// making the text for nothing.
pub fn request(log: &dyn RequestLog, level: Level, code: impl Into<Option<Code>>, text: fmt::Arguments<'_>) {
    if let Some(line) = subscriber::request(log.takes(level), level, code.into(), text) {
        log.write(level, &line);
    }
}

/// Whether somebody wants a line of this level about a request.
#[must_use]
pub fn wants(log: &dyn RequestLog, level: Level) -> bool {
    log.takes(level) || subscriber::is_observed()
}

/// Whether somebody beside the server's log wants to know of requests.
#[must_use]
pub fn is_observed() -> bool {
    subscriber::is_observed()
}

/// Writes a line about one request, if somebody wants it: `report!(log, Error, CODE, "text {}", value)`, with `None` for one
/// without a code. The values are looked at only then.
#[macro_export]
macro_rules! report {
    ($log:expr, $level:ident, $code:expr, $($text:tt)+) => {
        $crate::report_at!($log, $crate::log::Level::$level, $code, $($text)+)
    };
}

/// As [`report!`], with a level that is a value.
#[macro_export]
macro_rules! report_at {
    ($log:expr, $level:expr, $code:expr, $($text:tt)+) => {{
        let (log, level): (&dyn $crate::log::RequestLog, _) = (&$log, $level);
        if $crate::log::wants(log, level) {
            $crate::log::request(log, level, $code, format_args!($($text)+));
        }
    }};
}

/// Writes a line that has been an event already to the log of the process: its request has gone.
pub fn pass_on(level: Level, line: &str) {
    write(level, line);
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

/// The levels as `gangway-host` names them before a line that it sends to a server of its own kind: each is a byte that no line has.
const LEVELS: [(u8, Level); 6] = [
    (1, Level::Error),
    (2, Level::Warn),
    (3, Level::Notice),
    (4, Level::Info),
    (5, Level::Debug),
    (6, Level::Further),
];

/// The byte that says the level of the line behind it.
#[must_use]
pub fn level_byte(level: Level) -> u8 {
    LEVELS.iter().find(|(_, known)| *known == level).map_or(1, |(byte, _)| *byte)
}

/// The level that stands before a line, if there is one, and the line.
#[must_use]
pub fn leveled(line: &[u8]) -> (Option<Level>, &[u8]) {
    let level_of = |byte| LEVELS.iter().find(|(known, _)| *known == byte).map(|(_, level)| *level);
    match line.split_first() {
        Some((byte, rest)) => level_of(*byte).map_or((None, line), |level| (Some(level), rest)),
        None => (None, line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_stands_before_a_line_and_in_none() {
        for level in [Level::Error, Level::Warn, Level::Notice, Level::Info, Level::Debug, Level::Further] {
            let line = [&[level_byte(level)][..], b"text"].concat();
            assert_eq!(leveled(&line), (Some(level), &b"text"[..]));
            let forged = escape(&line);
            assert_eq!(leveled(forged.as_bytes()), (None, forged.as_bytes()));
        }
        assert_eq!((leveled(b""), leveled(b"text")), ((None, &b""[..]), (None, &b"text"[..])));
    }

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
