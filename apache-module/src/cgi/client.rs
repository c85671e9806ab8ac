// SPDX-License-Identifier: MIT OR Apache-2.0
//! This process' way to its helper: scripts are sent, their ends come back, and what goes on after its request has
//! been answered is looked after until its own end.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use gangway::{
    engine::fence,
    error::{CGI_SPAWNER, CGI_STDERR, CGI_TIMEOUT},
    log::{self, Level},
    pool::Permit,
    run::Lines,
    sys::{
        self, EventFd, lock, poll,
        spawner::{self, News, Order},
    },
};

use super::{GRACE, SPAWNER, Shared};

/// Stack of the thread that reads reports.
const STACK: usize = 256 * 1024;
/// How long the standard error of a script that has ended is still read, when others hold it open.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often scripts that go on after their output are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What has become of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The helper's word.
    News(News),
    /// The helper itself has ended.
    Lost,
}

/// One script, for those who wait for its end.
#[derive(Default)]
pub(super) struct State {
    fate: Mutex<Known>,
    known: Condvar,
}

#[derive(Default)]
struct Known {
    fate: Option<Fate>,
    /// Somebody waits for it.
    awaited: bool,
}

impl State {
    pub(super) fn fate(&self) -> Option<Fate> {
        lock(&self.fate).fate
    }

    /// What has become of it, if that is known soon.
    pub(super) fn fate_within(&self, patience: Duration) -> Option<Fate> {
        let mut known = lock(&self.fate);
        known.awaited = true;
        let wait = self.known.wait_timeout_while(known, patience, |known| known.fate.is_none());
        wait.unwrap_or_else(PoisonError::into_inner).0.fate
    }

    fn set(&self, fate: Fate) {
        let mut known = lock(&self.fate);
        known.fate = Some(fate);
        if known.awaited {
            self.known.notify_all();
        }
    }
}

/// A script that was sent to the helper.
pub(super) struct Running {
    pub(super) client: Arc<Client>,
    pub(super) id: u32,
    pub(super) state: Shared,
    /// Where its body is to be written, unless it has it already.
    pub(super) stdin: Option<File>,
    pub(super) stdout: File,
    pub(super) stderr: Option<File>,
}

/// What a script does after its request has been answered.
pub(super) struct Rest {
    pub(super) id: u32,
    pub(super) state: Shared,
    /// Output that nobody wants, where the script may go on all the same.
    pub(super) stdout: Option<File>,
    pub(super) stderr: Option<File>,
    pub(super) lines: Lines,
    pub(super) level: Level,
    pub(super) script: String,
    /// The request in words.
    pub(super) label: String,
    /// When its time is over.
    pub(super) deadline: Option<Instant>,
}

struct Entry {
    state: Shared,
    /// Its place among `processes=`, until its end.
    _permit: Permit<'static>,
}

/// The way to the helper.
pub(super) struct Client {
    process: u32,
    connection: spawner::Connection,
    running: Mutex<HashMap<u32, Entry>>,
    next: AtomicU32,
    rests: Mutex<Rests>,
    wake: EventFd,
}

#[derive(Default)]
struct Rests {
    list: Vec<Rest>,
    /// The reader sleeps until something happens, and would not look at a new one.
    asleep: bool,
}

static CLIENT: Mutex<Option<Arc<Client>>> = Mutex::new(None);

impl Client {
    /// That of this process, made at its first use.
    pub(super) fn of_process() -> io::Result<Arc<Self>> {
        let mut place = lock(&CLIENT);
        let process = std::process::id();
        if let Some(client) = place.as_ref().filter(|client| client.process == process) {
            return Ok(Arc::clone(client));
        }
        let mut spawner = lock(&SPAWNER);
        let spawner = spawner.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let client = Arc::new(Self {
            process,
            connection: spawner.connect()?,
            running: Mutex::default(),
            next: AtomicU32::new(1),
            rests: Mutex::default(),
            wake: EventFd::new()?,
        });
        let reader = Arc::clone(&client);
        sys::spawn("gw-scripts", STACK, move || fence("the reader of reports", (), || reader.read()))?;
        *place = Some(Arc::clone(&client));
        Ok(client)
    }

    /// Has a script run. `small` is its whole body, if that is known.
    pub(super) fn run(
        self: Arc<Self>,
        order: &Order<'_>,
        permit: Permit<'static>,
        small: Option<&[u8]>,
        wants_stderr: bool,
    ) -> io::Result<Running> {
        let (stdin, body) = input(small)?;
        let (stdout, output) = spawner::pipe_from()?;
        let (stderr, errors) = if wants_stderr {
            let (reader, writer) = spawner::pipe_from()?;
            (Some(reader.into()), writer)
        } else {
            (None, spawner::no_output()?)
        };
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let order = Order { id, ..*order }.encode().map_err(io::Error::other)?;
        let state = Shared::default();
        lock(&self.running).insert(id, Entry { state: Arc::clone(&state), _permit: permit });
        if let Err(error) = self.connection.run_waiting(order, [stdin, output, errors]) {
            lock(&self.running).remove(&id);
            self.forget();
            return Err(error);
        }
        Ok(Running { client: self, id, state, stdin: body, stdout: stdout.into(), stderr })
    }

    /// Ends a script and its group.
    pub(super) fn kill(&self, id: u32) {
        if lock(&self.running).contains_key(&id) {
            // A helper that has ended has ended its scripts.
            let _ = self.connection.kill(id, u32::try_from(GRACE.as_millis()).unwrap_or(u32::MAX));
        }
    }

