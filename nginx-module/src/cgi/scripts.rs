// SPDX-License-Identifier: MIT OR Apache-2.0
//! The scripts of this worker: who runs and who waits, what the helper reports, and what their lives ask for.
//!
//! A script is found by its ticket, never by an address: nginx may free a request in any call that ends one.

use std::{
    cell::RefCell,
    collections::HashMap,
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd},
    ptr,
    rc::Rc,
    time::Instant,
};

use gangway::{
    engine::fence,
    error::CGI_SPAWNER,
    log::{Throttle, escape},
    pool::{Admission, AdmissionQueue, Refusal},
    report,
    rights::Identity,
    run::{Extent, ScriptAction, ScriptEnd, ScriptLife, full_line, lost_line, spawn_request, users},
    status::Incident,
    sys::{
        explain,
        spawner::{InputPart, Pipes, Report, SpawnerClient},
    },
    trace::Trace,
};
use nginx_sys::{ngx_event_t, ngx_int_t};

use super::{
    connection,
    programs::AllSettings,
    script::{Launch, Script, Watched, from_data},
    spawner::SPAWNER,
};
use crate::{
    conf::MainConf,
    raw::{Connection, Request, RequestBuffer, SERVICE_UNAVAILABLE, Watch, timer_data, watch_data},
    upstream,
};

#[derive(Default)]
struct Scripts {
    helper: Option<Helper>,
    table: HashMap<u32, Script>,
    queues: Vec<AdmissionQueue<u32>>,
    users: Vec<Identity>,
    last: u32,
    refusals: Throttle,
}

struct Helper {
    /// Before the connection, which is closed after it.
    _watch: Watch,
    connection: SpawnerClient,
}

thread_local! {
    static SCRIPTS: RefCell<Scripts> = RefCell::default();
}

/// No function of nginx that may come back to this module is called inside.
fn with<R>(body: impl FnOnce(&mut Scripts) -> R) -> R {
    SCRIPTS.with_borrow_mut(body)
}

/// Lends a script, if it is still there. No function of nginx that may come back to this module is called inside.
pub(super) fn with_script<R>(id: u32, body: impl FnOnce(&mut Script) -> R) -> Option<R> {
    with(|scripts| scripts.table.get_mut(&id).map(body))
}

/// A request wants its script to run. Answers its ticket.
pub(super) fn admit(request: Request, connection: Connection, launch: Launch) -> u32 {
    let settings = &launch.programs.settings;
    let label = format!("{} {}", escape(request.method()), escape(request.unparsed_uri()));
    let life = ScriptLife::new(settings, &launch.file, label, Instant::now());
    let (programs, refusal) = (Rc::clone(&launch.programs), launch.words.as_ref().err().copied());
    let mut script = Script::new(life, launch, request, connection);
    let (id, admission) = with(|scripts| {
        // Never 0, which is none; a number comes again only after four billion others.
        scripts.last = scripts.last.checked_add(1).unwrap_or(1);
        let id = scripts.last;
        let queue = scripts.queue(programs.number, request).filter(|_| refusal.is_none());
        let admission = queue.map_or(Err(Refusal::Stopping), |queue| queue.admit(|| id));
        script.admission = admission.ok();
        scripts.table.insert(id, script);
        (id, admission)
    });
    let refusal = match admission {
        Ok(Admission::Runs) => begin(id, request).err(),
        Ok(Admission::Waits) => None,
        Err(Refusal::Full) => {
            upstream::with_passage(request, |passage| passage.refuse(Incident::QueueFull, 503));
            if let Some(held) = with(|scripts| scripts.refusals.pass(Instant::now())) {
                upstream::within(request, || full_line(&programs.settings, held).tell(&request));
            }
            Some(SERVICE_UNAVAILABLE)
        }
        Err(_) => refusal.or(Some(SERVICE_UNAVAILABLE)),
    };
    if refusal.is_some() {
        with_script(id, |script| {
            script.refusal = refusal;
            script.call_soon(id, on_timer);
        });
    }
    id
}

impl Scripts {
    /// The queue of some settings. Queues and users are made at the first request.
    fn queue(&mut self, number: usize, request: Request) -> Option<&mut AdmissionQueue<u32>> {
        if self.queues.is_empty() {
            let main = request.http::<MainConf>();
            let AllSettings(settings) = main.kinds.get()?;
            self.users = users(settings);
            for cgi in settings {
                let mut queue = AdmissionQueue::new(cgi.processes(), cgi.queue());
                queue.open();
                self.queues.push(queue);
            }
        }
        self.queues.get_mut(number)
    }

