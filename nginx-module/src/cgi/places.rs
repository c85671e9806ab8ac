// SPDX-License-Identifier: MIT OR Apache-2.0
//! The scripts of this worker: who runs and who waits, and what the helper says about them.

use std::{
    cell::RefCell,
    collections::HashMap,
    fs::File,
    io,
    os::fd::AsRawFd,
    ptr,
    rc::Rc,
    time::{Duration, Instant},
};

use gangway::{
    config::Cgi,
    engine::fence,
    error::{CGI_FAILED, CGI_FULL, CGI_SPAWNER},
    log::{Level, Throttle, escape},
    pool::{Admission, AdmissionQueue, Refusal},
    rights::Identity,
    run::Lines,
    sys::{
        explain,
        spawner::{self, Connection, Report, SpawnRequest},
    },
};
use nginx_sys::{ngx_connection_t, ngx_event_t, ngx_int_t};

use super::{
    peer::{self, Run},
    script::{Ending, Fate, Script, Watched, nudge, on_drain, on_stderr},
    spawner as parent, stdin,
};
use crate::{
    conf::MainConf,
    raw::{self, Request, process_log},
};

const FORBIDDEN: ngx_int_t = nginx_sys::NGX_HTTP_FORBIDDEN as ngx_int_t;
const INTERNAL_SERVER_ERROR: ngx_int_t = nginx_sys::NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
const SERVICE_UNAVAILABLE: ngx_int_t = nginx_sys::NGX_HTTP_SERVICE_UNAVAILABLE as ngx_int_t;
/// How long a script that was told to end may take, before it is killed.
const GRACE: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Worker {
    helper: Option<Helper>,
    pub(super) scripts: HashMap<u32, Script>,
    lines: Vec<AdmissionQueue<u32>>,
    users: Vec<Identity>,
    last: u32,
    refusals: Throttle,
}

struct Helper {
    connection: Connection,
    watch: *mut ngx_connection_t,
}

impl Drop for Helper {
    fn drop(&mut self) {
        raw::forget_watch(self.watch);
    }
}

thread_local! {
    static WORKER: RefCell<Worker> = RefCell::default();
}

/// No function of nginx that may come back to this module is called inside.
pub(super) fn with<R>(body: impl FnOnce(&mut Worker) -> R) -> R {
    WORKER.with_borrow_mut(body)
}

pub(super) fn with_script<R>(id: u32, body: impl FnOnce(&mut Script) -> R) -> Option<R> {
    with(|worker| worker.scripts.get_mut(&id).map(body))
}

/// What becomes of a request that wants a script.
pub(super) enum Admitted {
    Runs,
    Waits,
    /// The status that answers it.
    Not(ngx_int_t),
}

fn kill(helper: Option<&Helper>, id: u32) {
    if let Some(helper) = helper {
        // A helper that has ended has ended its scripts.
        let _ = helper.connection.kill(id, u32::try_from(GRACE.as_millis()).unwrap_or(u32::MAX));
    }
}

/// A request wants its script to run.
pub(super) fn admit(run: &mut Run, connection: *mut ngx_connection_t) -> Admitted {
    let programs = Rc::clone(&run.programs);
    let settings = &programs.settings;
    let (number, request) = (run.programs.number, run.request);
    let script = Script {
        line: number,
        name: escape(&run.target.file),
        label: format!("{} {}", escape(request.method()), escape(request.unparsed_uri())),
        level: settings.stderr_level().unwrap_or(Level::Error),
        timeout: settings.timeout(),
        run: ptr::from_mut(run),
        connection,
        begun: false,
        fate: None,
        stdin: None,
        stdout: None,
        output_ended: false,
        last_output: Instant::now(),
        stderr: None,
        drain: None,
        lines: Lines::default(),
        timer: None,
        killed: false,
    };
    let (id, admission) = with(|worker| {
        worker.prepare_lines(request);
        // Never 0, which is none; a number comes again only after four billion others.
        worker.last = worker.last.checked_add(1).unwrap_or(1);
        let id = worker.last;
        let admission = worker.lines.get_mut(number).map_or(Err(Refusal::Full), |line| line.admit(|| id));
        if admission.is_ok() {
            worker.scripts.insert(id, script);
        }
        (id, admission)
    });
    match admission {
        Err(_) => {
            refuse(request, settings);
            Admitted::Not(SERVICE_UNAVAILABLE)
        }
        Ok(Admission::Waits) => {
            run.id = id;
            Admitted::Waits
        }
        Ok(Admission::Runs) => {
            run.id = id;
            match begin(run) {
                Ok(()) => Admitted::Runs,
                Err(status) => Admitted::Not(status),
            }
        }
    }
}

