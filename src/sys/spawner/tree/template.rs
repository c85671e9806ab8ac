// SPDX-License-Identifier: MIT OR Apache-2.0
//! The keeper's side: what it knows of a template, and what it believes of what it hears from there. A template runs the
//! application, which may be anybody's: it can say that it has loaded it or not, and which of its descendants is which process.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use super::{
    MessageSocket, RunningTemplate,
    birth::{Birth, TemplateMessage},
    processes,
};

/// A template.
pub(super) struct KeptTemplate {
    pub(super) app: u32,
    pub(super) slot: u16,
    pub(super) version: u32,
    /// For the next supervisor, as the end of its output is.
    generation: u32,
    pub(super) output: OwnedFd,
    pub(super) pid: libc::pid_t,
    /// Its user.
    user: u32,
    pub(super) channel: MessageSocket,
    /// It has said something wrong, or nothing more can come: it has been killed.
    pub(super) is_over: bool,
    /// It has said whether it has loaded the application.
    has_answered: bool,
    is_loaded: bool,
    wanted: Vec<Wanted>,
    next: u64,
}

/// A process that it was asked for.
struct Wanted {
    number: u64,
    /// None: nobody wants it any more.
    slot: Option<u16>,
    output: OwnedFd,
}

/// What was heard of it.
pub(super) enum Said {
    Loaded,
    NotLoaded(String),
    /// A process of this slot, with the reading end of its output.
    Born(u16, libc::pid_t, OwnedFd),
    NotBorn(u16, i32),
}

impl KeptTemplate {
    pub(super) fn new(
        (app, slot): (u32, u16),
        (version, generation): (u32, u32),
        (pid, user): (libc::pid_t, u32),
        channel: MessageSocket,
        output: OwnedFd,
    ) -> Self {
        Self {
            app,
            slot,
            version,
            generation,
            output,
            pid,
            user,
            channel,
            is_over: false,
            has_answered: false,
            is_loaded: false,
            wanted: Vec::new(),
            next: 1,
        }
    }

    /// Asks for a process; with it come its listening socket and both ends of its output.
    pub(super) fn ask(&mut self, slot: u16, [listener, writer, output]: [OwnedFd; 3]) -> io::Result<()> {
        let number = self.next;
        self.channel.send(&Birth { number }.encode(), &[listener.as_fd(), writer.as_fd()], false)?;
        self.next += 1;
        self.wanted.push(Wanted { number, slot: Some(slot), output });
        Ok(())
    }

    /// Gives up a process that was asked for and has not come: when it does, it is ended. Answers whether there was one.
    pub(super) fn forget(&mut self, slot: u16) -> bool {
        let found = self.wanted.iter_mut().find(|wanted| wanted.slot == Some(slot));
        found.is_some_and(|wanted| wanted.slot.take().is_some())
    }

    /// The supervisor has ended: the next one knows nothing of processes that were asked for. Answers what it is told, unless the
    /// template is about to end.
    pub(super) fn for_next_supervisor(&mut self) -> Option<RunningTemplate> {
        self.wanted.iter_mut().for_each(|wanted| wanted.slot = None);
        let Self { app, slot, version, generation, is_loaded, .. } = *self;
        let lives = !self.is_over && (is_loaded || !self.has_answered);
        lives.then_some(RunningTemplate { app, slot, pid: self.pid as u32, version, generation, is_loaded })
    }

    pub(super) fn is_asked_for(&self, slot: u16) -> bool {
        self.wanted.iter().any(|wanted| wanted.slot == Some(slot))
    }

    /// The slots of the processes that will not come any more.
    pub(super) fn slots(&self) -> Vec<u16> {
        self.wanted.iter().filter_map(|wanted| wanted.slot).collect()
    }

    /// Takes the next thing that it says, if there is one. `known` are processes of others.
    pub(super) fn hear(&mut self, known: &[libc::pid_t]) -> Option<Said> {
        while !self.is_over {
            let parcel = match self.channel.receive(false) {
                Ok(parcel) => parcel,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(_) => break,
            };
            let Some(sender) = parcel.sender.filter(|_| parcel.fds.is_empty()) else { break };
            let own = sender.pid == self.pid;
            match TemplateMessage::decode(&parcel.bytes) {
                Some(TemplateMessage::Loaded) if own && self.is_first_answer() => {
                    self.is_loaded = true;
                    return Some(Said::Loaded);
                }
                Some(TemplateMessage::NotLoaded(reason)) if own && self.is_first_answer() => {
                    return Some(Said::NotLoaded(String::from_utf8_lossy(reason).into_owned()));
                }
                Some(TemplateMessage::NotBorn(number, errno)) if own => {
                    let Some(wanted) = self.take(number) else { break };
                    if let Some(slot) = wanted.slot {
                        return Some(Said::NotBorn(slot, errno));
                    }
                }
                Some(TemplateMessage::Born(number))
                    if !own && sender.user == self.user && !known.contains(&sender.pid) =>
                {
                    // The kernel says who has sent it; only a child can be collected and safely signalled.
                    if !processes::lead_group(sender.pid) {
                        break;
                    }
                    let wanted = self.take(number);
                    if let Some(Wanted { slot: Some(slot), output, .. }) = wanted {
                        return Some(Said::Born(slot, sender.pid, output));
                    }
                    processes::signal_group(sender.pid, libc::SIGKILL);
                    if wanted.is_none() {
                        break;
                    }
                }
                _ => break,
            }
        }
        if !self.is_over {
            self.is_over = true;
            processes::signal_group(self.pid, libc::SIGKILL);
        }
        None
    }

    fn is_first_answer(&mut self) -> bool {
        !std::mem::replace(&mut self.has_answered, true)
    }

    fn take(&mut self, number: u64) -> Option<Wanted> {
        let index = self.wanted.iter().position(|wanted| wanted.number == number)?;
        Some(self.wanted.swap_remove(index))
    }
}