    fn helper(&mut self) -> io::Result<&SpawnerClient> {
        if self.helper.is_none() {
            let connection = SPAWNER.connect()?;
            let watch =
                Watch::new(connection.as_fd(), on_helper, ptr::null_mut()).ok_or_else(no_connection)?;
            self.helper = Some(Helper { _watch: watch, connection });
        }
        self.helper.as_ref().map(|helper| &helper.connection).ok_or_else(|| io::ErrorKind::Other.into())
    }

    /// A place among `processes=` is free. Answers who has it now.
    fn leave(&mut self, number: usize) -> Option<u32> {
        let called = self.queues.get_mut(number)?.leave()?;
        if let Some(script) = self.table.get_mut(&called) {
            script.admission = Some(Admission::Runs);
        }
        Some(called)
    }
}

fn no_connection() -> io::Error {
    io::Error::other("no free connection; raise worker_connections")
}

/// Has a script started. An error is the status that answers the request.
fn begin(id: u32, request: Request) -> Result<(), ngx_int_t> {
    let launch = with_script(id, |script| script.launch.take()).flatten().ok_or(SERVICE_UNAVAILABLE)?;
    upstream::with_trace(request, Trace::begin);
    upstream::with_passage(request, |passage| passage.begin(Instant::now()));
    start(id, request, &launch).map_err(|error| {
        let (file, why) = (escape(&launch.file), explain(&error));
        let tell = || report!(request, Error, CGI_SPAWNER, "{file}: it cannot be sent to the spawner: {why}");
        upstream::within(request, tell);
        SERVICE_UNAVAILABLE
    })
}

fn start(id: u32, request: Request, launch: &Launch) -> io::Result<()> {
    let settings = &launch.programs.settings;
    let words = launch.words.as_ref().map_err(|_| io::ErrorKind::InvalidInput)?;
    let (pipes, theirs) = match request.streams_body() {
        true => Pipes::new(None, settings.stderr_level().is_some())?,
        false => {
            let parts: Vec<_> = request.body_buffers().map(part).collect();
            Pipes::new(Some(&parts), settings.stderr_level().is_some())?
        }
    };
    let watched = |file: File| Watched::new(file, id, on_stderr).ok_or_else(no_connection);
    let stderr = pipes.stderr.map(watched).transpose()?;
    with(|scripts| {
        let message = spawn_request(id, settings, &scripts.users, &launch.file, words).encode();
        scripts.helper()?.run(message.map_err(io::Error::other)?, theirs)?;
        let script = scripts.table.get_mut(&id).ok_or(io::ErrorKind::Other)?;
        let stdin = pipes.stdin.as_ref().map(AsRawFd::as_raw_fd);
        let watches = |connection| connection::watch_pipes(connection, pipes.stdout.as_raw_fd(), stdin);
        if !script.connection.is_some_and(watches) {
            return Err(io::Error::other("nginx cannot watch its output"));
        }
        script.life.begin(Instant::now());
        (script.stdin, script.stdout, script.stderr) = (pipes.stdin, Some(pipes.stdout), stderr);
        Ok(())
    })
}

