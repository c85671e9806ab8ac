// SPDX-License-Identifier: MIT OR Apache-2.0
//! What people want to know of an application, for the log.

use super::{
    super::{
        super::plan::{LifeEvent, Wear},
        log::Log,
        process::called,
    },
    Supervised,
};
use crate::{
    error::{PROCESS_DIED, PROCESS_NOT_READY, PROCESS_SLOW, RESTARTED},
    log::Level,
};

impl Supervised {
    pub(super) fn tell(&self, what: LifeEvent, log: &mut Log) {
        let (name, reason) = (&self.about.name, &self.reason);
        let who = |slot: &u16| called(self.processes.get(slot).map_or(0, |process| process.pid));
        match &what {
            LifeEvent::TemplateFailed | LifeEvent::TemplateTimeout | LifeEvent::TemplateDied => self.tell_of_template(what, log),
            LifeEvent::BootTimeout(slot) => log.line(Level::Error, PROCESS_NOT_READY, format_args!(
                "{} of \"{name}\" took no requests within boot_timeout=, and is killed; look at what it waits for, or raise boot_timeout=",
                who(slot)
            )),
            LifeEvent::BootFailed(_) => log.line(Level::Error, PROCESS_NOT_READY, format_args!(
                "a process of \"{name}\" ended before it took requests ({reason}); its last lines stand above"
            )),
            LifeEvent::Died(_) => log.line(Level::Error, PROCESS_DIED, format_args!(
                "a process of \"{name}\" ended unexpectedly ({reason}); another one takes its place{}", self.lost_requests()
            )),
            // As the configuration or the program wants it: nobody has to read that.
            LifeEvent::Idle(_) | LifeEvent::Finished(_) => {}
            LifeEvent::Waits(pause, 0) => log.line(Level::Notice, PROCESS_DIED, format_args!(
                "the next process of \"{name}\" is started in {:.1} s, for the last one has ended early",
                pause.as_secs_f64()
            )),
            LifeEvent::Waits(pause, failures) => log.line(Level::Notice, PROCESS_NOT_READY, format_args!(
                "the next attempt to start a process of \"{name}\" is made in {:.1} s; {failures} in a row have failed",
                pause.as_secs_f64()
            )),
            LifeEvent::DrainTimeout(slot) => log.line(Level::Warn, PROCESS_SLOW, format_args!(
                "requests of {} of \"{name}\" did not end within drain_timeout=; it is told to end",
                who(slot)
            )),
            LifeEvent::Stuck(slot) => log.line(
                Level::Error,
                PROCESS_SLOW,
                format_args!(
                    "{} of \"{name}\" did not answer a request within timeout=; it is replaced",
                    who(slot)
                ),
            ),
            LifeEvent::Killed(slot) => log.line(Level::Warn, PROCESS_SLOW, format_args!(
                "{} of \"{name}\" did not end within 5 s after TERM, and is killed",
                who(slot)
            )),
            LifeEvent::Worn(slot, wear) => {
                log.line(Level::Notice, RESTARTED, format_args!(
                    "{} of \"{name}\" {}; another one takes its place",
                    who(slot), words_of(*wear)
                ));
            }
            LifeEvent::RestartBegun(generation, _) => log.line(Level::Notice, RESTARTED, format_args!(
                "the processes of \"{name}\" are replaced: generation {generation} begins"
            )),
            LifeEvent::RestartDone(generation) => log.line(Level::Notice, RESTARTED, format_args!(
                "generation {generation} of \"{name}\" serves"
            )),
            LifeEvent::RestartFailed(generation) => log.line(Level::Error, RESTARTED, format_args!(
                "generation {generation} of \"{name}\" cannot be started ({reason}); the processes that run stay"
            )),
        }
    }
}

/// Why a process has served for long enough, after the words "process 12".
fn words_of(wear: Wear) -> String {
    match wear {
        Wear::Requests(served) => format!("has had {served} requests, of which max_requests= allows no more"),
        Wear::Resident(bytes) => {
            let size = bytes as f64 / 1048576.0;
            format!("has {size:.1} MiB of resident memory, of which max_rss= allows no more")
        }
        Wear::Age => "has reached the age of lifetime=".to_owned(),
    }
}
