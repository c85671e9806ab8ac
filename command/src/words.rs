// SPDX-License-Identifier: MIT OR Apache-2.0
//! The words of the command line.

use std::{ffi::OsString, path::PathBuf};

use gangway::supervise::control::Question;

const USAGE: &str = "usage: gangway [--run-directory DIR] COMMAND
  status [--json]           how applications in processes of their own do
  restart [--no-wait] NAME  replaces the processes of an application, without losing a request
  stop [--no-wait] NAME     ends them; requests get 503
  start [--no-wait] NAME    starts them again
  DIR                       the run directory of the server; without it all of /run/gangway-*, and one's own
  Root may do everything, the user of an application what is about that application.
  Ends with 0 when it was done, 1 when it did not go well, 2 for wrong words, 3 when no server answers, 4 when there is no such application.";
const VERSION: &str = concat!("gangway ", env!("CARGO_PKG_VERSION"));

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Ask(Words),
    /// Print this and end.
    Say(&'static str),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) run_directory: Option<PathBuf>,
    pub(crate) question: Question,
    pub(crate) json: bool,
    pub(crate) wait: bool,
}

impl Words {
    /// The application that it is about.
    pub(crate) fn name(&self) -> &str {
        match &self.question {
            Question::Status => "",
            Question::Restart(name) | Question::Stop(name) | Question::Start(name) => name,
        }
    }

    /// What has been done.
    pub(crate) fn past(&self) -> &'static str {
        match (&self.question, self.wait) {
            (Question::Restart(_), true) => "restarted",
            (Question::Restart(_), false) => "is being restarted",
            (Question::Stop(_), true) => "stopped",
            (Question::Stop(_), false) => "is being stopped",
            (Question::Start(_), true) => "started",
            (Question::Start(_), false) => "is being started",
            (Question::Status, _) => "",
        }
    }
}

/// Understands the words after the program's name.
///
/// # Errors
/// What is wrong, with the cure.
pub(crate) fn parse(words: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let (mut run_directory, mut json, mut wait, mut plain) = (None, false, true, Vec::new());
    let mut words = words;
    while let Some(word) = words.next() {
        let text = word.to_string_lossy().into_owned();
        match text.as_str() {
            "-h" | "--help" => return Ok(Command::Say(USAGE)),
            "-V" | "--version" => return Ok(Command::Say(VERSION)),
            "--json" => json = true,
            "--no-wait" => wait = false,
            "--run-directory" => {
                let value =
                    words.next().ok_or("--run-directory needs a value, such as /run/gangway-nginx")?;
                run_directory = Some(PathBuf::from(value));
            }
            _ => match text.strip_prefix("--run-directory=") {
                Some(value) => run_directory = Some(PathBuf::from(value)),
                None if text.starts_with('-') => return Err(format!("unknown option \"{text}\"\n{USAGE}")),
                None => plain.push(text),
            },
        }
    }
    let question = question(&plain)?;
    if json && question != Question::Status {
        return Err("--json is for status".to_owned());
    }
    Ok(Command::Ask(Words { run_directory, question, json, wait }))
}

fn question(words: &[String]) -> Result<Question, String> {
    let mut words = words.iter();
    let verb = words.next().ok_or(USAGE)?;
    let question = match verb.as_str() {
        "status" => Question::Status,
        "restart" | "stop" | "start" => {
            let name = words.next().ok_or_else(|| {
                format!("{verb} needs the name of an application; gangway status shows them")
            })?;
            match verb.as_str() {
                "restart" => Question::Restart(name.clone()),
                "stop" => Question::Stop(name.clone()),
                _ => Question::Start(name.clone()),
            }
        }
        _ => return Err(format!("unknown command \"{verb}\"\n{USAGE}")),
    };
    match words.next() {
        Some(word) => Err(format!("\"{word}\" is one word too many")),
        None => Ok(question),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<Command, String> {
        parse(words.split_whitespace().map(OsString::from))
    }

    #[test]
    fn words_are_understood_in_any_order() {
        for (text, run_directory, question, json, wait) in [
            ("status", None, Question::Status, false, true),
            ("--run-directory /r status --json", Some("/r"), Question::Status, true, true),
            ("restart blog", None, Question::Restart("blog".into()), false, true),
            (
                "stop --run-directory=/r blog --no-wait",
                Some("/r"),
                Question::Stop("blog".into()),
                false,
                false,
            ),
            ("start blog", None, Question::Start("blog".into()), false, true),
        ] {
            let words = Words { run_directory: run_directory.map(PathBuf::from), question, json, wait };
            assert_eq!(parsed(text).unwrap(), Command::Ask(words), "{text}");
        }
        assert_eq!(parsed("--help"), Ok(Command::Say(USAGE)));
        assert_eq!(parsed("status -V"), Ok(Command::Say(VERSION)));
    }

    #[test]
    fn each_mistake_is_named() {
        for (text, part) in [
            ("", "usage:"),
            ("reload", "unknown command \"reload\""),
            ("restart", "needs the name"),
            ("restart a b", "\"b\" is one word too many"),
            ("status --jason", "unknown option \"--jason\""),
            ("stop a --json", "is for status"),
            ("status --run-directory", "needs a value"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
