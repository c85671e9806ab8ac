// SPDX-License-Identifier: MIT OR Apache-2.0
//! One script with its pipes: moving bytes between them and its life.

use std::{
    ffi::c_void,
    fs::File,
    io::IoSliceMut,
    os::fd::AsFd,
    ptr,
    rc::Rc,
    time::{Duration, Instant},
};

use gangway::{
    pool::Admission,
    run::{ScriptLife, Words},
    sys::pipe::{Got, drain, read_now, write_now},
};
use nginx_sys::{ngx_event_t, ngx_int_t};

use super::{connection, programs::Programs};
use crate::raw::{Connection, Request, Timer, Watch};

/// What reading gave.
#[derive(Default)]
pub(super) struct Received {
    pub(super) count: usize,
    pub(super) ended: bool,
    pub(super) may_have_more: bool,
}

/// All that it takes to start a script.
pub(super) struct Launch {
    pub(super) programs: Rc<Programs>,
    pub(super) file: Vec<u8>,
    /// What it is told, or the status that answers the request instead of it.
    pub(super) words: Result<Words, ngx_int_t>,
}

/// It is in the worker's table from its request's wish until it has ended and nobody listens to it any more.
pub(super) struct Script {
    pub(super) life: ScriptLife,
    /// The number of its settings, and so of its queue.
    pub(super) number: usize,
    /// Until it is started.
    pub(super) launch: Option<Launch>,
    /// Its place among `processes=`; none when it was refused.
    pub(super) admission: Option<Admission>,
    /// The status that answers the request instead of it, as soon as nginx's own functions have returned.
    pub(super) refusal: Option<ngx_int_t>,
    /// As long as the request has not left, and so lives.
    pub(super) request: Option<Request>,
    /// That of the request, which closes it when it leaves.
    pub(super) connection: Option<Connection>,
    pub(super) stdin: Option<File>,
    pub(super) stdout: Option<File>,
    pub(super) output_ended: bool,
    pub(super) stderr: Option<Watched>,
    pub(super) drain: Option<Watched>,
    /// Its response head has been passed on.
    pub(super) has_head: bool,
    /// The answer comes from elsewhere: none of its body is wanted.
    pub(super) is_elsewhere: bool,
    /// Its response cannot be whole.
    pub(super) is_cut: bool,
    pub(super) timer: Option<Timer>,
}

/// A pipe with a watch of its own.
pub(super) struct Watched {
    /// Before the file, which is closed after it.
    _watch: Watch,
    file: File,
}

impl Watched {
    pub(super) fn new(file: File, id: u32, handler: unsafe extern "C" fn(*mut ngx_event_t)) -> Option<Self> {
        Some(Self { _watch: Watch::new(file.as_fd(), handler, as_data(id))?, file })
    }
}

/// A ticket in the place of an address.
fn as_data(id: u32) -> *mut c_void {
    ptr::without_provenance_mut(id as usize)
}

/// The ticket that [`as_data`] gave.
pub(super) fn from_data(data: *mut c_void) -> u32 {
    u32::try_from(data.addr()).unwrap_or(0)
}

impl Script {
    pub(super) fn new(life: ScriptLife, launch: Launch, request: Request, connection: Connection) -> Self {
        Self {
            life,
            number: launch.programs.number,
            launch: Some(launch),
            admission: None,
            refusal: None,
            request: Some(request),
            connection: Some(connection),
            stdin: None,
            stdout: None,
            output_ended: false,
            stderr: None,
            drain: None,
            has_head: false,
            is_elsewhere: false,
            is_cut: false,
            timer: None,
        }
    }

    /// Reads output into nginx's memory.
    pub(super) fn read_output<'a>(&mut self, rooms: impl Iterator<Item = IoSliceMut<'a>>) -> Received {
        let Some(stdout) = self.stdout.as_ref().filter(|_| !self.output_ended) else {
            return Received { ended: self.output_ended, ..Received::default() };
        };
        let mut received = Received::default();
        for mut room in rooms {
            if !fill(stdout, &mut room, &mut received) {
                break;
            }
        }
        received.may_have_more |= received.ended;
        self.output_ended |= received.ended;
        if received.count > 0 {
            self.life.handle_progress(Instant::now());
        }
        received
    }

    /// Writes body bytes. `None`: the script wants no more of them.
    pub(super) fn write_input(&mut self, bytes: &[u8]) -> Option<usize> {
        if !self.life.has_begun() {
            return Some(0);
        }
        let count = write_now(self.stdin.as_ref()?, bytes);
        if count.is_none() {
            self.stdin = None;
        }
        count
    }

    /// Reads standard error. With edges all of it must be read.
    pub(super) fn take_errors(&mut self) {
        let Some(stderr) = &self.stderr else { return };
        if !drain(&stderr.file, usize::MAX, |bytes| self.life.handle_stderr(bytes)) {
            self.stderr = None;
            self.life.handle_stderr_end();
        }
    }

    /// Reads output that nobody wants.
    pub(super) fn drain_output(&mut self) {
        let Some(output) = &self.drain else { return };
        let now = Instant::now();
        if !drain(&output.file, usize::MAX, |_| self.life.handle_progress(now)) {
            self.drain = None;
            self.life.handle_output_end(&[], now);
        }
    }

    /// Has nginx look at the output.
    pub(super) fn wake(&self) {
        if let Some(connection) = self.connection {
            connection::wake(connection);
        }
    }

    /// Has `handler` called at this time.
    pub(super) fn call_at(
        &mut self,
        at: Option<Instant>,
        id: u32,
        handler: unsafe extern "C" fn(*mut ngx_event_t),
    ) {
        match (at, &mut self.timer) {
            (Some(at), timer) => {
                let after = at.saturating_duration_since(Instant::now());
                timer.get_or_insert_with(|| Timer::new(handler, as_data(id), false)).set(after);
            }
            (None, Some(timer)) => timer.stop(),
            (None, None) => {}
        }
    }

    /// Has `handler` called as soon as nginx's own functions have returned.
    pub(super) fn call_soon(&mut self, id: u32, handler: unsafe extern "C" fn(*mut ngx_event_t)) {
        self.call_at(Some(Instant::now() + Duration::from_millis(1)), id, handler);
    }
}

/// Fills one part. Answers whether the next one may be filled.
fn fill(stdout: &File, mut room: &mut [u8], received: &mut Received) -> bool {
    loop {
        match read_now(stdout, room) {
            Got::Bytes(count) => {
                received.count += count;
                room = room.get_mut(count..).unwrap_or_default();
                if room.is_empty() {
                    received.may_have_more = true;
                    return true;
                }
            }
            Got::Later => {
                received.may_have_more = false;
                return false;
            }
            Got::End => {
                received.ended = true;
                return false;
            }
        }
    }
}
