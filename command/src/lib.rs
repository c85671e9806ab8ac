// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway`: asks the supervisors of this machine's servers over their control sockets how applications in processes of their
//! own do, and has them restarted, stopped and started.

#![forbid(unsafe_code)]

mod check;
mod json;
mod screen;
mod servers;
mod table;
mod top;
mod wait;
mod why;
mod words;

use std::{
    env,
    ffi::OsString,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use gangway::{
    log::escape,
    supervise::control::{ControlRefusal, Question},
};
use screen::Screen;
use servers::Heard;
use top::Counted;
use words::{Command, TopWords, Words};

/// Until the first page of `top`, at most.
const FIRST_LOOK: Duration = Duration::from_millis(300);

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
    let done = match words::parse(words) {
        Ok(Command::Say(text)) => {
            // Nobody reads it.
            let _ = writeln!(out, "{text}");
            return End::Done;
        }
        Ok(Command::Ask(words)) => match words.question {
            Question::Status | Question::Why(_) => show(&words, out),
            _ => act(&words, out),
        },
        Ok(Command::Top(words)) => watch(&words, out),
        Ok(Command::Check(words)) => check::check(&words, out),
        Err(error) => Err((End::Usage, error)),
    };
    done.unwrap_or_else(|(end, text)| {
        // It may repeat a word, such as an id that a client has chosen.
        let text: Vec<_> = text.lines().map(|line| escape(line.as_bytes())).collect();
        let _ = writeln!(errors, "gangway: {}", text.join("\n"));
        end
    })
}

/// An end, with what is said about it.
type Trouble = (End, String);

fn show(words: &Words, out: &mut dyn Write) -> Result<End, Trouble> {
    let (mut answers, mut refusal) = (Vec::new(), None);
    for (server, heard) in servers::ask_all(words.run_directory.as_deref(), &words.question) {
        match heard {
            Heard::Answer(records) => answers.push((server, records)),
            // A server of another version may be beside one that has understood.
            Heard::Refused(why) if refusal != Some(ControlRefusal::Untold) => refusal = Some(why),
            Heard::Refused(_) => {}
            Heard::Silence(_) => {}
        }
    }
    if answers.is_empty() {
        return Err(match refusal {
            Some(why) if why == ControlRefusal::Untold => (End::Unknown, format!("{}: {why}", words.name())),
            Some(why) => (End::Failed, why.to_string()),
            None => nobody(words.run_directory.as_deref()),
        });
    }
    let text = match &words.question {
        Question::Why(word) => why::of_servers(&answers, word.as_deref()),
        _ if words.json => json::of_servers(&answers),
        _ => table::of_servers(&answers),
    };
    let _ = out.write_all(text.as_bytes());
    Ok(End::Done)
}

fn act(words: &Words, out: &mut dyn Write) -> Result<End, Trouble> {
    let heard = servers::ask_all(words.run_directory.as_deref(), &words.question);
    if heard.iter().all(|(_, heard)| matches!(heard, Heard::Silence(_))) {
        return Err(nobody(words.run_directory.as_deref()));
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

/// Shows what happens, again and again.
fn watch(words: &TopWords, out: &mut dyn Write) -> Result<End, Trouble> {
    let run_directory = words.run_directory.as_deref();
    let look = || {
        let heard = servers::ask_all(run_directory, &Question::Status).into_iter();
        let answers = heard.filter_map(|(server, heard)| match heard {
            Heard::Answer(records) => Some((server, records)),
            Heard::Refused(_) | Heard::Silence(_) => None,
        });
        Some(answers.collect::<Vec<_>>())
            .filter(|answers| !answers.is_empty())
            .ok_or_else(|| nobody(run_directory))
    };
    let (mut before, mut at) = (Counted::of(&look()?), Instant::now());
    let mut screen = Screen::take();
    // There is something to see at once, and what is counted a moment later.
    let mut interval = words.interval.min(FIRST_LOOK);
    let pages = words.count.or_else(|| screen.is_none().then_some(1));
    let mut shown = 0;
    while pages.is_none_or(|pages| shown < pages) {
        match &screen {
            Some(screen) if !screen.wait(interval) => break,
            Some(_) => {}
            None => thread::sleep(words.interval),
        }
        interval = words.interval;
        let answers = look()?;
        let lines = top::lines(&before, &answers, at.elapsed());
        (before, at) = (Counted::of(&answers), Instant::now());
        shown += 1;
        match &mut screen {
            Some(screen) => screen.show(&lines, "q ends"),
            // Nobody reads it any more.
            None if writeln!(out, "{}\n", lines.join("\n")).and_then(|()| out.flush()).is_err() => break,
            None => {}
        }
    }
    Ok(End::Done)
}

fn nobody(run_directory: Option<&Path>) -> Trouble {
    let place = match run_directory {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_word_steers_no_terminal() {
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let end = run(["say\u{1b}[31m".into()].into_iter(), &mut out, &mut errors);
        let text = String::from_utf8_lossy(&errors);
        assert_eq!(end, End::Usage);
        assert!(text.starts_with("gangway: unknown command \"say\\x1b[31m\"\nusage: "), "{text}");
        assert!(out.is_empty());
    }
}
