// SPDX-License-Identifier: MIT OR Apache-2.0
//! One application: its plan, and what carries it out.

mod adopt;
mod boot;
mod events;
mod figures;
mod files;
mod incidents;
mod memory;
mod status;

use std::{
    collections::{BTreeMap, VecDeque},
    fs, io,
    os::{
        fd::{OwnedFd, RawFd},
        unix::{fs::PermissionsExt, net::UnixListener},
    },
    time::Duration,
};

use super::{
    super::{
        message::About,
        plan::{Action, Event, LifeEvent, Look, Plan, Seen},
        segment::{Condition, EntryKind, Owner, Segment, SlotState},
    },
    log::Log,
    process::Process,
};
use crate::{
    error::PROCESS_NOT_STARTED,
    log::Level,
    status::RestartReason,
    sys::{
        catches, monotonic, pipe, resident,
        spawner::{
            self, Exit,
            tree::{KeeperCommand, template_of, template_slot},
        },
    },
};
use figures::FiguresTold;
use files::Watches;
use incidents::Incidents;
use status::FailedStart;

/// What the keeper is to do, with descriptors.
pub(super) type CommandQueue = VecDeque<(Vec<u8>, Vec<OwnedFd>)>;

/// How long one for which nobody listens may take to end.
const GONE: Duration = Duration::from_secs(1);
/// Reads of an output before others have their turn.
const READS: usize = 8;

pub(super) struct Supervised {
    pub(super) id: u32,
    pub(super) version: u32,
    pub(super) about: About,
    plan: Plan,
    segment: Segment,
    processes: BTreeMap<u16, Process>,
    pub(super) templates: BTreeMap<u16, Process>,
    /// Why the last process was not started or ended, for the lines about it.
    pub(super) reason: String,
    /// The last generation that could not be started, until another one serves.
    failed: Option<FailedStart>,
    /// Since when its requests fail, and why.
    unwell: Option<(Duration, String)>,
    watches: Watches,
    incidents: Incidents,
    /// The newest generation that was found, and the version of its words.
    newest: Option<(u32, u32)>,
    /// When it is to be looked at.
    due: Option<Duration>,
    figures: FiguresTold,
    /// When the memory of its processes was looked at.
    measured: Option<Duration>,
    /// Its program cannot stand to be asked whether it takes requests.
    is_unasked: bool,
}

struct Eyes<'s>(&'s Segment);

impl Look for Eyes<'_> {
    fn slot(&self, slot: u16) -> Seen {
        let slot = self.0.slot(slot);
        let is_gone = matches!(slot.state, SlotState::Stuck | SlotState::Gone);
        Seen { claims: slot.claims, served: slot.served, is_gone }
    }

    fn waiting(&self) -> usize {
        self.0.waiting()
    }

    fn resident(&self, slot: u16) -> u64 {
        resident(self.0.slot(slot).pid).unwrap_or(0)
    }
}

/// Ends the process of a slot that nobody knows.
pub(super) fn kill(commands: &mut CommandQueue, app: u32, slot: u16) {
    commands.push_back((KeeperCommand::Signal { app, slot, signal: libc::SIGKILL }.encode(), Vec::new()));
}

impl Supervised {
    pub(super) fn new(id: u32, version: u32, about: About, segment: Segment) -> Self {
        let watches = Watches::new(&about.files);
        let mut plan = Plan::new(about.life, about.threads, segment.shape().slots);
        plan.set_preload(about.preload);
        Self {
            id,
            version,
            about,
            plan,
            segment,
            processes: BTreeMap::new(),
            templates: BTreeMap::new(),
            reason: String::new(),
            failed: None,
            unwell: None,
            watches,
            incidents: Incidents::default(),
            newest: None,
            due: None,
            figures: FiguresTold::default(),
            measured: None,
            is_unasked: false,
        }
    }

    pub(super) fn configure(
        &mut self,
        version: u32,
        about: About,
        commands: &mut CommandQueue,
        log: &mut Log,
    ) {
        let life = self.about.life != about.life;
        let changed = self.watches.at_reload();
        if self.about.files != about.files {
            self.watches.renew(&about.files);
        }
        self.plan.set_preload(about.preload);
        // Other words may be those of another program.
        self.is_unasked &= self.version == version;
        self.about = about;
        self.say_unwatched(log);
        if life {
            self.happens(Event::Configured(self.about.life), commands, log);
        }
        let words = std::mem::replace(&mut self.version, version) != version;
        if words {
            self.happens(Event::Restart(RestartReason::Configuration), commands, log);
        } else if let Some((file, reason)) = changed {
            self.say_changed(&file, log);
            self.happens(Event::Restart(reason), commands, log);
        }
        self.remember_files();
    }

