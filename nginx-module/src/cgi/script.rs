// SPDX-License-Identifier: MIT OR Apache-2.0
//! The scripts of this worker: who runs and who waits, what becomes of them, what they say on standard error.

use std::{
    cell::RefCell,
    collections::HashMap,
    ffi::c_void,
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsRawFd, OwnedFd},
    ptr,
    rc::Rc,
    time::{Duration, Instant},
};

use gangway::{
    config::Cgi,
    engine::fence,
    error::{CGI_FAILED, CGI_FULL, CGI_HEAD, CGI_SPAWNER, CGI_STDERR, CGI_TIMEOUT},
    log::{Level, Throttle, escape},
    run::{Admission, Identity, Line, Lines, News, Order, Report},
    sys::spawner::{self, Connection},
};
use nginx_sys::{ngx_connection_t, ngx_event_t, ngx_int_t};

use super::{
    conf,
    peer::{self, Run},
    stdin,
};
use crate::{
    conf::MainConf,
    module,
    raw::{self, Request, Timer, process_log},
};

const FORBIDDEN: ngx_int_t = nginx_sys::NGX_HTTP_FORBIDDEN as ngx_int_t;
const INTERNAL_SERVER_ERROR: ngx_int_t = nginx_sys::NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
const SERVICE_UNAVAILABLE: ngx_int_t = nginx_sys::NGX_HTTP_SERVICE_UNAVAILABLE as ngx_int_t;
/// How long a script that was told to end may take, before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// How long the output or the standard error of a script that has ended may be silent, when others hold it open.
const QUIET: Duration = Duration::from_secs(1);

/// What becomes of a request that wants a script.
pub(super) enum Admitted {
    Runs,
    Waits,
    /// The status that answers it.
    Not(ngx_int_t),
}

/// How nginx leaves a script.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// With all of its output, or all that its Content-Length says.
    Complete,
    /// Without reading its body, which nobody wants; it may go on.
    Unwanted,
    /// Before that.
    Dropped,
}

/// What reading gave.
#[derive(Default)]
pub(super) struct Got {
    pub(super) count: usize,
    pub(super) ended: bool,
    pub(super) may_have_more: bool,
}

#[derive(Clone, Copy)]
enum Fate {
    News(News),
    Lost,
}

/// One script. It is here from its admission until it has ended and nobody listens to it any more.
struct Script {
    /// The number of its settings, and so of its line.
    line: usize,
    name: String,
    /// The request in words, for lines that come after it.
    label: String,
    level: Level,
    timeout: Option<Duration>,
    /// NULL when its request has left.
    run: *mut Run,
    connection: *mut ngx_connection_t,
    begun: bool,
    fate: Option<Fate>,
    stdin: Option<File>,
    stdout: Option<File>,
    output_ended: bool,
    last_output: Instant,
    stderr: Option<Watched>,
    drain: Option<Watched>,
    lines: Lines,
    timer: Option<Timer>,
    killed: bool,
}

/// A pipe with a watch of its own.
struct Watched {
    file: File,
    watch: *mut ngx_connection_t,
}

impl Watched {
    fn new(fd: OwnedFd, id: u32, handler: unsafe extern "C" fn(*mut ngx_event_t)) -> Option<Self> {
        let watch = raw::watch(fd.as_raw_fd(), handler)?;
        // SAFETY: a fresh connection; its data is a number, not a place.
        unsafe { (*watch).data = ptr::without_provenance_mut::<c_void>(id as usize) };
        Some(Self { file: fd.into(), watch })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // The descriptor is closed after it, and with it its place in the event loop.
        raw::forget_watch(self.watch);
    }
}

