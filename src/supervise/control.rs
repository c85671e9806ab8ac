// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `gangway` asks of a supervisor over its control socket, and what it hears.
//!
//! ```text
//! gangway 1 restart blog                                    a question is one line
//! gangway 1 ok                                              the answer's first line; or: gangway 1 no REFUSAL
//! application<TAB>name:blog<TAB>generation=2                records: a kind, then numbers (=) and texts (:)
//! end                                                       its last line, without which it is not whole
//! ```

use std::fmt;

/// The first words of both, with the version of all this.
const GREETING: &str = "gangway 1 ";
/// The last line.
const END: &str = "end";
/// The longest question. Names have 64 characters or those of a file.
pub const LONGEST_QUESTION: usize = 512;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// How do applications do?
    Status,
    /// Replace the processes of this one.
    Restart(String),
    /// End its processes, and start none.
    Stop(String),
    /// Start processes again.
    Start(String),
    /// What went wrong last; or with the request of this id, or the process of this number.
    Why(Option<String>),
}

/// Why a question is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlRefusal {
    /// It is no question of this version.
    Misunderstood,
    /// There is no such application, or it is somebody else's.
    Unknown,
    /// It was stopped, and has to be started.
    Stopped,
    /// Nothing is known of such a request or process.
    Untold,
}

/// A number or a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A number.
    Number(u64),
    /// A text of any bytes that are UTF-8.
    Text(String),
}

/// A line of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// What it is about.
    pub kind: String,
    /// What is said of it.
    pub fields: Vec<(String, Field)>,
}

impl Question {
    /// The line, with its end.
    #[must_use]
    pub fn encode(&self) -> String {
        let (verb, name) = match self {
            Self::Status => return format!("{GREETING}status\n"),
            Self::Restart(name) => ("restart", name),
            Self::Stop(name) => ("stop", name),
            Self::Start(name) => ("start", name),
            Self::Why(None) => return format!("{GREETING}why\n"),
            Self::Why(Some(word)) => ("why", word),
        };
        format!("{GREETING}{verb} {}\n", escape(name))
    }

    /// Understands a line without its end.
    #[must_use]
    pub fn decode(line: &[u8]) -> Option<Self> {
        let words = std::str::from_utf8(line).ok()?.strip_prefix(GREETING)?;
        match words {
            "status" => return Some(Self::Status),
            "why" => return Some(Self::Why(None)),
            _ => {}
        }
        let (verb, name) = words.split_once(' ')?;
        let name = unescape(name)?;
        match verb {
            _ if name.is_empty() => None,
            "restart" => Some(Self::Restart(name)),
            "stop" => Some(Self::Stop(name)),
            "start" => Some(Self::Start(name)),
            "why" => Some(Self::Why(Some(name))),
            _ => None,
        }
    }
}

impl Record {
    /// One without fields.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        Self { kind: kind.to_owned(), fields: Vec::new() }
    }

    /// With a number.
    #[must_use]
    pub fn number(mut self, key: &str, number: u64) -> Self {
        self.fields.push((key.to_owned(), Field::Number(number)));
        self
    }

    /// With a text.
    #[must_use]
    pub fn text(mut self, key: &str, text: &str) -> Self {
        self.fields.push((key.to_owned(), Field::Text(text.to_owned())));
        self
    }

    /// A number that is said.
    #[must_use]
    pub fn number_of(&self, wanted: &str) -> Option<u64> {
        self.fields.iter().find_map(|(key, field)| match field {
            Field::Number(number) if key == wanted => Some(*number),
            _ => None,
        })
    }

    /// A text that is said.
    #[must_use]
    pub fn text_of(&self, wanted: &str) -> Option<&str> {
        self.fields.iter().find_map(|(key, field)| match field {
            Field::Text(text) if key == wanted => Some(text.as_str()),
            _ => None,
        })
    }

    fn encode(&self, out: &mut String) {
        out.push_str(&self.kind);
        for (key, field) in &self.fields {
            out.push('\t');
            out.push_str(key);
            match field {
                Field::Number(number) => out.push_str(&format!("={number}")),
                Field::Text(text) => {
                    out.push(':');
                    out.push_str(&escape(text));
                }
            }
        }
        out.push('\n');
    }

    fn decode(line: &str) -> Option<Self> {
        let mut parts = line.split('\t');
        let mut record = Self::new(parts.next()?);
        for part in parts {
            let at = part.find(['=', ':'])?;
            let (key, value) = part.split_at(at);
            let field = match value.strip_prefix('=') {
                Some(number) => Field::Number(number.parse().ok()?),
                None => Field::Text(unescape(value.get(1..)?)?),
            };
            record.fields.push((key.to_owned(), field));
        }
        Some(record)
    }
}