    pub(super) fn is_over(&self) -> bool {
        self.plan.is_over()
    }

    /// What a worker that has ended had.
    pub(super) fn free(&self, owner: Owner) {
        self.segment.free_worker(owner, Owner::this_process());
    }

    /// Slots with what is to be waited for: output, and the answer of one that begins.
    pub(super) fn descriptors(
        &self,
    ) -> impl Iterator<Item = (u16, Option<RawFd>, Option<(RawFd, i16)>)> + '_ {
        let templates = self.templates.iter().map(|(number, process)| (template_slot(*number), process));
        let processes = self.processes.iter().map(|(slot, process)| (*slot, process));
        processes.chain(templates).map(|(slot, process)| (slot, process.output(), process.wanted()))
    }

    /// Notes when it is to be looked at again, if nothing happens before.
    pub(super) fn set_due(&mut self, now: Duration) -> Option<Duration> {
        let probes = self.processes.values().filter_map(Process::boot_at);
        let gone = self.processes.values().filter_map(|process| Some(process.gone? + GONE));
        self.due = probes.chain(gone).chain(self.plan.wakes(now)).min();
        self.due
    }

    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// The keeper has made a process.
    pub(super) fn started(&mut self, slot: u16, pid: u32) {
        if let Some(template) = template_of(slot).and_then(|number| self.templates.get_mut(&number)) {
            template.pid = pid;
        }
        self.remember_files();
        if let Some(process) = self.processes.get_mut(&slot) {
            process.pid = pid;
            self.segment.set_pid(slot, pid);
            self.note_process(slot, EntryKind::Started);
            self.probe(slot);
        }
    }

    pub(super) fn not_started(&mut self, slot: u16, why: String, commands: &mut CommandQueue, log: &mut Log) {
        if let Some(number) = template_of(slot) {
            return self.template_not_started(number, why, commands, log);
        }
        // One that was told to end before it came, because another code or configuration was faster, is no failure.
        if self.segment.slot(slot).state != SlotState::Ending {
            let text = format_args!("a process of \"{}\" could not be started: {why}", self.about.name);
            log.line(Level::Error, PROCESS_NOT_STARTED, text);
            self.reason = why;
        }
        self.happens(Event::NotStarted(slot), commands, log);
    }

    pub(super) fn exited(&mut self, slot: u16, exit: Exit, commands: &mut CommandQueue, log: &mut Log) {
        if let Some(number) = template_of(slot) {
            return self.template_exited(number, exit, commands, log);
        }
        self.reason = exit.to_string();
        self.read_output(slot, log);
        self.note_end_at_question(slot, exit, log);
        if let Some(process) = self.processes.get_mut(&slot) {
            (process.probe, process.warmup) = (None, None);
            process.write_rest(&self.about.name, log);
            self.reason = process.reason.take().unwrap_or_else(|| exit.to_string());
        }
        self.freeze(slot, exit);
        self.happens(Event::Exited(slot, exit == Exit::Status(0)), commands, log);
        self.thaw();
    }

    /// Tells the plan, and does what it says.
    pub(super) fn happens(&mut self, event: Event, commands: &mut CommandQueue, log: &mut Log) {
        // Workers say so in the shared memory, and then ask for others.
        let now = monotonic();
        let stuck = |(slot, process): (&u16, &mut Process)| {
            let is_stuck = match self.segment.slot(*slot).state {
                SlotState::Stuck => true,
                // The keeper will tell that it has ended.
                SlotState::Gone => {
                    let is_late = now >= *process.gone.get_or_insert(now) + GONE;
                    process.gone = process.gone.filter(|_| !is_late);
                    is_late
                }
                _ => false,
            };
            is_stuck.then_some(Event::Stuck(*slot))
        };
        let mut events: VecDeque<Event> = self.processes.iter_mut().filter_map(stuck).collect();
        events.push_back(event);
        while let Some(event) = events.pop_front() {
            for action in self.plan.handle(event, monotonic(), &Eyes(&self.segment)) {
                if let Err((slot, error)) = self.carry_out(action, commands, log) {
                    let text =
                        format_args!("a process of \"{}\" could not be started: {error}", self.about.name);
                    log.line(Level::Error, PROCESS_NOT_STARTED, text);
                    self.reason = error.to_string();
                    let of_template = template_of(slot).map(Event::TemplateEnded);
                    events.push_back(of_template.unwrap_or(Event::NotStarted(slot)));
                }
            }
        }
        self.say();
    }

    fn carry_out(
        &mut self,
        action: Action,
        commands: &mut CommandQueue,
        log: &mut Log,
    ) -> Result<(), (u16, io::Error)> {
        match action {
            Action::Start(slot, generation) => {
                self.start(slot, generation, None, commands).map_err(|error| (slot, error))?;
            }
            Action::Fork(slot, generation, template) => {
                self.start(slot, generation, Some(template), commands).map_err(|error| (slot, error))?;
            }
            Action::Load(number, generation) => {
                self.load(number, generation, commands).map_err(|error| (template_slot(number), error))?;
            }
            Action::TermTemplate(number) => self.signal_template(number, libc::SIGTERM, commands),
            Action::KillTemplate(number) => self.signal_template(number, libc::SIGKILL, commands),
            Action::Open(slot) => {
                self.note_process(slot, EntryKind::Ready);
                self.set_state(slot, SlotState::Ready);
                self.segment.hand_over(Owner::this_process());
                self.measure_one(slot, commands);
            }
            Action::Close(slot) => {
                self.note_process(slot, EntryKind::Draining);
                self.set_state(slot, SlotState::Draining);
            }
            Action::Term(slot) => self.signal(slot, libc::SIGTERM, commands),
            Action::Nudge(slot) => self.nudge(slot, commands),
            Action::Kill(slot) => self.signal(slot, libc::SIGKILL, commands),
            Action::Clear(slot) => self.clear(slot),
            Action::Condition(up) => {
                self.segment.set_condition(if up { Condition::Up } else { Condition::Down });
            }
            Action::Tell(what) => {
                self.note(what);
                self.keep_incident(what);
                self.tell(what, log);
            }
        }
        Ok(())
    }

    /// What is asked for later.
    fn note(&mut self, what: LifeEvent) {
        self.count(&what);
        match what {
            LifeEvent::RestartFailed(generation) => {
                self.failed = Some(FailedStart { generation, at: monotonic(), reason: self.reason.clone() });
            }
            LifeEvent::RestartDone(_) => self.failed = None,
            _ => {}
        }
    }

    fn start(
        &mut self,
        slot: u16,
        generation: u32,
        template: Option<u16>,
        commands: &mut CommandQueue,
    ) -> io::Result<()> {
        let path = self.segment.socket_path(slot);
        // A name of one that has ended: the process that listens is to be another one.
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        let (output, writer) = spawner::pipe_from()?;
        let command = self.command(slot, template).encode();
        commands.push_back((command, vec![listener.into(), writer, output.try_clone()?]));
        self.segment.reset_served(slot);
        self.segment.set_state(slot, SlotState::Starting, generation);
        self.processes.insert(slot, Process::writing_to(output));
        Ok(())
    }

    fn set_state(&self, slot: u16, state: SlotState) {
        self.segment.set_state(slot, state, self.segment.slot(slot).generation);
    }

    fn signal(&self, slot: u16, signal: i32, commands: &mut CommandQueue) {
        self.note_process(slot, if signal == libc::SIGKILL { EntryKind::Killed } else { EntryKind::Told });
        self.set_state(slot, SlotState::Ending);
        commands.push_back((KeeperCommand::Signal { app: self.id, slot, signal }.encode(), Vec::new()));
    }

    /// Who does not know the signal would be ended by it before its time. A host of ours has heard the first word.
    fn nudge(&self, slot: u16, commands: &mut CommandQueue) {
        if self.about.is_program && catches(self.segment.slot(slot).pid, libc::SIGUSR1) {
            self.signal(slot, libc::SIGUSR1, commands);
        }
    }

    fn clear(&mut self, slot: u16) {
        self.set_state(slot, SlotState::Vacant);
        self.segment.set_pid(slot, 0);
        let _ = fs::remove_file(self.segment.socket_path(slot));
        self.processes.remove(&slot);
    }

    /// Takes what a process has written.
    pub(super) fn read_output(&mut self, slot: u16, log: &mut Log) {
        let template = template_of(slot).and_then(|number| self.templates.get_mut(&number));
        let Some(process) = template.or_else(|| self.processes.get_mut(&slot)) else { return };
        let Some(output) = process.output.take() else { return };
        let mut lines = std::mem::take(&mut process.lines);
        let more = pipe::drain(&output, READS, |bytes| {
            lines.take(bytes, |line| process.write(&self.about.name, line, log));
        });
        process.lines = lines;
        process.output = more.then_some(output);
        // What they are like is looked at before the process serves.
        process.files.drain(..).for_each(|file| self.watches.report(file));
        let (is_lost, is_unwell) = (std::mem::take(&mut process.is_lost), process.unwell.is_some());
        if template_of(slot).is_none() && self.segment.slot(slot).is_unwell != is_unwell {
            self.segment.set_unwell(slot, is_unwell);
        }
        self.remember_files();
        if is_lost && self.segment.slot(slot).state == SlotState::Ready {
            // As if a worker had said it.
            self.set_state(slot, SlotState::Stuck);
            self.due = Some(monotonic());
        }
        self.say();
    }
}