#[derive(Default)]
struct Worker {
    helper: Option<Helper>,
    scripts: HashMap<u32, Script>,
    lines: Vec<Line<u32>>,
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
fn with<R>(body: impl FnOnce(&mut Worker) -> R) -> R {
    WORKER.with_borrow_mut(body)
}

fn with_script<R>(id: u32, body: impl FnOnce(&mut Script) -> R) -> Option<R> {
    with(|worker| worker.scripts.get_mut(&id).map(body))
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
        let admission = worker.lines.get_mut(number).map_or(Admission::Full, |line| line.admit(id));
        if admission != Admission::Full {
            worker.scripts.insert(id, script);
        }
        (id, admission)
    });
    match admission {
        Admission::Full => {
            refuse(request, settings);
            Admitted::Not(SERVICE_UNAVAILABLE)
        }
        Admission::Waits => {
            run.id = id;
            Admitted::Waits
        }
        Admission::Now => {
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
    /// The lines and users of the configuration, at the first request.
    fn prepare_lines(&mut self, request: Request) {
        if self.lines.is_empty() {
            // SAFETY: the http block's configuration outlives its requests.
            let main: &MainConf = unsafe { &*request.main_conf(module()) };
            self.users = conf::users(&main.programs);
            self.lines = main.programs.iter().map(|cgi| Line::new(cgi.processes(), cgi.queue())).collect();
        }
    }

    fn helper(&mut self) -> io::Result<&Connection> {
        if self.helper.is_none() {
            let connection = conf::connect()?;
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
        let line =
            format!("{CGI_SPAWNER} {}: it cannot be sent to the spawner: {error}", escape(&run.target.file));
        run.request.log(Level::Error, &line);
        SERVICE_UNAVAILABLE
    })
}

fn start(run: &Run) -> io::Result<()> {
    let settings = &run.programs.settings;
    let words = run.words.as_ref().ok_or(io::ErrorKind::InvalidInput)?;
    let (input, body) = stdin::make(run.request)?;
    let (stdout, output) = spawner::pipe()?;
    spawner::set_nonblocking(&stdout)?;
    let (stderr, errors) = match settings.stderr_level() {
        None => (None, spawner::null(true)?),
        Some(_) => {
            let (reader, writer) = spawner::pipe()?;
            spawner::set_nonblocking(&reader)?;
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
        let order = Order {
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

/// Whether the script of a request has been started, so that its time counts.
pub(super) fn has_begun(id: u32) -> bool {
    with_script(id, |script| script.begun).unwrap_or(false)
}

/// Whether it is known what has become of a script.
pub(super) fn has_ended(id: u32) -> bool {
    with_script(id, |script| script.fate.is_some()).unwrap_or(true)
}

/// Has nginx look at the script's output.
pub(super) fn nudge(id: u32) {
    let connection = with_script(id, |script| script.connection).unwrap_or(ptr::null_mut());
    if !connection.is_null() {
        peer::wake(connection);
    }
}

/// Reads output into nginx's memory.
pub(super) fn read_output(id: u32, parts: &mut [libc::iovec]) -> Got {
    with_script(id, |script| {
        let Some(stdout) = script.stdout.as_ref().filter(|_| !script.output_ended) else {
            return Got { ended: script.output_ended, ..Got::default() };
        };
        let mut got = Got::default();
        for part in parts {
            // SAFETY: the caller gives parts of nginx's buffers that are writable and nobody reads yet.
            let room = unsafe { std::slice::from_raw_parts_mut(part.iov_base.cast::<u8>(), part.iov_len) };
            if !fill(stdout, room, &mut got) {
                break;
            }
        }
        got.may_have_more |= got.ended;
        script.output_ended |= got.ended;
        if got.count > 0 {
            script.last_output = Instant::now();
        }
        got
    })
    .unwrap_or_else(|| Got { ended: true, ..Got::default() })
}

/// Fills one part. Answers whether the next one may be filled.
fn fill(mut stdout: &File, mut room: &mut [u8], got: &mut Got) -> bool {
    loop {
        match stdout.read(room) {
            Ok(0) => {
                got.ended = true;
                return false;
            }
            Ok(count) => {
                got.count += count;
                room = room.get_mut(count..).unwrap_or_default();
                if room.is_empty() {
                    got.may_have_more = true;
                    return true;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                got.may_have_more = false;
                got.ended |= error.kind() != io::ErrorKind::WouldBlock;
                return false;
            }
        }
    }
}

/// Writes body bytes. `None`: the script wants no more of them.
pub(super) fn write_input(id: u32, bytes: &[u8]) -> Option<usize> {
    with_script(id, |script| {
        if !script.begun {
            return Some(0);
        }
        let mut stdin = script.stdin.as_ref()?;
        let mut done = 0;
        while done < bytes.len() {
            match stdin.write(bytes.get(done..).unwrap_or_default()) {
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    script.stdin = None;
                    return None;
                }
            }
        }
        Some(done)
    })
    .flatten()
}

/// Standard input ends: RFC 3875 §4.2.
pub(super) fn close_input(id: u32) {
    with_script(id, |script| script.stdin = None);
}

/// The line for a script that gave no head.
pub(super) fn log_empty(run: &Run) {
    let how = match with_script(run.id, |script| script.fate).flatten() {
        Some(Fate::News(News::Ended(exit))) => exit.to_string(),
        Some(Fate::News(News::Failed(failure))) => failure.to_string(),
        Some(Fate::Lost) => "its helper process has ended".into(),
        None => "it has closed its output and goes on".into(),
    };
    let start = run.head_start();
    let file = escape(&run.target.file);
    let line = if start.is_empty() {
        format!("{CGI_HEAD} {file}: it printed nothing; {how}")
    } else {
        format!("{CGI_HEAD} {file}: its head has no end; {how}; it began with \"{}\"", escape(start))
    };
    run.request.log(Level::Error, &line);
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
            return if line.withdraw(&id) { None } else { line.leave() };
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
                    if let Some(helper) = &worker.helper {
                        let _ =
                            helper.connection.kill(id, u32::try_from(GRACE.as_millis()).unwrap_or(u32::MAX));
                    }
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

impl Script {
    /// Whether nothing more can come of it.
    fn is_over(&self) -> bool {
        self.fate.is_some() && self.run.is_null() && self.stderr.is_none()
    }

    /// The next moment at which something must be decided without an event.
    fn set_timer(&mut self, id: u32) {
        let after = match (self.fate.is_some(), self.run.is_null()) {
            (true, _) => Some(QUIET),
            (false, true) => self.timeout,
            (false, false) => None,
        };
        let Some(after) = after else { return };
        let data = ptr::without_provenance_mut::<c_void>(id as usize);
        self.timer.get_or_insert_with(|| Timer::new(on_timer, data, false)).set(after);
    }

    /// Reads standard error. Answers whether there may be more later.
    fn take_errors(&mut self) -> bool {
        let Some(stderr) = &self.stderr else { return false };
        // SAFETY: the run of a script that nginx has not left is in the pool of its live request.
        let request = unsafe { self.run.as_ref() }.map(|run| run.request);
        let (name, level, label) = (&self.name, self.level, &self.label);
        let write = |line: &[u8]| {
            let line = format!("{CGI_STDERR} {name}: {}", escape(line));
            match request {
                Some(request) => request.log(level, &line),
                None => process_log(level, &format!("{line} [{label}]")),
            }
        };
        let mut buffer = [0; 4096];
        loop {
            match (&stderr.file).read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => self.lines.take(buffer.get(..count).unwrap_or_default(), write),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => break,
            }
        }
        self.lines.finish(write);
        false
    }
}

/// The script's number in an event of ours.
///
/// # Safety
/// `event` is one of a watch from [`Watched::new`].
unsafe fn number(event: *mut ngx_event_t) -> u32 {
    // SAFETY: the caller vouches for it; the data of the connection is a number.
    u32::try_from(unsafe { (*(*event).data.cast::<ngx_connection_t>()).data }.addr()).unwrap_or(0)
}

unsafe extern "C" fn on_stderr(event: *mut ngx_event_t) {
    fence("cgi::on_stderr", (), || {
        // SAFETY: nginx calls this with the event of our watch.
        let id = unsafe { number(event) };
        with(|worker| {
            let Some(script) = worker.scripts.get_mut(&id) else { return };
            if !script.take_errors() {
                script.stderr = None;
                if script.is_over() {
                    worker.scripts.remove(&id);
                }
            }
        });
    });
}

/// Output that nobody wants.
unsafe extern "C" fn on_drain(event: *mut ngx_event_t) {
    fence("cgi::on_drain", (), || {
        // SAFETY: nginx calls this with the event of our watch.
        let id = unsafe { number(event) };
        with_script(id, |script| {
            let Some(drain) = &script.drain else { return };
            let mut buffer = [0; 16 * 1024];
            loop {
                match (&drain.file).read(&mut buffer) {
                    Ok(count) if count > 0 => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        script.set_timer(id);
                        return;
                    }
                    _ => break,
                }
            }
            script.drain = None;
        });
    });
}

/// A script has ended and something of it is still open; or its request has left and it goes on for too long.
unsafe extern "C" fn on_timer(event: *mut ngx_event_t) {
    fence("cgi::on_timer", (), || {
        // SAFETY: nginx calls this with the event of our timer, whose data is a number.
        let id = u32::try_from(unsafe { (*event).data }.addr()).unwrap_or(0);
        let wake = with(|worker| {
            let script = worker.scripts.get_mut(&id)?;
            if script.fate.is_none() {
                if !script.killed {
                    script.killed = true;
                    let name = &script.name;
                    let line = format!(
                        "{CGI_TIMEOUT} {name} goes on after its output has ended, for longer than timeout=; it is ended"
                    );
                    process_log(Level::Error, &line);
                    if let Some(helper) = &worker.helper {
                        let _ =
                            helper.connection.kill(id, u32::try_from(GRACE.as_millis()).unwrap_or(u32::MAX));
                    }
                }
                return None;
            }
            if script.run.is_null() {
                script.stderr = None;
                worker.scripts.remove(&id);
                return None;
            }
            if script.last_output.elapsed() < QUIET {
                script.set_timer(id);
                return None;
            }
            // Somebody else holds the output of a script that has ended, and says nothing.
            script.output_ended = true;
            Some(script.connection)
        });
        if let Some(connection) = wake.filter(|connection| !connection.is_null()) {
            peer::wake(connection);
        }
    });
}

/// The helper says something.
unsafe extern "C" fn on_helper(_: *mut ngx_event_t) {
    fence("cgi::on_helper", (), || {
        loop {
            let next = with(|worker| worker.helper.as_ref().map(|helper| helper.connection.report(false)));
            match next {
                None => return,
                Some(Ok(report)) => take(report),
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
        script.fate = Some(Fate::News(report.news));
        if !script.take_errors() {
            script.stderr = None;
        }
        script.set_timer(id);
        let (run, line) = (script.run, script.line);
        if script.is_over() {
            worker.scripts.remove(&id);
        }
        (run, worker.lines.get_mut(line).and_then(Line::leave))
    });
    if let Some(next) = next {
        call(next);
    }
    // SAFETY: the run of a script that nginx has not left is in the pool of its live request.
    let Some(run) = (unsafe { run.as_mut() }) else { return };
    match report.news {
        News::Ended(_) => nudge(id),
        News::Failed(failure) if !run.head_done => {
            let line = format!("{CGI_FAILED} {}: {failure}", escape(&run.target.file));
            run.request.log(Level::Error, &line);
            run.answer(match failure {
                _ if failure.is_refusal() => FORBIDDEN,
                _ if failure.is_shortage() => SERVICE_UNAVAILABLE,
                _ => INTERNAL_SERVER_ERROR,
            });
        }
        News::Failed(_) => nudge(id),
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
        let next = with(|worker| worker.lines.get_mut(line).and_then(Line::leave));
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
