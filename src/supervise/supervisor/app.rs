// SPDX-License-Identifier: MIT OR Apache-2.0
//! One application: its plan, and what carries it out.

mod boot;
mod files;
mod news;
mod status;

use std::{
    collections::{BTreeMap, VecDeque},
    fs, io,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::{fs::PermissionsExt, net::UnixListener},
    },
    time::Duration,
};

use super::{
    super::{
        message::About,
        plan::{self, Action, Event, Look, News, Plan, Seen},
        segment::{Condition, Owner, Segment, SlotState},
    },
    log::Log,
    probe::Probe,
    warmup::Warmup,
};
use crate::{
    error::{PROCESS_NOT_STARTED, PROCESS_OUTPUT},
    log::{Level, escape},
    run::Lines,
    sys::{
        PidFd, monotonic, pipe, resident,
        spawner::{self, Exit, tree::Order},
    },
};
use files::Watches;
use status::FailedStart;

/// What the keeper is to do, with descriptors.
pub(super) type Orders = VecDeque<(Vec<u8>, Vec<OwnedFd>)>;

/// Lines of a process in a second; those above are counted.
const LINES: u32 = 100;
/// Reads of an output before others have their turn.
const READS: usize = 8;

pub(super) struct App {
    id: u32,
    version: u32,
    about: About,
    plan: Plan,
    segment: Segment,
    processes: BTreeMap<u16, Process>,
    /// Why the last process was not started or ended, for the lines about it.
    reason: String,
    /// The last generation that could not be started, until another one serves.
    failed: Option<FailedStart>,
    watches: Watches,
    /// A process of other words was found.
    stale: bool,
    /// When it is to be looked at.
    due: Option<Duration>,
}

#[derive(Default)]
struct Process {
    pid: u32,
    output: Option<fs::File>,
    lines: Lines,
    second: Duration,
    passed: u32,
    held: u64,
    probe: Option<Probe>,
    /// Its request before all others.
    warmup: Option<Warmup>,
    /// When it was asked for.
    began: Duration,
}

struct Eyes<'s>(&'s Segment);

impl Look for Eyes<'_> {
    fn slot(&self, slot: u16) -> Seen {
        let slot = self.0.slot(slot);
        Seen { claims: slot.claims, served: slot.served }
    }

    fn waiting(&self) -> usize {
        self.0.waiting()
    }

    fn resident(&self, slot: u16) -> u64 {
        resident(self.0.slot(slot).pid).unwrap_or(0)
    }
}

/// Ends the process of a slot that nobody knows.
pub(super) fn kill(orders: &mut Orders, app: u32, slot: u16) {
    orders.push_back((Order::Signal { app, slot, signal: libc::SIGKILL }.encode(), Vec::new()));
}

impl App {
    pub(super) fn new(id: u32, version: u32, about: About, segment: Segment) -> Self {
        let watches = Watches::new(&about.files);
        let plan = Plan::new(about.life, about.threads, segment.shape().slots);
        Self {
            id,
            version,
            about,
            plan,
            segment,
            processes: BTreeMap::new(),
            reason: String::new(),
            failed: None,
            watches,
            stale: false,
            due: None,
        }
    }

    /// Takes over a process that ran before this supervisor.
    pub(super) fn adopt(&mut self, slot: u16, pid: u32, version: u32, output: Option<OwnedFd>) {
        let seen = self.segment.slot(slot);
        let found = match seen.state {
            SlotState::Ready => plan::Found::Ready,
            SlotState::Draining | SlotState::Stuck => plan::Found::Draining,
            SlotState::Ending => plan::Found::Ending,
            SlotState::Starting | SlotState::Vacant => plan::Found::Starting,
        };
        self.plan.adopt(slot, seen.generation, found, monotonic());
        let began = monotonic();
        let process = Process { pid, output: output.map(Into::into), began, ..Process::default() };
        self.processes.insert(slot, process);
        if found == plan::Found::Starting {
            self.probe(slot);
        }
        // One with other words is older than what is wanted, whatever its generation is.
        self.stale |= version != self.version;
    }

