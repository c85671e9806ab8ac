// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway`: asks the supervisors of this machine's servers over their control sockets how applications in processes of their
//! own do, and has them restarted, stopped and started.

#![forbid(unsafe_code)]

mod json;
mod servers;
mod table;
mod wait;
mod words;

use std::{
    env,
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

use gangway::supervise::control::{ControlRefusal, Question};
use servers::{Heard, Server};
use words::{Command, Words};

/// What the program ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was done.
    Done = 0,
    /// It was not done, or did not go well.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// There is no server that answers.
    NoServer = 3,
    /// There is no such application, or it belongs to somebody else.
    Unknown = 4,
}

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let end = run(env::args_os().skip(1), &mut io::stdout(), &mut io::stderr());
    ExitCode::from(end as u8)
}

/// The program, with its words and where it writes.
pub fn run(words: impl Iterator<Item = OsString>, out: &mut dyn Write, errors: &mut dyn Write) -> End {
    let words = match words::parse(words) {
        Ok(Command::Say(text)) => {
            // Nobody reads it.
            let _ = writeln!(out, "{text}");
            return End::Done;
        }
        Ok(Command::Ask(words)) => words,
        Err(error) => {
            let _ = writeln!(errors, "gangway: {error}");
            return End::Usage;
        }
    };
    let asked = match words.question {
        Question::Status => show(&words, out),
        _ => act(&words, out),
    };
    asked.unwrap_or_else(|(end, text)| {
        let _ = writeln!(errors, "gangway: {text}");
        end
    })
}

/// An end, with what is said about it.
type Trouble = (End, String);

fn show(words: &Words, out: &mut dyn Write) -> Result<End, Trouble> {
    let heard = servers::ask_all(words.run_directory.as_deref(), &Question::Status);
    let answers: Vec<(Server, _)> = heard
        .into_iter()
        .filter_map(|(server, heard)| match heard {
            Heard::Answer(records) => Some((server, records)),
            _ => None,
        })
        .collect();
    if answers.is_empty() {
        return Err(nobody(words));
    }
    let text = if words.json { json::of_servers(&answers) } else { table::of_servers(&answers) };
    let _ = out.write_all(text.as_bytes());
    Ok(End::Done)
}

fn act(words: &Words, out: &mut dyn Write) -> Result<End, Trouble> {
    let heard = servers::ask_all(words.run_directory.as_deref(), &words.question);
    if heard.iter().all(|(_, heard)| matches!(heard, Heard::Silence(_))) {
        return Err(nobody(words));
    }
    let name = words.name();
    let (mut refusal, mut done) = (ControlRefusal::Unknown, Vec::new());
    for (server, heard) in heard {
        match heard {
            Heard::Answer(records) => {
                let generation = records.first().and_then(|record| record.number_of("generation"));
                done.push((server, generation.unwrap_or(0)));
            }
            Heard::Refused(why) if why != ControlRefusal::Unknown => refusal = why,
            Heard::Refused(_) | Heard::Silence(_) => {}
        }
    }
    if done.is_empty() {
        let end = if refusal == ControlRefusal::Unknown { End::Unknown } else { End::Failed };
        return Err((end, format!("{name}: {refusal}")));
    }
    for (server, generation) in done {
        if words.wait {
            wait::until_done(&server, &words.question, name, generation)
                .map_err(|text| (End::Failed, text))?;
        }
        let _ = writeln!(out, "{name}: {}", words.past());
    }
    Ok(End::Done)
}

fn nobody(words: &Words) -> Trouble {
    let place = match &words.run_directory {
        Some(directory) => format!("in \"{}\"", directory.display()),
        None => format!("in {}", servers::USUAL),
    };
    (
        End::NoServer,
        format!(
            "no server answers {place}; is one with applications in processes of their own running? \
             --run-directory DIR says where its sockets stand"
        ),
    )
}
