// SPDX-License-Identifier: MIT OR Apache-2.0
//! The keeper: starts the processes that the supervisor asks for, of the applications that the server's parent has named, and
//! tells what becomes of them. It decides nothing.

mod templates;

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    time::{Duration, Instant},
};

use super::{
    super::{
        super::{catches, cgroup, poll, proportional},
        launch::{Launcher, ProcessAttributes, RunAs, change_user},
        process,
        report::{Exit, Failure, Step},
        request::SpawnerCommand,
        signals,
    },
    Fact, KeeperCommand, MessageSocket, Parcel,
    message::{self, Heard, Recipe},
    processes,
    table::Table,
    template::KeptTemplate,
};
use crate::rights::Identity;

/// A supervisor that lives no longer is followed by the next one after a pause.
const SHORT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(200);
/// How long the supervisor may take nothing of what it is told.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between TERM and KILL at the end of the server.
const LAST_GRACE: Duration = Duration::from_secs(2);
/// When a host of ours that still runs something is told once more: it hurries then, and has the time to end its application.
const LAST_HURRY: Duration = Duration::from_millis(300);
/// And between TERM and the signal by which FastCGI's own library leaves the wait for a request, again and again: it is lost on one
/// that is about to wait. Nobody has a request any more.
const LAST_NUDGE: Duration = Duration::from_millis(20);

/// The first word of a host of ours.
const HOSTED: &CStr = c"--managed";

struct Keeper<'a> {
    server: &'a MessageSocket,
    /// The guard, which remembers.
    memory: &'a MessageSocket,
    table: Table,
    /// Descriptors that processes may have whose words say nothing of it.
    files: u64,
    worker: &'a Identity,
    supervise: &'a dyn Fn(MessageSocket),
    launcher: Launcher,
    children: OwnedFd,
    supervisor: Option<SupervisorProcess>,
    processes: Vec<KeptProcess>,
    templates: Vec<KeptTemplate>,
}

struct SupervisorProcess {
    pid: libc::pid_t,
    channel: MessageSocket,
    since: Instant,
}

/// A process of an application.
struct KeptProcess {
    app: u32,
    slot: u16,
    version: u32,
    pid: libc::pid_t,
    /// Where its output can be read: for the next supervisor.
    output: OwnedFd,
    /// Whether it is a host of ours, which hears the first word.
    is_hosted: bool,
}

/// The life of the keeper, until the server has ended.
pub(super) fn live(
    server: &MessageSocket,
    memory: &MessageSocket,
    (table, files): (Table, u64),
    worker: &Identity,
    supervise: &dyn Fn(MessageSocket),
) {
    process::name(c"gangway-spawn");
    processes::adopt_orphans();
    let (Ok(launcher), Ok(children)) = (Launcher::new(), signals::of_children()) else { return };
    let mut keeper = Keeper {
        server,
        memory,
        table,
        files,
        worker,
        supervise,
        launcher,
        children,
        supervisor: None,
        processes: Vec::new(),
        templates: Vec::new(),
    };
    while keeper.serve() {}
    keeper.end();
}

