// SPDX-License-Identifier: MIT OR Apache-2.0
//! The supervisor: a process of the workers' user that carries out what the plans decide. It has no rights that a worker has
//! not: processes are made and ended by the keeper, at its request. What it knows of applications the server's parent has said,
//! and what it knows of requests the workers wrote; no process of an application can tell it anything but that it takes requests.

mod app;
mod control;
mod incident;
mod log;
mod probe;
mod process;
mod reply;
mod templates;
mod warmup;
mod watch;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    path::PathBuf,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use super::{
    message::{self, About, WorkerMessage},
    plan::Event,
    segment::{Owner, Segment, Wake},
};
use crate::status::StatusBoard;
use crate::sys::{
    EventFd, PidFd, monotonic, poll, run_directory,
    spawner::tree::{Fact, MessageSocket, Parcel, RunningTemplate},
};
use app::{CommandQueue, Supervised};
use control::ControlSocket;
use log::Log;
pub use log::Stamp;

/// How often files are looked at, those of all applications together.
const WATCH: Duration = Duration::from_secs(1);

/// Where sockets stand: those of all servers, and those of this one.
pub(super) struct ServerPlace {
    pub(super) run_directory: PathBuf,
    pub(super) own: PathBuf,
}

/// What was said of an application and does not count yet.
struct Staged {
    id: u32,
    version: u32,
    about: About,
    memory: OwnedFd,
}

/// A process that ran before this supervisor.
struct FoundFiles {
    app: u32,
    slot: u16,
    pid: u32,
    version: u32,
    output: Option<OwnedFd>,
    /// Of a template: its generation, and whether it has loaded the application.
    template: Option<(u32, bool)>,
}

struct Supervisor {
    keeper: MessageSocket,
    commands: CommandQueue,
    by_threads: bool,
    apps: BTreeMap<u32, Supervised>,
    staged: Vec<Staged>,
    found: Vec<FoundFiles>,
    links: Vec<(MessageSocket, Owner)>,
    /// Workers that have something in the shared memory and have not come yet.
    strangers: Vec<(PidFd, Owner)>,
    control: ControlSocket,
    /// Where it is said how applications do.
    figures: Option<Rc<StatusBoard>>,
    /// When files are looked at, if there are some.
    watch_at: Option<Duration>,
    log: Log,
}

/// What a descriptor is.
#[derive(Clone, Copy)]
enum EventSource {
    Keeper,
    Link(usize),
    Stranger(usize),
    Output(u32, u16),
    Probe(u32, u16),
    Control,
    Caller(u32),
}

/// Its life, until the keeper has ended.
pub(super) fn live(keeper: MessageSocket, place: &ServerPlace, stamp: Stamp, by_threads: bool) {
    let Ok(held) = run_directory::hold(&place.own) else { return };
    run_directory::sweep(&place.run_directory);
    let mut supervisor = Supervisor {
        keeper,
        commands: VecDeque::new(),
        by_threads,
        apps: BTreeMap::new(),
        staged: Vec::new(),
        found: Vec::new(),
        links: Vec::new(),
        strangers: Vec::new(),
        control: ControlSocket::new(run_directory::control_socket(&place.own)),
        figures: None,
        watch_at: None,
        log: Log::new(stamp),
    };
    while supervisor.serve() {}
    drop(supervisor);
    run_directory::remove(&place.own);
    drop(held);
}

impl Supervisor {
    /// Waits for what comes, and does it. Answers whether the keeper still lives.
    fn serve(&mut self) -> bool {
        let (mut entries, sources) = self.sources();
        poll(&mut entries, self.pause());
        let mut ended = Vec::new();
        for (entry, source) in entries.iter().zip(sources).filter(|(entry, _)| entry.revents != 0) {
            match source {
                EventSource::Keeper => {
                    if entry.revents & !libc::POLLOUT != 0 && !self.hear() {
                        return false;
                    }
                }
                EventSource::Link(index) => {
                    if !self.listen(index) {
                        ended.push(index);
                    }
                }
                EventSource::Stranger(index) => {
                    if let Some((_, owner)) = self.strangers.get(index) {
                        let owner = *owner;
                        self.worker_has_ended(owner);
                    }
                }
                EventSource::Output(app, slot) => {
                    if let Some(app) = self.apps.get_mut(&app) {
                        app.read_output(slot, &mut self.log);
                    }
                }
                EventSource::Control => self.control.accept(monotonic()),
                EventSource::Caller(id) => self.attend(id),
                EventSource::Probe(app, slot) => {
                    if let Some(app) = self.apps.get_mut(&app) {
                        app.look_at_probe(slot, &mut self.commands, &mut self.log);
                    }
                }
            }
        }
        for index in ended.into_iter().rev() {
            let (_, owner) = self.links.swap_remove(index);
            if !self.links.iter().any(|(_, other)| *other == owner) {
                self.worker_has_ended(owner);
            }
        }
        self.look_at_the_time();
        self.send_orders()
    }