    /// Workers that have left something in the shared memory, and may have ended before this supervisor began.
    pub(super) fn strangers(&self) -> Vec<(PidFd, Owner)> {
        let mut owners: Vec<Owner> = self.segment.workers().collect();
        owners.sort_unstable_by_key(|owner| owner.pid());
        owners.dedup();
        let watched = |owner: Owner| match PidFd::open(owner.pid()) {
            Ok(process) => Some((process, owner)),
            Err(_) => {
                self.free(owner);
                None
            }
        };
        owners.into_iter().filter_map(watched).collect()
    }

    /// Begins, with what was adopted.
    pub(super) fn begin(&mut self, orders: &mut Orders, log: &mut Log) {
        for slot in 0..self.segment.shape().slots {
            if !self.processes.contains_key(&slot) && self.segment.slot(slot).state != SlotState::Vacant {
                self.clear(slot);
            }
        }
        if self.segment.is_stopped() {
            self.happens(Event::Stop, orders, log);
        } else {
            self.say_unwatched(log);
            self.segment.set_condition(Condition::Up);
            self.happens(Event::Tick, orders, log);
        }
        if self.stale {
            self.happens(Event::Restart, orders, log);
        }
    }

    pub(super) fn configure(&mut self, version: u32, about: About, orders: &mut Orders, log: &mut Log) {
        let life = self.about.life != about.life;
        let file = self.watches.at_reload();
        if self.about.files != about.files {
            self.watches = Watches::new(&about.files);
        }
        self.about = about;
        self.say_unwatched(log);
        if life {
            self.happens(Event::Configured(self.about.life), orders, log);
        }
        let words = std::mem::replace(&mut self.version, version) != version;
        if let Some(file) = file.filter(|_| !words) {
            self.say_changed(&file, log);
            self.happens(Event::Restart, orders, log);
        } else if words {
            self.happens(Event::Restart, orders, log);
        }
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
        self.processes.iter().map(|(slot, process)| {
            let output = process.output.as_ref().map(AsRawFd::as_raw_fd);
            let probe = process.probe.as_ref().and_then(Probe::descriptor).map(|fd| (fd, libc::POLLIN));
            (*slot, output, probe.or_else(|| process.warmup.as_ref().map(Warmup::wanted)))
        })
    }

    /// Notes when it is to be looked at again, if nothing happens before.
    pub(super) fn set_due(&mut self, now: Duration) -> Option<Duration> {
        let probes = self.processes.values().filter_map(Process::boot_at);
        self.due = probes.chain(self.plan.wakes(now)).min();
        self.due
    }

    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// The keeper has made a process.
    pub(super) fn started(&mut self, slot: u16, pid: u32) {
        if let Some(process) = self.processes.get_mut(&slot) {
            process.pid = pid;
            self.segment.set_pid(slot, pid);
            self.probe(slot);
        }
    }

    pub(super) fn not_started(&mut self, slot: u16, why: String, orders: &mut Orders, log: &mut Log) {
        let text = format_args!("a process of \"{}\" could not be started: {why}", self.about.name);
        log.line(Level::Error, PROCESS_NOT_STARTED, text);
        self.reason = why;
        self.happens(Event::NotStarted(slot), orders, log);
    }

    pub(super) fn exited(&mut self, slot: u16, exit: Exit, orders: &mut Orders, log: &mut Log) {
        self.reason = exit.to_string();
        self.read_output(slot, log);
        if let Some(process) = self.processes.get_mut(&slot) {
            (process.probe, process.warmup) = (None, None);
            let mut lines = std::mem::take(&mut process.lines);
            lines.finish(|line| process.write(&self.about.name, line, log));
        }
        self.happens(Event::Exited(slot, exit == Exit::Status(0)), orders, log);
    }

    /// Tells the plan, and does what it says.
    pub(super) fn happens(&mut self, event: Event, orders: &mut Orders, log: &mut Log) {
        // Workers say so in the shared memory, and then ask for others.
        let stuck = |slot: &u16| self.segment.slot(*slot).state == SlotState::Stuck;
        let mut events: VecDeque<Event> =
            self.processes.keys().copied().filter(stuck).map(Event::Stuck).collect();
        events.push_back(event);
        while let Some(event) = events.pop_front() {
            for action in self.plan.handle(event, monotonic(), &Eyes(&self.segment)) {
                if let Err((slot, error)) = self.carry_out(action, orders, log) {
                    let text =
                        format_args!("a process of \"{}\" could not be started: {error}", self.about.name);
                    log.line(Level::Error, PROCESS_NOT_STARTED, text);
                    self.reason = error.to_string();
                    events.push_back(Event::NotStarted(slot));
                }
            }
        }
    }

