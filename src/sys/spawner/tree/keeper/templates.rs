// SPDX-License-Identifier: MIT OR Apache-2.0
//! Templates: started as processes are, and asked for processes, which are the keeper's children like all others.

use std::os::fd::{AsFd, OwnedFd};

use super::{
    super::{
        super::report::{Failure, Step},
        super::socket,
        Fact, MessageSocket, processes,
        template::{KeptTemplate, Said},
    },
    Keeper, KeptProcess,
};

impl Keeper<'_> {
    pub(super) fn load(
        &mut self,
        app: u32,
        slot: u16,
        (version, generation): (u32, u32),
        [writer, output]: [OwnedFd; 2],
    ) {
        if self.is_taken(app, slot) {
            return self.not_started(app, slot, Failure { step: Step::Request, errno: 0 });
        }
        let made = MessageSocket::pair().and_then(|(channel, there)| {
            // Before the other end is anybody's: what came earlier would have no sender.
            socket::tell_senders(channel.as_fd())?;
            let errors = writer.try_clone()?;
            Ok((channel, [there.0, writer, errors]))
        });
        let Ok((channel, fds)) = made else {
            return self.not_started(app, slot, Failure { step: Step::Descriptors, errno: libc::EMFILE });
        };
        match self.launch(app, version, &fds, true) {
            Ok((pid, user)) => {
                let versions = (version, generation);
                self.templates.push(KeptTemplate::new((app, slot), versions, (pid, user), channel, output));
                self.tell(&Fact::Started(app, slot, pid as u32), &[]);
            }
            Err(failure) => self.not_started(app, slot, failure),
        }
    }

    pub(super) fn fork(&mut self, app: u32, slot: u16, template: u16, fds: [OwnedFd; 3]) {
        let is_taken = self.is_taken(app, slot);
        let found = self.templates.iter_mut().find(|found| (found.app, found.slot) == (app, template));
        let asked = match found {
            Some(found) if !is_taken && !found.is_over => found.ask(slot, fds),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        };
        if let Err(error) = asked {
            let errno = error.raw_os_error().unwrap_or(libc::ESRCH);
            self.not_started(app, slot, Failure { step: Step::Process, errno });
        }
    }

    /// Takes what templates have said.
    pub(super) fn hear_templates(&mut self) {
        for index in 0..self.templates.len() {
            loop {
                let known = self.known();
                let Some(template) = self.templates.get_mut(index) else { break };
                let (app, slot, version) = (template.app, template.slot, template.version);
                match template.hear(&known) {
                    Some(Said::Loaded) => self.tell(&Fact::Loaded(app, slot, b""), &[]),
                    Some(Said::NotLoaded(reason)) => {
                        let reason = if reason.is_empty() { "it gives no reason" } else { &reason };
                        self.tell(&Fact::Loaded(app, slot, reason.as_bytes()), &[]);
                    }
                    Some(Said::Born(slot, pid, output)) => {
                        self.processes.push(KeptProcess { app, slot, version, pid, output, is_hosted: true });
                        self.tell(&Fact::Started(app, slot, pid as u32), &[]);
                    }
                    Some(Said::NotBorn(slot, errno)) => {
                        self.not_started(app, slot, Failure { step: Step::Process, errno });
                    }
                    None => break,
                }
            }
        }
    }

    /// Processes that are somebody already.
    fn known(&self) -> Vec<libc::pid_t> {
        let supervisor = self.supervisor.iter().map(|supervisor| supervisor.pid);
        let templates = self.templates.iter().map(|template| template.pid);
        supervisor.chain(templates).chain(self.processes.iter().map(|process| process.pid)).collect()
    }

    /// A signal for a template, or for a process that has been asked for and is not there. One that lets it wait until it is to be
    /// killed makes none any more.
    pub(super) fn signal_template(&mut self, app: u32, slot: u16, signal: i32) {
        let mut is_forgotten = false;
        for template in self.templates.iter_mut().filter(|template| template.app == app) {
            let is_late = template.forget(slot);
            is_forgotten |= is_late;
            if template.slot == slot {
                processes::signal_group(template.pid, signal);
            } else if is_late && signal == libc::SIGKILL {
                processes::signal_group(template.pid, libc::SIGKILL);
            }
        }
        if is_forgotten {
            self.not_started(app, slot, Failure { step: Step::Process, errno: libc::ETIMEDOUT });
        }
    }

    /// A child has ended. Answers a template that it was, which is none any more.
    pub(super) fn take_template(&mut self, pid: libc::pid_t) -> Option<KeptTemplate> {
        let index = self.templates.iter().position(|template| template.pid == pid)?;
        let template = self.templates.swap_remove(index);
        for slot in template.slots() {
            self.not_started(template.app, slot, Failure { step: Step::Process, errno: libc::ESRCH });
        }
        Some(template)
    }
}

/// Tells a new supervisor of the templates that are there. Those that are about to end end now.
pub(super) fn tell(templates: &mut Vec<KeptTemplate>, channel: &MessageSocket) {
    templates.retain_mut(|template| {
        let Some(running) = template.for_next_supervisor() else {
            processes::signal_group(template.pid, libc::SIGKILL);
            return false;
        };
        let _ = channel.send(&Fact::Template(running).encode(), &[template.output.as_fd()], true);
        true
    });
}