/// The text of an answer.
#[must_use]
pub fn encode_answer(answer: &Result<Vec<Record>, ControlRefusal>) -> String {
    let mut out = GREETING.to_owned();
    match answer {
        Ok(records) => {
            out.push_str("ok\n");
            records.iter().for_each(|record| record.encode(&mut out));
        }
        Err(refusal) => out.push_str(&format!("no {}\n", refusal.word())),
    }
    out.push_str(END);
    out.push('\n');
    out
}

/// Understands an answer. `None` is one that is not whole, or not of this version.
#[must_use]
pub fn decode_answer(text: &str) -> Option<Result<Vec<Record>, ControlRefusal>> {
    let mut lines = text.strip_suffix('\n')?.split('\n').collect::<Vec<_>>();
    if lines.pop() != Some(END) {
        return None;
    }
    let (first, records) = lines.split_first()?;
    match first.strip_prefix(GREETING)? {
        "ok" => records.iter().map(|line| Record::decode(line)).collect::<Option<_>>().map(Ok),
        said => ControlRefusal::of(said.strip_prefix("no ")?).map(Err),
    }
}

impl ControlRefusal {
    fn word(self) -> &'static str {
        match self {
            Self::Misunderstood => "misunderstood",
            Self::Unknown => "unknown",
            Self::Stopped => "stopped",
            Self::Untold => "untold",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::Misunderstood, Self::Unknown, Self::Stopped, Self::Untold]
            .into_iter()
            .find(|refusal| refusal.word() == word)
    }
}

impl fmt::Display for ControlRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Misunderstood => "the server does not understand this; is it of another version?",
            Self::Unknown => "there is no such application, or it belongs to another user",
            Self::Stopped => "it was stopped; start it",
            Self::Untold => {
                "nothing is known of it: the last things that went wrong are kept, those of your own applications; \"gangway why\" shows them"
            }
        })
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n")
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        out.push(match char {
            '\\' => match chars.next()? {
                '\\' => '\\',
                't' => '\t',
                'n' => '\n',
                _ => return None,
            },
            char => char,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(question: &Question) -> Option<Question> {
        Question::decode(question.encode().trim_end_matches('\n').as_bytes())
    }

    #[test]
    fn what_is_asked_is_understood() {
        for question in [
            Question::Status,
            Question::Restart("blog".into()),
            Question::Stop("a b\tc\\n\n".into()),
            Question::Start("\u{fc}ber".into()),
            Question::Why(None),
            Question::Why(Some("12@x y".into())),
        ] {
            assert_eq!(whole(&question), Some(question));
        }
        for line in [
            &b""[..],
            b"status",
            b"gangway 2 status",
            b"gangway 1 status ",
            b"gangway 1 restart",
            b"gangway 1 restart ",
            b"gangway 1 destroy blog",
            b"gangway 1 why ",
            b"gangway 1 stop \\",
            b"gangway 1 stop \xff",
            b"GET / HTTP/1.1",
        ] {
            assert_eq!(Question::decode(line), None, "{line:?}");
        }
    }

    #[test]
    fn what_is_answered_is_understood_if_it_is_whole() {
        let records = vec![
            Record::new("application")
                .text("name", "blog:a=b")
                .number("generation", u64::MAX)
                .text("reason", ""),
            Record::new("process").number("pid", 7).text("state", "a\tb\nc\\"),
        ];
        for answer in
            [Ok(records), Ok(Vec::new()), Err(ControlRefusal::Unknown), Err(ControlRefusal::Stopped)]
        {
            let text = encode_answer(&answer);
            assert!((0..text.len()).all(|cut| decode_answer(&text[..cut]).is_none()), "{text}");
            assert_eq!(decode_answer(&text), Some(answer));
        }
        for text in
            ["gangway 1 ok\nx\ta\nend\n", "gangway 1 ok\nx\ta=b\nend\n", "gangway 1 no way\nend\n", "end\n"]
        {
            assert_eq!(decode_answer(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn anything_may_come(line: Vec<u8>, text: String) {
            let _ = Question::decode(&line);
            let _ = decode_answer(&text);
            let _ = decode_answer(&format!("gangway 1 ok\n{text}\nend\n"));
            proptest::prop_assert_eq!(unescape(&escape(&text)), Some(text));
        }
    }
}
