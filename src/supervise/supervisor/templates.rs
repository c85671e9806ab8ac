// SPDX-License-Identifier: MIT OR Apache-2.0
//! What processes of an application are forked from.

use std::{io, os::fd::OwnedFd};

use super::{
    super::plan::{Event, LifeEvent, TEMPLATES},
    app::{CommandQueue, Supervised},
    log::Log,
    process::Process,
};
use crate::{
    error::{PROCESS_DIED, PROCESS_NOT_READY, PROCESS_NOT_STARTED},
    log::{Level, escape},
    sys::spawner::{
        self, Exit,
        tree::{self, KeeperCommand, template_of, template_slot},
    },
};

const _: () = assert!(TEMPLATES == tree::TEMPLATES);

impl Supervised {
    /// Has a template made.
    pub(super) fn load(
        &mut self,
        number: u16,
        generation: u32,
        commands: &mut CommandQueue,
    ) -> io::Result<()> {
        let (output, writer) = spawner::pipe_from()?;
        let (app, slot, version) = (self.id, template_slot(number), self.version);
        let command = KeeperCommand::Load { app, slot, version, generation };
        commands.push_back((command.encode(), vec![writer, output.try_clone()?]));
        self.templates.insert(number, Process::writing_to(output));
        Ok(())
    }

    /// The command for a process: from a template, or by itself.
    pub(super) fn command(&self, slot: u16, template: Option<u16>) -> KeeperCommand {
        match template {
            Some(number) => KeeperCommand::Fork { app: self.id, slot, template: template_slot(number) },
            None => KeeperCommand::Start { app: self.id, slot, version: self.version },
        }
    }

    pub(super) fn signal_template(&self, number: u16, signal: i32, commands: &mut CommandQueue) {
        let command = KeeperCommand::Signal { app: self.id, slot: template_slot(number), signal };
        commands.push_back((command.encode(), Vec::<OwnedFd>::new()));
    }

    /// A template has loaded the application, or says why it cannot.
    pub(super) fn loaded(&mut self, slot: u16, reason: &[u8], commands: &mut CommandQueue, log: &mut Log) {
        let Some(number) = template_of(slot) else { return };
        if reason.is_empty() {
            return self.happens(Event::TemplateReady(number), commands, log);
        }
        // It ends, which the keeper tells.
        if let Some(template) = self.templates.get_mut(&number) {
            template.reason = Some(escape(reason));
        }
    }

    pub(super) fn template_not_started(
        &mut self,
        number: u16,
        why: String,
        commands: &mut CommandQueue,
        log: &mut Log,
    ) {
        let text = format_args!("the template of \"{}\" could not be started: {why}", self.about.name);
        log.line(Level::Error, PROCESS_NOT_STARTED, text);
        self.reason = why;
        self.templates.remove(&number);
        self.happens(Event::TemplateEnded(number), commands, log);
    }

    pub(super) fn template_exited(
        &mut self,
        number: u16,
        exit: Exit,
        commands: &mut CommandQueue,
        log: &mut Log,
    ) {
        self.read_output(template_slot(number), log);
        self.reason = exit.to_string();
        if let Some(mut template) = self.templates.remove(&number) {
            template.write_rest(&self.about.name, log);
            self.freeze_template(&template, exit);
            self.reason = template.reason.unwrap_or_else(|| exit.to_string());
        }
        self.happens(Event::TemplateEnded(number), commands, log);
        self.thaw();
    }

    pub(super) fn tell_of_template(&self, what: LifeEvent, log: &mut Log) {
        let (name, reason) = (&self.about.name, &self.reason);
        match what {
            LifeEvent::TemplateTimeout => log.line(Level::Error, PROCESS_NOT_READY, format_args!(
                "the template of \"{name}\" did not load the application within boot_timeout=, and is killed; look at what it waits for, or raise boot_timeout="
            )),
            LifeEvent::TemplateFailed => log.line(Level::Error, PROCESS_NOT_READY, format_args!(
                "the template of \"{name}\" cannot load the application ({reason}); its processes try by themselves"
            )),
            LifeEvent::TemplateDied => log.line(Level::Error, PROCESS_DIED, format_args!(
                "the template of \"{name}\" ended unexpectedly ({reason}); its processes serve on, and another one takes its place"
            )),
            _ => {}
        }
    }
}
