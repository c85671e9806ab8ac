// SPDX-License-Identifier: MIT OR Apache-2.0
//! One script: what it writes and reads, what it says on standard error, and what goes on after its request.

use std::{
    ffi::c_void,
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsRawFd, OwnedFd},
    ptr,
    time::{Duration, Instant},
};

use gangway::{
    engine::fence,
    error::{CGI_HEAD, CGI_STDERR, CGI_TIMEOUT},
    log::{Level, escape},
    run::Lines,
    sys::spawner::{Exit, Failure},
};
use nginx_sys::{ngx_connection_t, ngx_event_t};

use super::{
    peer::{self, Run},
    places::{with, with_script},
};
use crate::raw::{self, Timer, process_log, timer_data};

/// How long the output or the standard error of a script that has ended may be silent, when others hold it open.
const QUIET: Duration = Duration::from_secs(1);

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
pub(super) enum Fate {
    News(Result<Exit, Failure>),
    Lost,
}

/// One script. It is here from its admission until it has ended and nobody listens to it any more.
pub(super) struct Script {
    /// The number of its settings, and so of its line.
    pub(super) line: usize,
    pub(super) name: String,
    /// The request in words, for lines that come after it.
    pub(super) label: String,
    pub(super) level: Level,
    pub(super) timeout: Option<Duration>,
    /// NULL when its request has left.
    pub(super) run: *mut Run,
    pub(super) connection: *mut ngx_connection_t,
    pub(super) begun: bool,
    pub(super) fate: Option<Fate>,
    pub(super) stdin: Option<File>,
    pub(super) stdout: Option<File>,
    pub(super) output_ended: bool,
    pub(super) last_output: Instant,
    pub(super) stderr: Option<Watched>,
    pub(super) drain: Option<Watched>,
    pub(super) lines: Lines,
    pub(super) timer: Option<Timer>,
    pub(super) killed: bool,
}

/// A pipe with a watch of its own.
pub(super) struct Watched {
    file: File,
    watch: *mut ngx_connection_t,
}

impl Watched {
    pub(super) fn new(fd: OwnedFd, id: u32, handler: unsafe extern "C" fn(*mut ngx_event_t)) -> Option<Self> {
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
        Some(Fate::News(Ok(exit))) => exit.to_string(),
        Some(Fate::News(Err(failure))) => failure.to_string(),
        Some(Fate::Lost) => "its helper process has ended".into(),
        None => "it has closed its output and goes on".into(),
    };
    let start = run.head_start();
    let file = escape(&run.target.file);
    let line = if start.is_empty() {
        format!("{CGI_HEAD} {file}: it printed nothing; {how}")
    } else {
        format!("{CGI_HEAD} {file}: its head has no end; {how}; it began with \"{}\"", escape(&start))
    };
    run.request.log(Level::Error, &line);
}

impl Script {
    /// Whether nothing more can come of it.
    pub(super) fn is_over(&self) -> bool {
        self.fate.is_some() && self.run.is_null() && self.stderr.is_none()
    }

    /// The next moment at which something must be decided without an event.
    pub(super) fn set_timer(&mut self, id: u32) {
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
    pub(super) fn take_errors(&mut self) -> bool {
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

pub(super) unsafe extern "C" fn on_stderr(event: *mut ngx_event_t) {
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
pub(super) unsafe extern "C" fn on_drain(event: *mut ngx_event_t) {
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
        let id = u32::try_from(unsafe { timer_data(event) }.addr()).unwrap_or(0);
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
                    worker.kill(id);
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