    fn sources(&self) -> (Vec<libc::pollfd>, Vec<EventSource>) {
        let (mut entries, mut sources) = (Vec::new(), Vec::new());
        let mut add = |fd: RawFd, events, source| {
            entries.push(libc::pollfd { fd, events, revents: 0 });
            sources.push(source);
        };
        let room = if self.commands.is_empty() { 0 } else { libc::POLLOUT };
        add(self.keeper.as_fd().as_raw_fd(), libc::POLLIN | room, EventSource::Keeper);
        for (index, (channel, _)) in self.links.iter().enumerate() {
            add(channel.as_fd().as_raw_fd(), libc::POLLIN, EventSource::Link(index));
        }
        for (index, (process, _)) in self.strangers.iter().enumerate() {
            add(process.as_raw_fd(), libc::POLLIN, EventSource::Stranger(index));
        }
        for (id, app) in &self.apps {
            for (slot, output, probe) in app.descriptors() {
                output.into_iter().for_each(|fd| add(fd, libc::POLLIN, EventSource::Output(*id, slot)));
                probe.into_iter().for_each(|(fd, events)| add(fd, events, EventSource::Probe(*id, slot)));
            }
        }
        self.control.listener().into_iter().for_each(|fd| add(fd, libc::POLLIN, EventSource::Control));
        for (id, fd, events) in self.control.callers() {
            add(fd, events, EventSource::Caller(id));
        }
        (entries, sources)
    }

    /// How long nothing has to be done.
    fn pause(&mut self) -> Option<Duration> {
        let now = monotonic();
        let watched = self.apps.values().any(Supervised::is_watched);
        self.watch_at = watched.then(|| self.watch_at.unwrap_or(now + WATCH));
        let others = [self.control.due(), self.watch_at].into_iter().flatten();
        self.apps
            .values_mut()
            .filter_map(|app| app.set_due(now))
            .chain(others)
            .min()
            .map(|at| at.saturating_sub(now))
    }