impl Keeper<'_> {
    /// Waits for what comes, and does it. Answers whether the server still lives.
    fn serve(&mut self) -> bool {
        if self.supervisor.is_none() {
            self.start_supervisor();
        }
        let entry = |fd: RawFd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let asks = self.supervisor.as_ref().map_or(-1, |supervisor| supervisor.channel.as_fd().as_raw_fd());
        let own = [self.server.as_fd().as_raw_fd(), asks, self.children.as_raw_fd()];
        let templates = self.templates.iter().filter(|template| !template.is_over);
        let templates = templates.map(|template| template.channel.as_fd().as_raw_fd());
        let mut shown: Vec<_> = own.into_iter().chain(templates).map(entry).collect();
        poll(&mut shown, self.supervisor.is_none().then_some(PAUSE));
        let mut shown = shown.into_iter().map(|entry| entry.revents != 0);
        let (server, asked, ended) = (shown.next(), shown.next(), shown.next());
        if shown.any(|heard| heard) {
            self.hear_templates();
        }
        let [server, asked, ended] = [server, asked, ended].map(|shown| shown == Some(true));
        if ended {
            self.collect();
        }
        if asked {
            self.obey();
        }
        !server || self.hear()
    }

    /// Takes what the server's processes say.
    fn hear(&mut self) -> bool {
        let packet = match self.server.receive(false) {
            Ok(packet) => packet,
            Err(error) => {
                return matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::WouldBlock);
            }
        };
        // SAFETY: it has no conditions.
        let own = unsafe { libc::geteuid() };
        match message::heard(&packet.bytes) {
            Some(Heard::Connect) => self.pass_on(&packet),
            // A worker that has been taken over has another user than the server's parent.
            Some(Heard::Application | Heard::Commit(_))
                if packet.sender.is_some_and(|sender| sender.user == own) =>
            {
                // Without the guard nobody remembers; then there is no other keeper either.
                let _ = packet.send(self.memory);
                self.pass_on(&packet);
                if let Some(replaced) = self.table.take(packet) {
                    let lives = |app| {
                        self.processes.iter().any(|process| process.app == app)
                            || self.templates.iter().any(|template| template.app == app)
                    };
                    self.table.keep_former(replaced, lives);
                }
            }
            _ => {}
        }
        true
    }

    fn pass_on(&self, packet: &Parcel) {
        let fds: Vec<_> = packet.fds.iter().map(AsFd::as_fd).collect();
        self.tell_supervisor(&packet.bytes, &fds);
    }

    fn tell(&self, fact: &Fact<'_>, fds: &[BorrowedFd<'_>]) {
        self.tell_supervisor(&fact.encode(), fds);
    }

    /// A supervisor that takes nothing for so long is stopped, or waits for what does not come, and the server waits for it: another one
    /// takes its place.
    fn tell_supervisor(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
        let Some(supervisor) = &self.supervisor else { return };
        let sent = supervisor.channel.send_within(bytes, fds, PATIENCE);
        if sent.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            processes::signal_group(supervisor.pid, libc::SIGKILL);
        }
    }

    /// Does what the supervisor asks.
    fn obey(&mut self) {
        let Some(supervisor) = &self.supervisor else { return };
        let packet = match supervisor.channel.receive(false) {
            Ok(packet) => packet,
            Err(error) => {
                if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::InvalidData) {
                    // It is about to be collected.
                    processes::signal_group(supervisor.pid, libc::SIGKILL);
                    self.collect();
                }
                return;
            }
        };
        match KeeperCommand::decode(&packet.bytes) {
            Some(KeeperCommand::Start { app, slot, version }) => match <[OwnedFd; 3]>::try_from(packet.fds) {
                Ok(fds) => self.start(app, slot, version, fds),
                Err(_) => self.not_started(app, slot, Failure { step: Step::Request, errno: 0 }),
            },
            Some(KeeperCommand::Load { app, slot, version, generation }) => {
                match <[OwnedFd; 2]>::try_from(packet.fds) {
                    Ok(fds) => self.load(app, slot, (version, generation), fds),
                    Err(_) => self.not_started(app, slot, Failure { step: Step::Request, errno: 0 }),
                }
            }
            Some(KeeperCommand::Fork { app, slot, template }) => match <[OwnedFd; 3]>::try_from(packet.fds) {
                Ok(fds) => self.fork(app, slot, template, fds),
                Err(_) => self.not_started(app, slot, Failure { step: Step::Request, errno: 0 }),
            },
            Some(KeeperCommand::Signal { app, slot, signal })
                if matches!(signal, libc::SIGTERM | libc::SIGUSR1 | libc::SIGKILL) =>
            {
                self.signal_template(app, slot, signal);
                for process in &self.processes {
                    if (process.app, process.slot) == (app, slot) {
                        processes::signal_group(process.pid, signal);
                    }
                }
            }
            Some(KeeperCommand::Measure { app, slot }) => self.measure(app, slot),
            _ => {}
        }
    }

    /// A process that cannot be looked into has ended, which is told by itself.
    fn measure(&self, app: u32, slot: u16) {
        let found = self.processes.iter().find(|process| (process.app, process.slot) == (app, slot));
        let pid = found.map(|process| process.pid as u32);
        if let Some((pid, bytes)) = pid.and_then(|pid| Some((pid, proportional(pid)?))) {
            self.tell(&Fact::Memory(app, slot, pid, bytes), &[]);
        }
    }

    fn not_started(&self, app: u32, slot: u16, failure: Failure) {
        self.tell(&Fact::NotStarted(app, slot, failure), &[]);
    }

    fn start(&mut self, app: u32, slot: u16, version: u32, [listener, writer, output]: [OwnedFd; 3]) {
        if self.is_taken(app, slot) {
            return self.not_started(app, slot, Failure { step: Step::Request, errno: 0 });
        }
        let Ok(errors) = writer.try_clone() else {
            return self.not_started(app, slot, Failure { step: Step::Descriptors, errno: libc::EMFILE });
        };
        match self.launch(app, version, &[listener, writer, errors], false) {
            Ok((pid, _)) => {
                let is_hosted = self.is_hosted(app, version);
                self.processes.push(KeptProcess { app, slot, version, pid, output, is_hosted });
                self.tell(&Fact::Started(app, slot, pid as u32), &[]);
            }
            Err(failure) => self.not_started(app, slot, failure),
        }
    }

    fn is_hosted(&self, app: u32, version: u32) -> bool {
        let command =
            self.table.recipe(app, version).and_then(|recipe| SpawnerCommand::decode(recipe.request));
        matches!(command, Some(SpawnerCommand::Run(run)) if run.arguments.first() == Some(&HOSTED))
    }

    fn is_taken(&self, app: u32, slot: u16) -> bool {
        self.processes.iter().any(|process| (process.app, process.slot) == (app, slot))
            || self
                .templates
                .iter()
                .any(|template| template.app == app && (template.slot == slot || template.is_asked_for(slot)))
    }

    /// Executes what the words of an application say. Answers the process and its user.
    fn launch(
        &self,
        app: u32,
        version: u32,
        fds: &[OwnedFd; 3],
        is_template: bool,
    ) -> Result<(libc::pid_t, u32), Failure> {
        let unknown = Failure { step: Step::Request, errno: 0 };
        let recipe = self.table.recipe(app, version).ok_or(unknown)?;
        let Some(SpawnerCommand::Run(mut run)) = SpawnerCommand::decode(recipe.request) else {
            return Err(unknown);
        };
        if is_template {
            run.arguments.insert(0, c"--template");
        }
        // SAFETY: neither has conditions.
        let (own, pid) = unsafe { (libc::geteuid(), libc::getpid()) };
        let (user, number) = match &recipe.user {
            Some(user) => (RunAs::Account(user), user.user),
            None if own != self.worker.user => (RunAs::Server(self.worker), self.worker.user),
            None => (RunAs::Same, own),
        };
        let cgroup = recipe.cgroup().map(|group| cgroup::open(&group)).transpose();
        let cgroup = cgroup.map_err(|error| Failure {
            step: Step::ControlGroup,
            errno: error.raw_os_error().unwrap_or(libc::EIO),
        })?;
        let entry = cgroup.as_ref().map(AsRawFd::as_raw_fd);
        let (umask, files) = (Some(recipe.umask), self.files);
        let attributes = ProcessAttributes { umask, nice: recipe.nice, cgroup: entry, files, parent: pid };
        let launched = self.launcher.launch(&run, fds, user, attributes);
        launched.map(|pid| (pid, number)).map_err(|(failure, child)| {
            child.map(processes::collect);
            failure
        })
    }

    /// Looks which children have ended.
    fn collect(&mut self) {
        signals::take(&self.children);
        while let Some(pid) = processes::ended() {
            let find = |processes: &[KeptProcess]| processes.iter().position(|process| process.pid == pid);
            if find(&self.processes).is_none() {
                // What it has said of itself before its end is there by now.
                self.hear_templates();
            }
            let known = find(&self.processes);
            let template = self.take_template(pid);
            if known.is_some() || template.is_some() {
                // What it leaves behind in its group ends with it. Its number is still its own.
                processes::signal_group(pid, libc::SIGKILL);
            }
            let exit = Exit::from_wait(processes::collect(pid));
            if let Some(index) = known {
                let process = self.processes.swap_remove(index);
                self.tell(&Fact::Exited(process.app, process.slot, exit), &[]);
            }
            if let Some(template) = template {
                self.tell(&Fact::Exited(template.app, template.slot, exit), &[]);
            }
            if self.supervisor.as_ref().is_some_and(|supervisor| supervisor.pid == pid)
                && let Some(supervisor) = self.supervisor.take()
                && supervisor.since.elapsed() < SHORT
            {
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// Another supervisor knows what this one is told: what the parent has said, and what runs.
    fn start_supervisor(&mut self) {
        let Ok((channel, there)) = MessageSocket::pair() else { return };
        // SAFETY: this process has one thread, so the child may use everything.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            drop(channel);
            self.become_supervisor(there);
        }
        if pid < 0 {
            return;
        }
        drop(there);
        // A group of its own, to be ended as one.
        // SAFETY: numbers only.
        unsafe { libc::setpgid(pid, pid) };
        // The last one, which makes the configuration whole, comes after what runs. What has come of the next one follows.
        let (told, last) = self.table.told.split_at(self.table.told.len().saturating_sub(1));
        let send = |packets: &[Parcel]| packets.iter().for_each(|packet| drop(packet.send(&channel)));
        send(told);
        for process in &self.processes {
            let running = Fact::Running(process.app, process.slot, process.pid as u32, process.version);
            let _ = channel.send(&running.encode(), &[process.output.as_fd()], true);
        }
        templates::tell(&mut self.templates, &channel);
        send(last);
        send(&self.table.next);
        self.supervisor = Some(SupervisorProcess { pid, channel, since: Instant::now() });
    }

    fn become_supervisor(&self, channel: MessageSocket) -> ! {
        process::name(c"gangway-super");
        // SAFETY: neither has conditions; this process has one thread.
        let ready = unsafe {
            let other = libc::geteuid() != self.worker.user;
            !other || change_user(self.worker).is_some()
        };
        if ready && let Some(channel) = process::keep_only(channel.as_fd()) {
            // SAFETY: numbers only. Who has the same user may not look into it.
            unsafe {
                libc::prctl(libc::PR_SET_DUMPABLE, 0);
                libc::umask(0o077);
            }
            (self.supervise)(MessageSocket::of(channel));
        }
        // SAFETY: _exit(2) has no conditions; it runs nothing of the server.
        unsafe { libc::_exit(0) }
    }

    /// Programs that wait for a request, and have something to do when this signal comes, may hear no TERM: Perl is one.
    fn nudge(&self) {
        for process in self.processes.iter().filter(|process| !process.is_hosted) {
            if catches(process.pid as u32, libc::SIGUSR1) {
                processes::signal_group(process.pid, libc::SIGUSR1);
            }
        }
    }

    /// The server has ended: so does everything.
    fn end(&mut self) {
        let templates = self.templates.iter().map(|template| template.pid);
        for pid in self.processes.iter().map(|process| process.pid).chain(templates) {
            processes::signal_group(pid, libc::SIGTERM);
        }
        // The end of its channel is that of the supervisor, which takes its sockets away.
        let supervisor = self.supervisor.take().map(|supervisor| supervisor.pid);
        let lives = || supervisor.is_some_and(processes::exists);
        let begun = Instant::now();
        let (until, mut hurry) = (begun + LAST_GRACE, Some(begun + LAST_HURRY));
        while (!self.processes.is_empty() || lives()) && Instant::now() < until {
            let fd = self.children.as_raw_fd();
            let mut shown = [libc::pollfd { fd, events: libc::POLLIN, revents: 0 }];
            poll(&mut shown, Some(LAST_NUDGE));
            self.collect();
            if hurry.is_some_and(|hurry| hurry <= Instant::now()) {
                hurry = None;
                let hosts = self.processes.iter().filter(|process| process.is_hosted);
                hosts.for_each(|process| processes::signal_group(process.pid, libc::SIGTERM));
            }
            if shown.iter().all(|entry| entry.revents == 0) {
                self.nudge();
            }
        }
        for process in &self.processes {
            processes::signal_group(process.pid, libc::SIGKILL);
        }
        processes::end_children(true);
        let told = self.table.told.iter().filter_map(|packet| Recipe::decode(&packet.bytes));
        told.filter_map(|recipe| recipe.cgroup()).for_each(|group| cgroup::remove(&group));
    }
}
