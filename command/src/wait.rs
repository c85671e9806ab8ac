// SPDX-License-Identifier: MIT OR Apache-2.0
//! Until what was asked for is done, or has failed.

use std::{
    thread,
    time::{Duration, Instant},
};

use gangway::supervise::control::{Question, Record};

use crate::servers::{Heard, Server};

const LOOK: Duration = Duration::from_millis(100);
/// Longer than `boot_timeout=` is without being said.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Goes,
    Done,
    Failed(String),
}

/// Looks until it is done.
///
/// # Errors
/// Why it has failed, or that nobody knows.
pub(crate) fn until_done(
    server: &Server,
    question: &Question,
    name: &str,
    generation: u64,
) -> Result<(), String> {
    let end = Instant::now() + PATIENCE;
    loop {
        let Heard::Answer(records) = server.ask(&Question::Status) else {
            return Err(format!("{name}: the server does not answer any more"));
        };
        match progress(&records, question, name, generation) {
            Progress::Done => return Ok(()),
            Progress::Failed(why) => return Err(format!("{name}: {why}")),
            Progress::Goes if Instant::now() >= end => {
                return Err(format!("{name}: it is not done after {} s, and goes on", PATIENCE.as_secs()));
            }
            Progress::Goes => thread::sleep(LOOK),
        }
    }
}

fn progress(records: &[Record], question: &Question, name: &str, generation: u64) -> Progress {
    let is_it = |record: &Record| record.kind == "application" && record.text_of("name") == Some(name);
    let Some(at) = records.iter().position(is_it) else {
        return Progress::Failed("the configuration has it no more".to_owned());
    };
    let (application, rest) = records.split_at(at + 1);
    let Some(application) = application.last() else { return Progress::Goes };
    let state = application.text_of("state").unwrap_or_default();
    let has_processes = rest.first().is_some_and(|record| record.kind == "process");
    if matches!(question, Question::Stop(_)) {
        return if state == "stopped" && !has_processes { Progress::Done } else { Progress::Goes };
    }
    if let Some(failed) = application.number_of("failed_generation").filter(|failed| *failed >= generation) {
        let why = application.text_of("failed_reason").unwrap_or_default();
        return Progress::Failed(format!(
            "generation {failed} cannot be started ({why}); the processes that run stay, and the attempts go on; the server's log says more"
        ));
    }
    match state {
        "failing" => {
            let why = application.text_of("reason").unwrap_or_default();
            Progress::Failed(format!("it cannot run ({why}); the server's log says more"))
        }
        "stopped" => Progress::Failed("somebody has stopped it".to_owned()),
        "restarting" | "starting" => Progress::Goes,
        _ => Progress::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(question: &Question, application: Record, processes: usize) -> Progress {
        let mut records = vec![
            Record::new("server"),
            Record::new("application").text("name", "other"),
            application.text("name", "blog"),
        ];
        records.extend((0..processes).map(|_| Record::new("process")));
        progress(&records, question, "blog", 3)
    }

    #[test]
    fn it_is_known_when_it_is_done() {
        let state = |state| Record::new("application").text("state", state);
        let (restart, stop) = (Question::Restart("blog".into()), Question::Stop("blog".into()));
        assert_eq!(seen(&restart, state("restarting"), 2), Progress::Goes);
        assert_eq!(seen(&restart, state("serving"), 1), Progress::Done);
        assert_eq!(seen(&restart, state("idle"), 0), Progress::Done);
        assert_eq!(seen(&restart, state("restarting").number("failed_generation", 2), 2), Progress::Goes);
        let failed = state("restarting").number("failed_generation", 3).text("failed_reason", "status 1");
        assert!(matches!(seen(&restart, failed, 2), Progress::Failed(why) if why.contains("(status 1)")));
        assert!(matches!(seen(&restart, state("failing"), 0), Progress::Failed(_)));
        assert_eq!(seen(&stop, state("stopped"), 1), Progress::Goes);
        assert_eq!(seen(&stop, state("stopped"), 0), Progress::Done);
        assert!(matches!(progress(&[], &restart, "blog", 1), Progress::Failed(_)));
    }
}