    /// Takes what the keeper says.
    fn hear(&mut self) -> bool {
        loop {
            let parcel = match self.keeper.receive(false) {
                Ok(parcel) => parcel,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    self.log.message_lost();
                    continue;
                }
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            };
            self.take(parcel);
        }
    }

    fn take(&mut self, parcel: Parcel) {
        let mut fds = parcel.fds.into_iter();
        match Fact::decode(&parcel.bytes) {
            Some(Fact::Application(id, version, about)) => {
                if let (Some(about), Some(memory)) = (About::decode(about), fds.next()) {
                    self.staged.push(Staged { id, version, about, memory });
                }
            }
            Some(Fact::Running(app, slot, pid, version)) => {
                self.found.push(FoundFiles { app, slot, pid, version, output: fds.next(), template: None });
            }
            Some(Fact::Template(found)) => {
                let RunningTemplate { app, slot, pid, version, generation, is_loaded } = found;
                let template = Some((generation, is_loaded));
                self.found.push(FoundFiles { app, slot, pid, version, output: fds.next(), template });
            }
            Some(Fact::Commit(applications)) => {
                self.log.open(fds.next());
                if let Err(error) = self.control.open() {
                    self.log.control_failed(&error);
                }
                let wakeup = if self.by_threads { None } else { fds.next() };
                // Without memory nobody is told.
                self.figures = fds.next().and_then(|memory| StatusBoard::open(memory).ok()).map(Rc::new);
                self.configure(applications, wakeup);
            }
            Some(Fact::Connect) => {
                if let Some(channel) = fds.next().map(MessageSocket::of)
                    && let Ok((pid, _)) = channel.maker()
                {
                    let owner = Owner::of(pid);
                    self.strangers.retain(|(_, other)| *other != owner);
                    self.links.push((channel, owner));
                }
            }
            Some(Fact::Started(app, slot, pid)) => {
                self.apps.get_mut(&app).into_iter().for_each(|app| app.started(slot, pid));
            }
            Some(Fact::NotStarted(app, slot, failure)) => {
                if let Some(app) = self.apps.get_mut(&app) {
                    app.not_started(slot, failure.to_string(), &mut self.commands, &mut self.log);
                }
            }
            Some(Fact::Exited(app, slot, exit)) => {
                if let Some(app) = self.apps.get_mut(&app) {
                    app.exited(slot, exit, &mut self.commands, &mut self.log);
                }
            }
            Some(Fact::Memory(app, slot, pid, bytes)) => {
                self.apps.get(&app).into_iter().for_each(|app| app.measured(slot, pid, bytes));
            }
            Some(Fact::Loaded(app, slot, reason)) => {
                if let Some(app) = self.apps.get_mut(&app) {
                    app.loaded(slot, reason, &mut self.commands, &mut self.log);
                }
            }
            None => {}
        }
    }

    /// What was staged last, so many applications, counts from now on.
    fn configure(&mut self, applications: usize, wakeup: Option<OwnedFd>) {
        let mut staged = std::mem::take(&mut self.staged);
        let Some(first) = staged.len().checked_sub(applications) else {
            // A part of a configuration would end what runs of the others.
            return self.log.message_lost();
        };
        let wakeup = wakeup.map(|wakeup| Arc::new(EventFd::of(wakeup)));
        let mut named = Vec::new();
        for staged in staged.drain(first..) {
            named.push(staged.id);
            if let Some(app) = self.apps.get_mut(&staged.id) {
                app.set_figures(self.figures.clone());
                app.configure(staged.version, staged.about, &mut self.commands, &mut self.log);
                continue;
            }
            let wake = match &wakeup {
                Some(wakeup) if !self.by_threads => Wake::Event(Arc::clone(wakeup)),
                _ => Wake::Threads,
            };
            match Segment::open(staged.memory, wake) {
                Ok(segment) => {
                    let mut app = Supervised::new(staged.id, staged.version, staged.about, segment);
                    app.set_figures(self.figures.clone());
                    let (mine, others): (Vec<_>, Vec<_>) =
                        self.found.drain(..).partition(|found| found.app == staged.id);
                    self.found = others;
                    mine.into_iter().for_each(|found| app.adopt(found));
                    self.strangers.extend(app.strangers());
                    app.begin(&mut self.commands, &mut self.log);
                    self.apps.insert(staged.id, app);
                }
                Err(error) => self.log.memory_failed(&staged.about.name, &error),
            }
        }
        for found in self.found.drain(..) {
            app::kill(&mut self.commands, found.app, found.slot);
        }
        for (_, app) in self.apps.iter_mut().filter(|(id, _)| !named.contains(id)) {
            app.happens(Event::Retire, &mut self.commands, &mut self.log);
        }
    }

    /// Takes what a worker says. Answers whether it still lives.
    fn listen(&mut self, index: usize) -> bool {
        let mut demanded = Vec::new();
        let alive = loop {
            let Some((channel, _)) = self.links.get(index) else { break true };
            match channel.receive(false) {
                Ok(parcel) => match message::of_worker(&parcel.bytes) {
                    Some(WorkerMessage::Demand(app)) if !demanded.contains(&app) => demanded.push(app),
                    Some(WorkerMessage::Measure(app)) => {
                        let app = self.apps.get_mut(&app);
                        app.into_iter().for_each(|app| app.measure(&mut self.commands));
                    }
                    Some(WorkerMessage::Trouble(trouble)) => {
                        let app = self.apps.get_mut(&trouble.app);
                        app.into_iter().for_each(|app| app.hear_trouble(&trouble));
                    }
                    _ => {}
                },
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                Err(error) => break error.kind() == io::ErrorKind::WouldBlock,
            }
        };
        for app in demanded {
            if let Some(app) = self.apps.get_mut(&app) {
                app.happens(Event::Demand, &mut self.commands, &mut self.log);
            }
        }
        alive
    }

    /// Frees what a worker had.
    fn worker_has_ended(&mut self, owner: Owner) {
        self.strangers.retain(|(_, other)| *other != owner);
        for app in self.apps.values_mut() {
            app.free(owner);
            app.happens(Event::Tick, &mut self.commands, &mut self.log);
        }
    }

    fn look_at_the_time(&mut self) {
        let now = monotonic();
        self.control.expire(now);
        if self.watch_at.is_some_and(|at| at <= now) {
            self.watch_at = None;
            for app in self.apps.values_mut() {
                app.look_at_files(&mut self.commands, &mut self.log);
            }
        }
        for app in self.apps.values_mut() {
            if app.is_due(now) {
                app.look(now, &mut self.commands, &mut self.log);
            }
        }
        self.apps.values().filter(|app| app.is_over()).for_each(Supervised::forget_files);
        self.apps.retain(|_, app| !app.is_over());
    }

    fn send_orders(&mut self) -> bool {
        while let Some((message, fds)) = self.commands.front() {
            let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            match self.keeper.send(message, &borrowed, false) {
                Ok(()) => drop(self.commands.pop_front()),
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        true
    }
}