    /// Looks after a script whose request has been answered.
    pub(super) fn adopt(&self, rest: Rest) {
        let mut rests = lock(&self.rests);
        // Most scripts end right after their output, and then the report of it wakes the reader.
        let wakes = rests.asleep || rest.stdout.is_some();
        rests.list.push(rest);
        drop(rests);
        if wakes {
            self.wake.signal();
        }
    }

    /// The next request makes another one.
    fn forget(&self) {
        let mut place = lock(&CLIENT);
        if place.as_ref().is_some_and(|client| std::ptr::eq(Arc::as_ptr(client), self)) {
            *place = None;
        }
    }

    /// The reader's thread: until the helper ends.
    fn read(&self) {
        let (mut connected, mut busy) = (true, false);
        loop {
            let mut rests = lock(&self.rests);
            if !connected && rests.list.is_empty() {
                break;
            }
            rests.asleep = connected && !busy && rests.list.is_empty();
            let mut entries = vec![
                entry(connected.then(|| self.connection.as_raw_fd())),
                entry(Some(self.wake.as_raw_fd())),
            ];
            let mut first = (!rests.asleep).then(|| Instant::now() + LOOK_EVERY);
            for rest in &rests.list {
                entries.push(entry(rest.stdout.as_ref().map(AsRawFd::as_raw_fd)));
                entries.push(entry(rest.stderr.as_ref().map(AsRawFd::as_raw_fd)));
                first = [first, rest.deadline].into_iter().flatten().min();
            }
            drop(rests);
            poll(&mut entries, first.map(|at| at.saturating_duration_since(Instant::now())));
            let shows = |index: usize| entries.get(index).is_some_and(|entry| entry.revents != 0);
            busy = shows(0);
            if busy {
                connected = self.take_reports();
            }
            if self.connection.has_waiting() {
                let _ = self.connection.flush();
            }
            if shows(1) {
                self.wake.take();
            }
            lock(&self.rests).list.retain_mut(|rest| rest.go_on(self));
        }
    }

    /// Answers whether the helper is still there.
    fn take_reports(&self) -> bool {
        match self.connection.reports() {
            Ok(reports) => {
                for report in reports {
                    let entry = lock(&self.running).remove(&report.id);
                    if let Some(entry) = entry {
                        entry.state.set(Fate::News(report.news));
                    }
                }
                return true;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
            Err(_) => {}
        }
        self.forget();
        let lost: Vec<Entry> = lock(&self.running).drain().map(|(_, entry)| entry).collect();
        for entry in &lost {
            entry.state.set(Fate::Lost);
        }
        let text = format_args!("the helper that starts scripts has ended; {} scripts are lost", lost.len());
        log::coded(Level::Error, CGI_SPAWNER, text);
        false
    }
}

impl Rest {
    /// Reads what there is. Answers whether there may be more.
    fn go_on(&mut self, client: &Client) -> bool {
        let now = Instant::now();
        let mut buffer = [0; 8192];
        self.stdout = self.stdout.take().filter(|file| drain(file, &mut buffer, |_| ()));
        let (script, level, label) = (&self.script, self.level, &self.label);
        let write = |line: &[u8]| {
            log::process(level, &format!("{CGI_STDERR} {script}: {} [{label}]", log::escape(line)))
        };
        let lines = &mut self.lines;
        self.stderr =
            self.stderr.take().filter(|file| drain(file, &mut buffer, |bytes| lines.take(bytes, write)));
        if self.stderr.is_none() {
            self.lines.finish(write);
        }
        let ended = self.state.fate().is_some();
        let silent = self.stdout.is_none() && self.stderr.is_none();
        let over = self.deadline.is_some_and(|at| at <= now);
        match (ended, silent, over) {
            (true, true, _) => false,
            (true, false, false) => {
                let last = now + LAST_WORDS;
                self.deadline = Some(self.deadline.map_or(last, |at| at.min(last)));
                true
            }
            (true, false, true) => false,
            (false, _, false) => true,
            (false, _, true) => {
                let line = format!(
                    "{CGI_TIMEOUT} {script} goes on after its output has ended, for longer than timeout=; it is ended"
                );
                log::process(Level::Error, &line);
                client.kill(self.id);
                self.deadline = Some(now + GRACE + LAST_WORDS);
                true
            }
        }
    }
}

/// Reads until there is no more for now. Answers whether there may be more later.
fn drain(mut file: &File, buffer: &mut [u8], mut take: impl FnMut(&[u8])) -> bool {
    loop {
        match file.read(buffer) {
            Ok(0) => return false,
            Ok(count) => take(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

pub(super) fn entry(fd: Option<RawFd>) -> libc::pollfd {
    libc::pollfd { fd: fd.unwrap_or(-1), events: libc::POLLIN, revents: 0 }
}

/// A script's standard input, and where to write what is not in it yet.
fn input(small: Option<&[u8]>) -> io::Result<(OwnedFd, Option<File>)> {
    match small {
        Some([]) => return Ok((spawner::no_input()?, None)),
        Some(bytes) => {
            if let Some(filled) = spawner::filled(bytes)? {
                return Ok((filled, None));
            }
        }
        None => {}
    }
    let (reader, writer) = spawner::pipe_to()?;
    Ok((reader, Some(writer.into())))
}
