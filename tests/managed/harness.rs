// SPDX-License-Identifier: MIT OR Apache-2.0
//! A server without a server.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(dead_code, reason = "each binary that includes this module uses a part of it")]

use std::{
    fs,
    io::{PipeReader, PipeWriter, Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use gangway::{
    config::{Managed, Parser},
    rights::Identity,
    supervise::{
        ManagedPool, Manager, Setup, Stamp,
        control::{ControlRefusal, Question, Record, decode_answer},
        segment::{Owner, Place, QueuePoll, Segment, SlotState, Ticket, Wake},
    },
    sys::{LeftOpen, run_directory, spawner},
};

const LONG: Duration = Duration::from_secs(20);

pub(crate) fn is_root() -> bool {
    spawner::is_root()
}

pub(crate) fn user(name: &str) -> Identity {
    spawner::lookup(name).unwrap()
}

pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < end, "in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Processes that wait to be collected have ended.
pub(crate) fn alive(pid: u32) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    text.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

fn status(pid: u32, key: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.trim_start_matches(':').trim().to_owned()
}

pub(crate) fn name(pid: u32) -> String {
    status(pid, "Name")
}

pub(crate) fn parent(pid: u32) -> u32 {
    status(pid, "PPid").parse().unwrap()
}

pub(crate) fn uid(pid: u32) -> u32 {
    status(pid, "Uid").split_whitespace().next().unwrap().parse().unwrap()
}

/// Waits until none of these processes has run for so long.
pub(crate) fn rest(pids: &[u32], time: Duration) {
    let look = || pids.iter().map(|pid| status(*pid, "voluntary_ctxt_switches")).collect::<Vec<_>>();
    let (mut seen, mut since) = (look(), Instant::now());
    until("they rest", || {
        let now = look();
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
        since.elapsed() >= time
    });
}

pub(crate) fn kill(pid: u32, signal: i32) {
    // SAFETY: numbers only: a process that this test has made.
    unsafe { libc::kill(pid as i32, signal) };
}

/// A process that is a copy of this one and runs this, until it is killed.
pub(crate) fn forked(run: impl FnOnce() -> std::convert::Infallible) -> u32 {
    // SAFETY: the child uses what this thread owns; the C library keeps its memory usable. It never returns.
    match unsafe { libc::fork() } {
        0 => {
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            // SAFETY: it runs nothing of this process.
            unsafe { libc::_exit(1) }
        }
        pid => pid as u32,
    }
}

pub(crate) fn sleep_for_ever() -> std::convert::Infallible {
    loop {
        thread::sleep(LONG);
    }
}

pub(crate) fn become_user(identity: &Identity) {
    // SAFETY: numbers only; this process has one thread.
    unsafe {
        assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
        assert_eq!(libc::setresgid(identity.group, identity.group, identity.group), 0);
        assert_eq!(libc::setresuid(identity.user, identity.user, identity.user), 0);
    }
}

pub(crate) fn say(mut writer: &PipeWriter, numbers: &[u32; 2]) {
    writer.write_all(&numbers.map(u32::to_ne_bytes).concat()).unwrap();
}

pub(crate) fn hear(mut reader: PipeReader) -> [u32; 2] {
    let mut bytes = [0; 8];
    reader.read_exact(&mut bytes).unwrap();
    [0, 4].map(|at| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap()))
}

pub(crate) fn parse(words: &[String]) -> Result<Managed, gangway::config::ConfigError> {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    Parser { base: Path::new("/"), timeout: None }.program(&words)
}

/// Says something to a control socket, and takes what comes until its end.
pub(crate) fn talk(control: &Path, line: &[u8]) -> Option<String> {
    let mut stream = UnixStream::connect(control).ok()?;
    stream.set_read_timeout(Some(LONG)).ok()?;
    stream.write_all(line).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

pub(crate) struct Server {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) worker: Identity,
    pub(crate) pools: Vec<ManagedPool>,
    manager: Option<Manager>,
    log: fs::File,
    host: PathBuf,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with_host("/usr/lib/gangway/gangway-host".into())
    }

    /// One that runs applications of engines by this program.
    pub(crate) fn with_host(host: PathBuf) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let log = folder.path().join("log");
        let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        // SAFETY: neither has conditions.
        let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
        let worker = match is_root() {
            true => spawner::account(c"www-data", 33, 33),
            false => Identity { name: String::new(), user, group, groups: vec![group] },
        };
        let mut server = Self { folder, worker, pools: Vec::new(), manager: None, log, host };
        server.manager = Some(server.start_at(&server.folder.path().join("run")).unwrap());
        server
    }

    pub(crate) fn start_at(&self, run_directory: &Path) -> std::io::Result<Manager> {
        Manager::start(self.setup(run_directory))
    }

    fn setup(&self, run_directory: &Path) -> Setup {
        Setup {
            run_directory: run_directory.to_owned(),
            worker: self.worker.clone(),
            wake: Wake::Threads,
            host: self.host.clone(),
            stamp: Stamp::Slashes,
            begun: || (),
        }
    }

    /// The server's code is unloaded and loaded again.
    pub(crate) fn load_anew(&mut self) {
        self.pools.clear();
        let left = self.manager.take().unwrap().suspend().unwrap();
        let left = LeftOpen::from_numbers(left.to_numbers());
        self.manager = Some(Manager::resume(self.setup(&self.folder.path().join("run")), left).unwrap());
    }

    pub(crate) fn manager(&self) -> &Manager {
        self.manager.as_ref().unwrap()
    }

    pub(crate) fn manager_mut(&mut self) -> &mut Manager {
        self.manager.as_mut().unwrap()
    }

    /// Applications of the test's program.
    pub(crate) fn configure(&mut self, applications: &[&[&str]]) {
        // Users of the test may not reach the place of the sources.
        let copy = self.folder.path().join("program.py");
        if !copy.exists() {
            fs::write(&copy, include_str!("program.py")).unwrap();
        }
        let start = ["/usr/bin/python3", "-I", "-S"].map(str::to_owned);
        let words = |words: &&[&str]| {
            let words = words.iter().map(|word| (*word).to_owned());
            start.iter().cloned().chain([copy.display().to_string()]).chain(words).collect()
        };
        let words: Vec<Vec<String>> = applications.iter().map(words).collect();
        self.configure_words(&words);
    }

    pub(crate) fn configure_words(&mut self, words: &[Vec<String>]) {
        let managed: Vec<_> = words.iter().map(|words| parse(words).unwrap()).collect();
        self.configure_managed(&managed);
    }

    pub(crate) fn configure_managed(&mut self, managed: &[Managed]) {
        let log = self.log.as_fd();
        self.pools = self.manager.as_mut().unwrap().configure(managed, log).unwrap();
    }

    pub(crate) fn segment(&self, app: usize) -> Arc<Segment> {
        Arc::clone(&self.pools[app].segment)
    }

    pub(crate) fn slots(&self, app: usize, state: SlotState) -> Vec<u16> {
        let segment = &self.pools[app].segment;
        (0..segment.shape().slots).filter(|slot| segment.slot(*slot).state == state).collect()
    }

    pub(crate) fn pids(&self, app: usize, state: SlotState) -> Vec<u32> {
        self.slots(app, state).iter().map(|slot| self.pools[app].segment.slot(*slot).pid).collect()
    }

    /// The processes of an application, when so many are ready.
    pub(crate) fn ready(&self, app: usize, count: usize) -> Vec<u32> {
        until("so many are ready", || self.slots(app, SlotState::Ready).len() == count);
        self.pids(app, SlotState::Ready)
    }

    pub(crate) fn claimed(&self, app: usize, ticket: &Ticket) -> Place {
        let mut place = None;
        until("it is its turn", || {
            match self.pools[app].segment.poll(ticket, Owner::this_process(), 0) {
                QueuePoll::Claimed(claimed) => place = Some(claimed),
                QueuePoll::Waits => {}
                QueuePoll::Refused => panic!("refused: {}", self.log()),
            }
            place.is_some()
        });
        place.unwrap()
    }

    pub(crate) fn ask(&self, app: usize, slot: u16, question: &str) -> String {
        let mut stream = UnixStream::connect(self.pools[app].segment.socket_path(slot)).unwrap();
        stream.write_all(question.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub(crate) fn wait_for_line(&self, part: &str) {
        until(part, || self.log().contains(part));
    }

    pub(crate) fn supervisor_now(&self, process: u32) -> Option<u32> {
        let keeper = parent(process);
        let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).ok()?;
        let mut children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        children.find(|pid| alive(*pid) && name(*pid) == "gangway-super")
    }

    pub(crate) fn supervisor(&self, process: u32) -> u32 {
        self.supervisor_now(process).unwrap()
    }

    /// The control socket, when it is there.
    pub(crate) fn control(&self) -> PathBuf {
        let sockets = || run_directory::control_sockets(&self.folder.path().join("run"));
        until("there is a control socket", || !sockets().is_empty());
        sockets().pop().unwrap()
    }

    /// Asks the supervisor as `gangway` does.
    pub(crate) fn control_says(&self, question: &Question) -> Result<Vec<Record>, ControlRefusal> {
        let mut answer = None;
        // One that has just been made is not listened to yet.
        until("the supervisor answers", || {
            answer =
                talk(&self.control(), question.encode().as_bytes()).and_then(|text| decode_answer(&text));
            answer.is_some()
        });
        answer.unwrap()
    }

    /// Ends the server. Answers where its sockets stood.
    pub(crate) fn end(&mut self) -> PathBuf {
        drop(self.manager.take());
        self.folder.path().join("run")
    }
}