fn part(buffer: RequestBuffer<'_>) -> InputPart<'_> {
    match buffer {
        RequestBuffer::Memory(bytes) => InputPart::Memory(bytes),
        RequestBuffer::File { fd, offset, len } => InputPart::File { fd, offset, len },
    }
}

/// Does what the life of a script asks for. The script may be gone after it, and its request, too.
pub(super) fn act(id: u32) {
    loop {
        let next = with_script(id, |script| (script.life.poll(), script.request));
        let Some((action, request)) = next else { return };
        match action {
            ScriptAction::Log(line) => match request {
                Some(request) => upstream::within(request, || line.tell(&request)),
                None => line.tell_process(),
            },
            ScriptAction::Kill => with(|scripts| {
                if let Some(helper) = &scripts.helper {
                    // A helper that has ended has ended its scripts.
                    let _ = helper.connection.kill(id, ScriptLife::GRACE);
                }
            }),
            // What nginx makes of an output that ends, or that fails.
            ScriptAction::Answer(502 | 504) => {
                with_script(id, |script| {
                    script.is_cut = script.has_head;
                    script.wake();
                });
            }
            ScriptAction::Answer(status) => {
                if let Some(request) = request {
                    upstream::answer(request, status as ngx_int_t);
                }
            }
            ScriptAction::EndOutput => {
                with_script(id, |script| {
                    script.output_ended = true;
                    script.wake();
                });
            }
            ScriptAction::Drain => {
                with_script(id, |script| {
                    if let Some(stdout) = script.stdout.take() {
                        if let Some(connection) = script.connection {
                            connection::forget_pipe(connection, stdout.as_raw_fd());
                        }
                        script.drain = Watched::new(stdout, id, on_drain);
                    }
                });
            }
            ScriptAction::WaitUntil(at) => {
                with_script(id, |script| {
                    if script.refusal.is_none() {
                        script.call_at(at, id, on_timer);
                    }
                });
                return;
            }
            ScriptAction::Forget => {
                with(|scripts| scripts.table.remove(&id));
                return;
            }
        }
    }
}

/// The request of a script leaves it.
pub(super) fn leave(id: u32, extent: Extent) {
    let place = with_script(id, |script| {
        script.take_errors();
        let admission = script.admission.filter(|_| !script.life.has_begun());
        script.life.leave(extent, Instant::now());
        (script.number, admission)
    });
    let Some((number, admission)) = place else { return };
    act(id);
    let next = with(|scripts| {
        if let Some(script) = scripts.table.get_mut(&id) {
            (script.request, script.connection) = (None, None);
            (script.stdin, script.stdout) = (None, None);
        }
        match admission? {
            // It has its place until its end.
            Admission::Runs => scripts.leave(number),
            Admission::Waits => {
                scripts.queues.get_mut(number)?.withdraw(|other| *other == id);
                None
            }
        }
    });
    call(next);
}

/// A place is free: the next one begins.
fn call(next: Option<u32>) {
    let Some(id) = next else { return };
    let found = with_script(id, |script| Some((script.request?, script.connection?)));
    let Some((request, connection)) = found.flatten() else { return };
    match begin(id, request) {
        Ok(()) => connection::begin_time(request, connection),
        Err(status) => upstream::answer(request, status),
    }
}

/// The helper says something.
unsafe extern "C" fn on_helper(_: *mut ngx_event_t) {
    fence("cgi::on_helper", (), || {
        loop {
            let next = with(|scripts| scripts.helper.as_ref().map(|helper| helper.connection.reports()));
            match next {
                None => return,
                Some(Ok(reports)) => {
                    let all = reports.is_all();
                    reports.for_each(|Report { id, outcome }| end(id, outcome.into()));
                    if all {
                        break;
                    }
                }
                Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => break,
                Some(Err(_)) => return lose(),
            }
        }
        with(|scripts| {
            if let Some(helper) = scripts.helper.as_ref().filter(|helper| helper.connection.has_waiting()) {
                let _ = helper.connection.flush();
            }
        });
    });
}

/// It is known what has become of a script.
fn end(id: u32, end: ScriptEnd) {
    let next = with(|scripts| {
        let script = scripts.table.get_mut(&id)?;
        script.take_errors();
        script.life.handle_end(end, Instant::now());
        let number = script.number;
        scripts.leave(number)
    });
    call(next);
    act(id);
}

/// The helper has ended, and with it its scripts.
fn lose() {
    let lost: Vec<u32> = with(|scripts| {
        scripts.helper = None;
        scripts.table.iter().filter(|(_, script)| script.life.is_running()).map(|(id, _)| *id).collect()
    });
    lost_line(lost.len()).tell_process();
    lost.into_iter().for_each(|id| end(id, ScriptEnd::HelperLost));
}

/// The ticket in an event of a watch.
///
/// # Safety
/// `event` is one of a live watch from [`Watched::new`].
unsafe fn ticket(event: *mut ngx_event_t) -> u32 {
    // SAFETY: the caller's event is one of a live watch.
    from_data(unsafe { watch_data(event) })
}

unsafe extern "C" fn on_stderr(event: *mut ngx_event_t) {
    fence("cgi::on_stderr", (), || {
        // SAFETY: nginx calls this with the event of a watch that has been given this function.
        let id = unsafe { ticket(event) };
        with_script(id, Script::take_errors);
        act(id);
    });
}

/// Output that nobody wants.
unsafe extern "C" fn on_drain(event: *mut ngx_event_t) {
    fence("cgi::on_drain", (), || {
        // SAFETY: nginx calls this with the event of a watch that has been given this function.
        let id = unsafe { ticket(event) };
        with_script(id, Script::drain_output);
        act(id);
    });
}

unsafe extern "C" fn on_timer(event: *mut ngx_event_t) {
    fence("cgi::on_timer", (), || {
        // SAFETY: nginx calls this with the event of a timer that has been given this function and a ticket.
        let id = from_data(unsafe { timer_data(event) });
        let refused = with_script(id, |script| {
            script.life.handle_time(Instant::now());
            script.refusal.take().zip(script.request)
        });
        match refused.flatten() {
            Some((status, request)) => upstream::answer(request, status),
            None => act(id),
        }
    });
}

/// The worker ends.
pub(crate) fn stop() {
    with(|scripts| {
        scripts.table.clear();
        scripts.helper = None;
    });
}
