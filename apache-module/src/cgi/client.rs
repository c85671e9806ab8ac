// SPDX-License-Identifier: MIT OR Apache-2.0
//! This process' way to its helper: scripts are sent, their ends come back, and what goes on after its request has
//! been answered is looked after until its own end.

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::fd::{AsRawFd, RawFd},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use gangway::{
    engine::fence,
    pool::Permit,
    run::{ScriptAction, ScriptEnd, ScriptLife, lost_line},
    sys::{
        self, EventFd, lock,
        pipe::drain,
        poll,
        spawner::{self, InputPart, Pipes, SpawnRequest},
    },
};

use super::SPAWNER;

/// Stack of the thread that reads reports.
const STACK: usize = 256 * 1024;
/// How often it is looked for the ends of silent scripts, and of those that go on after their output.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often one of them is read before the others are.
const READS: usize = 64;

/// The end of one script, for those who wait for it.
#[derive(Default)]
pub(super) struct EndOfScript {
    known: Mutex<Known>,
    changed: Condvar,
}

#[derive(Default)]
struct Known {
    end: Option<ScriptEnd>,
    /// Somebody waits for it.
    awaited: bool,
}

impl EndOfScript {
    pub(super) fn get(&self) -> Option<ScriptEnd> {
        lock(&self.known).end
    }

    /// Waits until it is known, and no longer than this.
    pub(super) fn wait(&self, patience: Duration) {
        let mut known = lock(&self.known);
        known.awaited = true;
        let wait = self.changed.wait_timeout_while(known, patience, |known| known.end.is_none());
        drop(wait.unwrap_or_else(PoisonError::into_inner));
    }

    fn set(&self, end: ScriptEnd) {
        let mut known = lock(&self.known);
        known.end = Some(end);
        if known.awaited {
            self.changed.notify_all();
        }
    }
}

/// A script that was sent to the helper.
pub(super) struct Running {
    pub(super) client: Arc<Client>,
    pub(super) id: u32,
    pub(super) end: Arc<EndOfScript>,
}

impl Running {
    /// Ends the script and its group.
    pub(super) fn kill(&self) {
        self.client.kill(self.id);
    }
}

/// A script whose request has been answered.
struct Rest {
    id: u32,
    end: Arc<EndOfScript>,
    life: ScriptLife,
    /// Output that nobody wants, where the script may go on all the same.
    stdout: Option<File>,
    stderr: Option<File>,
    /// When it is to be looked at, whatever happens.
    at: Option<Instant>,
}

struct Entry {
    end: Arc<EndOfScript>,
    /// Its place among `processes=`, until its end.
    _permit: Permit<'static>,
}

/// The way to the helper.
pub(super) struct Client {
    process: u32,
    connection: spawner::SpawnerClient,
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
        let client = Arc::new(Self {
            process,
            connection: SPAWNER.connect()?,
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

    /// Has a script run. `body` is all of its body, if that is there.
    pub(super) fn run(
        self: Arc<Self>,
        request: &SpawnRequest<'_>,
        permit: Permit<'static>,
        body: Option<&[InputPart<'_>]>,
        wants_stderr: bool,
    ) -> io::Result<(Running, Pipes)> {
        let (pipes, theirs) = Pipes::new(body, wants_stderr)?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let message = SpawnRequest { id, ..*request }.encode().map_err(io::Error::other)?;
        let end = Arc::<EndOfScript>::default();
        lock(&self.running).insert(id, Entry { end: Arc::clone(&end), _permit: permit });
        if let Err(error) = self.connection.run_waiting(message, theirs) {
            lock(&self.running).remove(&id);
            self.forget();
            return Err(error);
        }
        Ok((Running { client: self, id, end }, pipes))
    }

    fn kill(&self, id: u32) {
        if lock(&self.running).contains_key(&id) {
            // A helper that has ended has ended its scripts.
            let _ = self.connection.kill(id, ScriptLife::GRACE);
        }
    }

    /// Looks after a script whose request has been answered.
    pub(super) fn adopt(
        &self,
        running: &Running,
        life: ScriptLife,
        stdout: Option<File>,
        stderr: Option<File>,
    ) {
        let mut rests = lock(&self.rests);
        // Most scripts end right after their output, and then the report of it wakes the reader.
        let wakes = rests.asleep || stdout.is_some();
        let end = Arc::clone(&running.end);
        rests.list.push(Rest { id: running.id, end, life, stdout, stderr, at: None });
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
                first = [first, rest.at].into_iter().flatten().min();
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
                        entry.end.set(report.outcome.into());
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
            entry.end.set(ScriptEnd::HelperLost);
        }
        lost_line(lost.len()).tell_process();
        false
    }
}

impl Rest {
    /// Moves it on. Answers whether there may be more.
    fn go_on(&mut self, client: &Client) -> bool {
        let (now, life) = (Instant::now(), &mut self.life);
        if let Some(stdout) = &self.stdout
            && !drain(stdout, READS, |_| life.handle_progress(now))
        {
            self.stdout = None;
            life.handle_output_end(&[], now);
        }
        if let Some(stderr) = &self.stderr
            && !drain(stderr, READS, |bytes| life.handle_stderr(bytes))
        {
            self.stderr = None;
            life.handle_stderr_end();
        }
        if let Some(end) = self.end.get() {
            life.handle_end(end, now);
        }
        life.handle_time(now);
        loop {
            match life.poll() {
                ScriptAction::Log(line) => line.tell_process(),
                ScriptAction::Kill => client.kill(self.id),
                ScriptAction::WaitUntil(at) => {
                    self.at = at;
                    return true;
                }
                ScriptAction::Forget => return false,
                // They belong to a request, and to its leave.
                ScriptAction::Answer(_) | ScriptAction::EndOutput | ScriptAction::Drain => {}
            }
        }
    }
}

pub(super) fn entry(fd: Option<RawFd>) -> libc::pollfd {
    libc::pollfd { fd: fd.unwrap_or(-1), events: libc::POLLIN, revents: 0 }
}