fn refuse(request: Request, settings: &Cgi) {
    let Some(held) = with(|worker| worker.refusals.pass(Instant::now())) else { return };
    let (processes, queue) = (settings.processes(), settings.queue());
    let line = format!(
        "{CGI_FULL} the request is refused, for queue={queue} requests wait for processes={processes} ({held} more were \
         refused since the last line); raise queue= or processes=, or make the scripts faster"
    );
    request.log(Level::Error, &line);
}

impl Worker {
    /// Ends a script and its group.
    pub(super) fn kill(&self, id: u32) {
        kill(self.helper.as_ref(), id);
    }

    /// The lines and users of the configuration, at the first request.
    fn prepare_lines(&mut self, request: Request) {
        if self.lines.is_empty() {
            let main = request.http::<MainConf>();
            self.users = parent::users(&main.programs);
            let open = |cgi: &Cgi| {
                let mut queue = AdmissionQueue::new(cgi.processes(), cgi.queue());
                queue.open();
                queue
            };
            self.lines = main.programs.iter().map(open).collect();
        }
    }

    fn helper(&mut self) -> io::Result<&Connection> {
        if self.helper.is_none() {
            let connection = parent::connect()?;
            let watch = raw::watch(connection.as_raw_fd(), on_helper)
                .ok_or_else(|| io::Error::other("no free connection; raise worker_connections"))?;
            self.helper = Some(Helper { connection, watch });
        }
        self.helper.as_ref().map(|helper| &helper.connection).ok_or_else(|| io::ErrorKind::Other.into())
    }
}

/// Has the script of a run started. An error is the status that answers the request.
fn begin(run: &Run) -> Result<(), ngx_int_t> {
    start(run).map_err(|error| {
        let line = format!(
            "{CGI_SPAWNER} {}: it cannot be sent to the spawner: {}",
            escape(&run.target.file),
            explain(&error)
        );
        run.request.log(Level::Error, &line);
        SERVICE_UNAVAILABLE
    })
}

fn start(run: &Run) -> io::Result<()> {
    let settings = &run.programs.settings;
    let words = run.words.as_ref().ok_or(io::ErrorKind::InvalidInput)?;
    let (input, body) = stdin::make(run.request)?;
    let (stdout, output) = spawner::pipe_from()?;
    let (stderr, errors) = match settings.stderr_level() {
        None => (None, spawner::no_output()?),
        Some(_) => {
            let (reader, writer) = spawner::pipe_from()?;
            let watched = Watched::new(reader, run.id, on_stderr);
            (
                Some(
                    watched
                        .ok_or_else(|| io::Error::other("no free connection; raise worker_connections"))?,
                ),
                writer,
            )
        }
    };
    let file = run.target.file.as_slice();
    let end = file.iter().rposition(|byte| *byte == b'/').unwrap_or(0).max(1);
    with(|worker| {
        let place = settings.user().and_then(|user| worker.users.iter().position(|known| known == user));
        let order = SpawnRequest {
            id: run.id,
            identity: place.and_then(|place| u32::try_from(place).ok()),
            outlives: !settings.abort(),
            limits: settings.limits(),
            directory: file.get(..end).unwrap_or_default(),
            script: file,
            program: &words.program,
            arguments: &words.arguments,
            environment: &words.environment,
        };
        let order = order.encode().map_err(io::Error::other)?;
        worker.helper()?.run(order, [input, output, errors])?;
        let Some(script) = worker.scripts.get_mut(&run.id) else { return Err(io::ErrorKind::Other.into()) };
        let stdin = body.as_ref().map(AsRawFd::as_raw_fd);
        if !peer::watch_pipes(script.connection, stdout.as_raw_fd(), stdin) {
            return Err(io::Error::other("nginx cannot watch its output"));
        }
        script.begun = true;
        script.last_output = Instant::now();
        (script.stdin, script.stdout, script.stderr) = (body.map(File::from), Some(stdout.into()), stderr);
        Ok(())
    })
}

