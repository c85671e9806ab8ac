// SPDX-License-Identifier: MIT OR Apache-2.0
//! What somebody may ask, and what is answered. Root and the user of the workers may do everything; the user of an application
//! sees and does what is about that application, and does not learn that there are others.

use super::{
    super::control::{ControlRefusal, Question, Record, encode_answer},
    Supervisor,
    app::Supervised,
};
use crate::{
    error::CONTROLLED,
    log::Level,
    sys::{monotonic, own_user},
};

impl Supervisor {
    /// Goes on with a caller of the control socket.
    pub(super) fn attend(&mut self, caller: u32) {
        if let Some(asked) = self.control.attend(caller) {
            let answer = match asked.question {
                Some(question) => self.reply(&question, asked.user),
                None => Err(ControlRefusal::Misunderstood),
            };
            self.control.answer(caller, encode_answer(&answer));
        }
    }

    fn reply(&mut self, question: &Question, user: u32) -> Result<Vec<Record>, ControlRefusal> {
        let name = match question {
            Question::Status => return Ok(self.status(user)),
            Question::Why(word) => return self.why(word.as_deref(), user),
            Question::Restart(name) | Question::Stop(name) | Question::Start(name) => name,
        };
        let known =
            self.apps.values_mut().find(|app| app.name() == name && !app.is_leaving() && may(app, user));
        let app = known.ok_or(ControlRefusal::Unknown)?;
        let (commands, log) = (&mut self.commands, &mut self.log);
        let what = match question {
            Question::Restart(_) if app.is_stopped() => return Err(ControlRefusal::Stopped),
            Question::Restart(_) => {
                let line = format_args!("user {user} has asked for a restart of \"{name}\"");
                log.line(Level::Notice, CONTROLLED, line);
                app.restart(commands, log);
                "restart"
            }
            Question::Stop(_) => {
                let line = format_args!(
                    "user {user} has stopped \"{name}\": requests get 503 until \"gangway start {name}\""
                );
                log.line(Level::Notice, CONTROLLED, line);
                app.stop(commands, log);
                "stop"
            }
            _ => {
                log.line(Level::Notice, CONTROLLED, format_args!("user {user} has started \"{name}\""));
                app.start_again(commands, log);
                "start"
            }
        };
        Ok(vec![Record::new(what).number("generation", app.generation().into())])
    }

    fn status(&self, user: u32) -> Vec<Record> {
        let now = monotonic();
        let mut records = vec![Record::new("server").number("supervisor", std::process::id().into())];
        for app in self.apps.values().filter(|app| may(app, user)) {
            app.status(now, &mut records);
        }
        records
    }

    /// Why something went wrong, or what is known of a request.
    fn why(&self, word: Option<&str>, user: u32) -> Result<Vec<Record>, ControlRefusal> {
        let (now, mut records) = (monotonic(), Vec::new());
        let own = || self.apps.values().filter(|app| may(app, user));
        for app in own() {
            app.why(word, now, &mut records);
        }
        if let (Some(word), true) = (word, records.is_empty()) {
            records.push(own().find_map(|app| app.seen(word, now)).ok_or(ControlRefusal::Untold)?);
        }
        Ok(records)
    }
}

fn may(app: &Supervised, user: u32) -> bool {
    user == 0 || user == own_user() || user == app.owner()
}
