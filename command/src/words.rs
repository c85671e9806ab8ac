// SPDX-License-Identifier: MIT OR Apache-2.0
//! The words of the command line.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use gangway::supervise::control::Question;

const USAGE: &str = "usage: gangway [--run-directory DIR] COMMAND
  status [--json]           how applications in processes of their own do
  top [--interval SECONDS] [--count N]
                            what happens now, until q is pressed; without a terminal one page, or as many as N says
  restart [--no-wait] NAME  replaces the processes of an application, without losing a request
  stop [--no-wait] NAME     ends them; requests get 503
  start [--no-wait] NAME    starts them again
  why [ID]                  what went wrong lately; or all that is known of a request, by its id, or of a process, by its number
  check [--server PROGRAM] [-c CONFIG]
                            loads the applications of a configuration as their users; no server is started or told of it
  DIR                       the run directory of the server; without it all of /run/gangway-*, and one's own
  Root may do everything, the user of an application what is about that application.
  Ends with 0 when it was done, 1 when it did not go well, 2 for wrong words, 3 when no server answers, 4 when there is no such application.";
const VERSION: &str = concat!("gangway ", env!("CARGO_PKG_VERSION"));

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Ask(Words),
    Top(TopWords),
    Check(CheckWords),
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

/// Of `top`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TopWords {
    pub(crate) run_directory: Option<PathBuf>,
    pub(crate) interval: Duration,
    /// Pages, if not for ever.
    pub(crate) count: Option<u32>,
}

/// Of `check`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CheckWords {
    /// A file of a configuration, if not the server's own.
    pub(crate) config: Option<PathBuf>,
    /// The server's program.
    pub(crate) server: Option<PathBuf>,
}

/// Between two pages of `top`.
const INTERVAL: Duration = Duration::from_secs(2);

impl Words {
    /// The application that it is about.
    pub(crate) fn name(&self) -> &str {
        match &self.question {
            Question::Status => "",
            Question::Why(word) => word.as_deref().unwrap_or_default(),
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
            (Question::Status | Question::Why(_), _) => "",
        }
    }
}

/// What was read of the options.
struct Options {
    run_directory: Option<PathBuf>,
    json: bool,
    wait: bool,
    interval: Option<Duration>,
    count: Option<u32>,
    config: Option<PathBuf>,
    server: Option<PathBuf>,
}

/// Understands the words after the program's name.
///
/// # Errors
/// What is wrong, with the cure.
pub(crate) fn parse(mut words: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let mut options = Options {
        run_directory: None,
        json: false,
        wait: true,
        interval: None,
        count: None,
        config: None,
        server: None,
    };
    let mut plain = Vec::new();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy().into_owned();
        let (name, inline) =
            text.split_once('=').map_or((text.as_str(), None), |(name, value)| (name, Some(value)));
        let mut value = |example: &str| {
            let next = inline.map(OsString::from).or_else(|| words.next());
            next.ok_or_else(|| format!("{name} needs a value, such as {example}"))
        };
        match name {
            "-h" | "--help" => return Ok(Command::Say(USAGE)),
            "-V" | "--version" => return Ok(Command::Say(VERSION)),
            "--json" => options.json = true,
            "--no-wait" => options.wait = false,
            "--run-directory" => options.run_directory = Some(PathBuf::from(value("/run/gangway-33")?)),
            "-c" | "--config" => options.config = Some(PathBuf::from(value("/etc/nginx/nginx.conf")?)),
            "--server" => options.server = Some(PathBuf::from(value("/usr/sbin/nginx")?)),
            "--interval" => options.interval = Some(seconds(&value("2")?.to_string_lossy())?),
            "--count" => {
                let count = value("10")?.to_string_lossy().parse().ok().filter(|count| *count > 0);
                options.count = Some(count.ok_or("--count must be a whole number from 1 on")?);
            }
            _ if text.starts_with('-') => return Err(format!("unknown option \"{text}\"\n{USAGE}")),
            _ => plain.push(text),
        }
    }
    command(&plain, options)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse::<f64>().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    number
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "--interval must be a number of seconds from 0.1 to 3600".to_owned())
}

fn command(plain: &[String], options: Options) -> Result<Command, String> {
    let Options { run_directory, json, wait, interval, count, config, server } = options;
    let verb = plain.first().map(String::as_str).unwrap_or_default();
    if json && verb != "status" {
        return Err("--json is for status".to_owned());
    }
    if verb != "top" && (interval.is_some() || count.is_some()) {
        return Err("--interval and --count are for top".to_owned());
    }
    if verb != "check" && (config.is_some() || server.is_some()) {
        return Err("-c and --server are for check".to_owned());
    }
    match (verb, plain.get(1)) {
        ("top" | "check", Some(word)) => Err(format!("\"{word}\" is one word too many")),
        ("top", None) => {
            Ok(Command::Top(TopWords { run_directory, interval: interval.unwrap_or(INTERVAL), count }))
        }
        ("check", None) => Ok(Command::Check(CheckWords { config, server })),
        _ => Ok(Command::Ask(Words { run_directory, question: question(plain)?, json, wait })),
    }
}

fn question(words: &[String]) -> Result<Question, String> {
    let mut words = words.iter();
    let verb = words.next().ok_or(USAGE)?;
    let question = match verb.as_str() {
        "status" => Question::Status,
        "why" => Question::Why(words.next().cloned()),
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
            ("why", None, Question::Why(None), false, true),
            ("why 12ab", None, Question::Why(Some("12ab".into())), false, true),
        ] {
            let words = Words { run_directory: run_directory.map(PathBuf::from), question, json, wait };
            assert_eq!(parsed(text).unwrap(), Command::Ask(words), "{text}");
        }
        let top = TopWords { run_directory: None, interval: INTERVAL, count: None };
        assert_eq!(parsed("top"), Ok(Command::Top(top)));
        let (interval, run_directory) = (Duration::from_millis(500), Some("/r".into()));
        let top = TopWords { run_directory, interval, count: Some(3) };
        assert_eq!(parsed("top --interval=0.5 --count 3 --run-directory /r"), Ok(Command::Top(top)));
        let check = CheckWords { config: Some("/n.conf".into()), server: Some("nginx".into()) };
        assert_eq!(parsed("check -c /n.conf --server=nginx"), Ok(Command::Check(check)));
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
            ("top blog", "\"blog\" is one word too many"),
            ("top --json", "is for status"),
            ("top --interval 0", "from 0.1 to 3600"),
            ("top --count 0", "from 1 on"),
            ("status --count 1", "are for top"),
            ("status -c x", "are for check"),
            ("check x", "\"x\" is one word too many"),
            ("check --server", "needs a value"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