/// The request of a script leaves it.
pub(super) fn detach(id: u32, ending: Ending) {
    let next = with(|worker| {
        let script = worker.scripts.get_mut(&id)?;
        if script.begun && !script.take_errors() {
            script.stderr = None;
        }
        let connection = std::mem::replace(&mut script.connection, ptr::null_mut());
        script.run = ptr::null_mut();
        script.stdin = None;
        if !script.begun {
            let line = script.line;
            worker.scripts.remove(&id);
            let line = worker.lines.get_mut(line)?;
            return if line.withdraw(|who| *who == id) { None } else { line.leave() };
        }
        let stdout = script.stdout.take();
        if script.fate.is_none() {
            let ending = if script.output_ended { Ending::Complete } else { ending };
            match ending {
                Ending::Complete => {}
                Ending::Unwanted => {
                    if let Some(stdout) = stdout {
                        peer::forget_pipe(connection, stdout.as_raw_fd());
                        script.drain = Watched::new(stdout.into(), id, on_drain);
                    }
                }
                Ending::Dropped => {
                    script.killed = true;
                    kill(worker.helper.as_ref(), id);
                }
            }
        }
        script.set_timer(id);
        if script.is_over() {
            worker.scripts.remove(&id);
        }
        None
    });
    if let Some(next) = next {
        call(next);
    }
}

/// The helper says something.
unsafe extern "C" fn on_helper(_: *mut ngx_event_t) {
    fence("cgi::on_helper", (), || {
        loop {
            let next = with(|worker| worker.helper.as_ref().map(|helper| helper.connection.reports()));
            match next {
                None => return,
                Some(Ok(reports)) => {
                    let all = reports.is_all();
                    reports.for_each(take);
                    if all {
                        break;
                    }
                }
                Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => break,
                Some(Err(_)) => return lose(),
            }
        }
        with(|worker| {
            if let Some(helper) = worker.helper.as_ref().filter(|helper| helper.connection.has_waiting()) {
                let _ = helper.connection.flush();
            }
        });
    });
}

fn take(report: Report) {
    let id = report.id;
    let (run, next) = with(|worker| {
        let Some(script) = worker.scripts.get_mut(&id) else { return (ptr::null_mut(), None) };
        script.fate = Some(Fate::News(report.outcome));
        if !script.take_errors() {
            script.stderr = None;
        }
        script.set_timer(id);
        let (run, line) = (script.run, script.line);
        if script.is_over() {
            worker.scripts.remove(&id);
        }
        (run, worker.lines.get_mut(line).and_then(AdmissionQueue::leave))
    });
    if let Some(next) = next {
        call(next);
    }
    // SAFETY: the run of a script that nginx has not left is in the pool of its live request.
    let Some(run) = (unsafe { run.as_mut() }) else { return };
    match report.outcome {
        Ok(_) => nudge(id),
        Err(failure) if !run.head_done => {
            let line = format!("{CGI_FAILED} {}: {failure}", escape(&run.target.file));
            run.request.log(Level::Error, &line);
            run.answer(match failure {
                _ if failure.is_refusal() => FORBIDDEN,
                _ if failure.is_shortage() => SERVICE_UNAVAILABLE,
                _ => INTERNAL_SERVER_ERROR,
            });
        }
        Err(_) => nudge(id),
    }
}

/// A place is free: the next one begins.
fn call(id: u32) {
    let (run, connection) = with_script(id, |script| (script.run, script.connection))
        .unwrap_or((ptr::null_mut(), ptr::null_mut()));
    // SAFETY: as for `take`.
    let Some(run) = (unsafe { run.as_mut() }) else { return };
    match begin(run) {
        Ok(()) => peer::begin_time(run, connection),
        Err(status) => run.answer(status),
    }
}

/// The helper has ended, and with it its scripts.
fn lose() {
    let lost = with(|worker| {
        worker.helper = None;
        let mut lost = Vec::new();
        for (id, script) in
            worker.scripts.iter_mut().filter(|(_, script)| script.begun && script.fate.is_none())
        {
            script.fate = Some(Fate::Lost);
            script.set_timer(*id);
            lost.push((*id, script.line));
        }
        lost
    });
    let line =
        format!("{CGI_SPAWNER} the helper that starts scripts has ended; {} scripts are lost", lost.len());
    process_log(Level::Error, &line);
    for (id, line) in lost {
        let next = with(|worker| worker.lines.get_mut(line).and_then(AdmissionQueue::leave));
        if let Some(next) = next {
            call(next);
        }
        nudge(id);
    }
}

/// The worker ends.
pub(crate) fn stop() {
    with(|worker| {
        worker.scripts.clear();
        worker.helper = None;
    });
}