    fn carry_out(
        &mut self,
        action: Action,
        orders: &mut Orders,
        log: &mut Log,
    ) -> Result<(), (u16, io::Error)> {
        match action {
            Action::Start(slot, generation) => {
                self.start(slot, generation, orders).map_err(|error| (slot, error))?;
            }
            Action::Open(slot) => {
                self.set_state(slot, SlotState::Ready);
                self.segment.hand_over(Owner::this_process());
            }
            Action::Close(slot) => self.set_state(slot, SlotState::Draining),
            Action::Term(slot) => self.signal(slot, libc::SIGTERM, orders),
            Action::Kill(slot) => self.signal(slot, libc::SIGKILL, orders),
            Action::Clear(slot) => self.clear(slot),
            Action::Condition(up) => {
                self.segment.set_condition(if up { Condition::Up } else { Condition::Down });
            }
            Action::Tell(news) => {
                self.note(news);
                self.tell(news, log);
            }
        }
        Ok(())
    }

    /// What is asked for later.
    fn note(&mut self, news: News) {
        match news {
            News::RestartFailed(generation) => {
                self.failed = Some(FailedStart { generation, at: monotonic(), reason: self.reason.clone() });
            }
            News::RestartDone(_) => self.failed = None,
            _ => {}
        }
    }

    fn start(&mut self, slot: u16, generation: u32, orders: &mut Orders) -> io::Result<()> {
        let path = self.segment.socket_path(slot);
        // A name of one that has ended: the process that listens is to be another one.
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        let (output, writer) = spawner::pipe_from()?;
        let order = Order::Start { app: self.id, slot, version: self.version };
        orders.push_back((order.encode(), vec![listener.into(), writer, output.try_clone()?]));
        self.segment.reset_served(slot);
        self.segment.set_state(slot, SlotState::Starting, generation);
        let process = Process { output: Some(output.into()), began: monotonic(), ..Process::default() };
        self.processes.insert(slot, process);
        Ok(())
    }

    fn set_state(&self, slot: u16, state: SlotState) {
        self.segment.set_state(slot, state, self.segment.slot(slot).generation);
    }

    fn signal(&self, slot: u16, signal: i32, orders: &mut Orders) {
        self.set_state(slot, SlotState::Ending);
        orders.push_back((Order::Signal { app: self.id, slot, signal }.encode(), Vec::new()));
    }

    fn clear(&mut self, slot: u16) {
        self.set_state(slot, SlotState::Vacant);
        self.segment.set_pid(slot, 0);
        let _ = fs::remove_file(self.segment.socket_path(slot));
        self.processes.remove(&slot);
    }

    /// Takes what a process has written.
    pub(super) fn read_output(&mut self, slot: u16, log: &mut Log) {
        let Some(process) = self.processes.get_mut(&slot) else { return };
        let Some(output) = process.output.take() else { return };
        let mut lines = std::mem::take(&mut process.lines);
        let more = pipe::drain(&output, READS, |bytes| {
            lines.take(bytes, |line| process.write(&self.about.name, line, log));
        });
        process.lines = lines;
        process.output = more.then_some(output);
    }
}

impl Process {
    /// A line of its output.
    fn write(&mut self, name: &str, line: &[u8], log: &mut Log) {
        let now = monotonic();
        if now.saturating_sub(self.second) >= Duration::from_secs(1) {
            (self.second, self.passed) = (now, 0);
            let held = std::mem::take(&mut self.held);
            if held > 0 {
                let text = format_args!("\"{name}\" ({}): {held} lines more were left out", self.pid);
                log.line(Level::Error, PROCESS_OUTPUT, text);
            }
        }
        if self.passed == LINES {
            self.held += 1;
            return;
        }
        self.passed += 1;
        log.line(Level::Error, PROCESS_OUTPUT, format_args!("\"{name}\" ({}): {}", self.pid, escape(line)));
    }
}
