// SPDX-License-Identifier: MIT OR Apache-2.0
//! A script in the place of a backend: what nginx takes for a balancer, and for a connection.
//!
//! nginx wants a socket for some of what it does with a connection, but reads and writes by functions that the connection
//! names. So its descriptor is a socket that nothing ever happens on, and the event loop watches the pipes in its
//! place: their events lead to the same connection.

use std::{
    ffi::c_void,
    os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd},
    ptr,
    rc::Rc,
    time::Duration,
};

use gangway::{
    engine::fence,
    error::{CGI_TIMEOUT, SERVER_FAILED},
    log::{Level, escape},
    run::Words,
    sys::{duplicate, explain},
};
use nginx_sys::{
    NGX_USE_EPOLL_EVENT, ngx_add_timer, ngx_chain_t, ngx_connection_t, ngx_event_actions, ngx_event_flags,
    ngx_event_t, ngx_get_connection, ngx_http_request_t, ngx_http_upstream_srv_conf_t, ngx_int_t,
    ngx_pcalloc, ngx_peer_connection_t, ngx_post_event, ngx_posted_events, ngx_str_t, ngx_uint_t,
};

use super::{
    places::{self, Admitted},
    script::{self, Ending},
    stdin,
    target::Target,
};
use crate::{
    conf::Programs,
    raw::{Balancer, Conf, Request, Timer, Upstream, bytes, timer_data},
};

const OK: ngx_int_t = 0;
const ERROR: ngx_int_t = nginx_sys::NGX_ERROR as ngx_int_t;
const DONE: ngx_int_t = nginx_sys::NGX_DONE as ngx_int_t;
const AGAIN: isize = nginx_sys::NGX_AGAIN as isize;
const SERVICE_UNAVAILABLE: ngx_int_t = nginx_sys::NGX_HTTP_SERVICE_UNAVAILABLE as ngx_int_t;
/// How long the cause of an empty answer is waited for.
const PATIENCE: Duration = Duration::from_millis(500);
/// Bytes of a script's output that a line of the log quotes.
const EXCERPT: usize = 200;
/// Parts of nginx's buffers that are read into at a time.
const PARTS: usize = 16;

/// One request's part. It lives in the request's pool.
pub(super) struct Run {
    pub(super) request: Request,
    pub(super) programs: Rc<Programs>,
    pub(super) target: Target,
    pub(super) words: Option<Words>,
    /// The script's number in this worker; 0 before there is one.
    pub(super) id: u32,
    /// The response head is whole, or refused.
    pub(super) head_done: bool,
    /// It was refused.
    pub(super) head_refused: bool,
    pub(super) body_ended: bool,
    /// The cause of an empty answer has been waited for.
    waited: bool,
    refusal: Option<ngx_int_t>,
    timer: Option<Timer>,
}

impl Run {
    pub(super) fn new(request: Request, programs: Rc<Programs>, target: Target) -> Self {
        Self {
            request,
            programs,
            target,
            words: None,
            id: 0,
            head_done: false,
            head_refused: false,
            body_ended: false,
            waited: false,
            refusal: None,
            timer: None,
        }
    }

    /// That of a request whose upstream is one of scripts.
    ///
    /// # Safety
    /// nginx has called a function for the live request `r` that only `handler::start` gives to an upstream; nobody
    /// else holds the reference.
    pub(super) unsafe fn of<'a>(r: *mut ngx_http_request_t) -> Option<&'a mut Self> {
        // SAFETY: the caller vouches for `r`.
        unsafe { Request::from_raw(r).upstream()?.balancer().data.cast::<Self>().as_mut() }
    }

    /// The status that answers the request instead of a script, as soon as nginx lets it.
    pub(super) fn refuse(&mut self, status: ngx_int_t) {
        self.refusal = Some(status);
    }

    /// Has `on_timer` called, when nginx's own functions have returned.
    fn call_later(&mut self, after: Duration) {
        let this = ptr::from_mut(self).cast::<c_void>();
        self.timer.get_or_insert_with(|| Timer::new(on_timer, this, true)).set(after);
    }

    /// What the script has printed of its head.
    pub(super) fn head_start(&self) -> Vec<u8> {
        let start = crate::upstream::with_script_parser(self.request, |parser| {
            let start = parser.raw();
            start.get(..EXCERPT).unwrap_or(start).to_vec()
        });
        start.unwrap_or_default()
    }

    /// Answers with an error, now.
    pub(super) fn answer(&mut self, status: ngx_int_t) {
        self.timer = None;
        let request = self.request;
        if status == SERVICE_UNAVAILABLE {
            let _ = crate::serve::head::add(request, b"Retry-After", b"1");
        }
        let run_posted = request.posted_runner();
        request.leave_upstream();
        request.finalize(status);
        run_posted();
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        places::detach(self.id, Ending::Dropped);
    }
}

unsafe extern "C" fn on_timer(event: *mut ngx_event_t) {
    fence("cgi::on_timer", (), || {
        // SAFETY: the timer is stopped before its run is dropped.
        let Some(run) = (unsafe { timer_data(event).cast::<Run>().as_mut() }) else { return };
        match run.refusal.take() {
            Some(status) => run.answer(status),
            None => {
                run.waited = true;
                script::nudge(run.id);
            }
        }
    });
}

/// An upstream whose balancer starts scripts.
pub(crate) fn server_conf(cf: &Conf) -> Option<*mut ngx_http_upstream_srv_conf_t> {
    // SAFETY: the pool of a configuration phase is live in it; all-zero is what nginx's own code starts from.
    unsafe {
        let size = size_of::<ngx_http_upstream_srv_conf_t>();
        let server = ngx_pcalloc((*cf.raw()).pool, size).cast::<ngx_http_upstream_srv_conf_t>().as_mut()?;
        server.peer.init = Some(init);
        server.host = ngx_str_t { len: 3, data: b"cgi".as_ptr().cast_mut() };
        Some(server)
    }
}

/// nginx's `peer.init`: the context is there already.
unsafe extern "C" fn init(r: *mut ngx_http_request_t, _: *mut ngx_http_upstream_srv_conf_t) -> ngx_int_t {
    fence("cgi::init", ERROR, || {
        // SAFETY: nginx calls this with a live request whose upstream `handler::start` has made.
        let Some(upstream) = (unsafe { Request::from_raw(r) }).upstream() else { return ERROR };
        upstream.set_balancer(Balancer { get: Some(get), free: Some(free), ..upstream.balancer() });
        upstream.set_tries(1);
        OK
    })
}

/// `$upstream_addr`, and the name in nginx's own lines.
static NAME: Shared<ngx_str_t> = Shared(ngx_str_t { len: 6, data: c"script".as_ptr().cast_mut().cast() });
/// nginx takes an address for the sign that `free` is to be called.
static ADDRESS: Shared<libc::sockaddr> =
    Shared(libc::sockaddr { sa_family: libc::AF_UNSPEC as libc::sa_family_t, sa_data: [0; 14] });

#[repr(transparent)]
struct Shared<T>(T);
// SAFETY: nobody writes to it.
unsafe impl<T> Sync for Shared<T> {}

unsafe extern "C" fn get(pc: *mut ngx_peer_connection_t, data: *mut c_void) -> ngx_int_t {
    fence("cgi::get", ERROR, || {
        // SAFETY: nginx calls this with the request's connection and the run that `handler::start` gave to it.
        let (pc, run) = unsafe { (&mut *pc, &mut *data.cast::<Run>()) };
        pc.name = (&raw const NAME.0).cast_mut();
        pc.sockaddr = (&raw const ADDRESS.0).cast_mut().cast();
        pc.socklen = size_of::<libc::sockaddr>() as _;
        let request = run.request;
        let connection = match make_connection(request) {
            Ok(connection) => connection,
            Err(error) => {
                request.log(
                    Level::Error,
                    &format!("{SERVER_FAILED} a script has no connection: {}", explain(&error)),
                );
                return ERROR;
            }
        };
        pc.connection = connection;
        if run.refusal.is_none() {
            match places::admit(run, connection) {
                Admitted::Runs | Admitted::Waits => {}
                Admitted::Not(status) => run.refuse(status),
            }
        }
        if run.refusal.is_some() {
            run.call_later(Duration::from_millis(1));
        }
        DONE
    })
}

/// A connection of nginx without a backend.
fn make_connection(request: Request) -> std::io::Result<*mut ngx_connection_t> {
    // SAFETY: a plain flag of the event module.
    if unsafe { ngx_event_flags } & NGX_USE_EPOLL_EVENT as usize == 0 {
        return Err(std::io::Error::other("gangway_cgi needs \"use epoll\" in the events block"));
    }
    let idle = idle_socket()?;
    // SAFETY: a live log; nginx gives a connection with zeroed events, which owns the descriptor from now on.
    unsafe {
        let log = (*request.connection().raw()).log;
        let connection = ngx_get_connection(idle.as_raw_fd(), log);
        let Some(c) = connection.as_mut() else {
            return Err(std::io::Error::other("no free connection; raise worker_connections"));
        };
        let _ = idle.into_raw_fd();
        c.recv = Some(recv);
        c.send = None;
        c.recv_chain = Some(recv_chain);
        c.send_chain = Some(stdin::send_chain);
        c.log = log;
        c.type_ = libc::SOCK_STREAM;
        c.number = 0;
        c.start_time = nginx_sys::ngx_current_msec;
        c.set_log_error(nginx_sys::ngx_connection_log_error_e_NGX_ERROR_ERR);
        c.set_tcp_nodelay(nginx_sys::ngx_connection_tcp_nodelay_e_NGX_TCP_NODELAY_DISABLED);
        c.set_tcp_nopush(nginx_sys::ngx_connection_tcp_nopush_e_NGX_TCP_NOPUSH_DISABLED);
        for event in [c.read, c.write] {
            (*event).log = log;
            // Nothing ever happens on the idle socket: nginx need not watch it.
            (*event).set_active(1);
        }
        Ok(connection)
    }
}

/// A socket that is never connected: nginx asks it for errors.
fn idle_socket() -> std::io::Result<OwnedFd> {
    thread_local! {
        static IDLE: std::cell::OnceCell<std::os::unix::net::UnixDatagram> = const { std::cell::OnceCell::new() };
    }
    IDLE.with(|idle| {
        if idle.get().is_none() {
            let _ = idle.set(std::os::unix::net::UnixDatagram::unbound()?);
        }
        idle.get()
            .map_or_else(|| Err(std::io::ErrorKind::Other.into()), |socket| duplicate(socket.as_raw_fd()))
    })
}

/// EPOLLIN and EPOLLRDHUP, as nginx asks for reading; EPOLLOUT.
const READ: ngx_int_t = (libc::EPOLLIN | libc::EPOLLRDHUP) as ngx_int_t;
const WRITE: ngx_int_t = libc::EPOLLOUT as ngx_int_t;
/// NGX_CLEAR_EVENT
const EDGES: ngx_uint_t = libc::EPOLLET as u32 as ngx_uint_t;

/// Lets the loop watch a script's pipes in the place of the connection's own descriptor. Answers whether it does.
pub(super) fn watch_pipes(connection: *mut ngx_connection_t, stdout: RawFd, stdin: Option<RawFd>) -> bool {
    // SAFETY: a live connection from `make_connection`; nginx's function for epoll uses the descriptor that stands there
    // now, and looks at the other event only to change a watch that there is none of here.
    unsafe {
        let Some(add) = ngx_event_actions.add else { return false };
        let (c, own) = (&mut *connection, (*connection).fd);
        (*c.write).set_active(0);
        c.fd = stdout;
        let mut watched = add(c.read, READ, EDGES) == 0;
        if let Some(stdin) = stdin {
            c.fd = stdin;
            (*c.read).set_active(0);
            watched &= add(c.write, WRITE, EDGES) == 0;
            (*c.read).set_active(1);
        }
        (*c.write).set_active(1);
        c.fd = own;
        watched
    }
}

/// Ends the watch of a pipe that stays open.
pub(super) fn forget_pipe(connection: *mut ngx_connection_t, stdout: RawFd) {
    // SAFETY: as for `watch_pipes`.
    unsafe {
        let Some(del) = ngx_event_actions.del else { return };
        let (c, own) = (&mut *connection, (*connection).fd);
        (*c.write).set_active(0);
        c.fd = stdout;
        let _ = del(c.read, READ, 0);
        c.fd = own;
        (*c.read).set_active(1);
        (*c.write).set_active(1);
    }
}

/// Has nginx read from the connection.
pub(super) fn wake(connection: *mut ngx_connection_t) {
    // SAFETY: a live connection, whose events have nginx's handlers by now.
    unsafe {
        let read = (*connection).read;
        (*read).set_ready(1);
        if (*read).handler.is_some() {
            ngx_post_event(read, &raw mut ngx_posted_events);
        }
    }
}

/// A script begins that had to wait: its time begins as well, and its body may be written.
pub(super) fn begin_time(run: &Run, connection: *mut ngx_connection_t) {
    let timeout = run.request.upstream().map_or(0, Upstream::read_timeout);
    // SAFETY: a live connection.
    unsafe {
        if (*(*connection).read).timer_set() != 0 {
            ngx_add_timer((*connection).read, timeout);
        }
    }
}

/// nginx is done with the script: its response is whole, or it failed, or the client has left.
unsafe extern "C" fn free(pc: *mut ngx_peer_connection_t, data: *mut c_void, _: ngx_uint_t) {
    fence("cgi::free", (), || {
        // SAFETY: as for `get`; the upstream and the connection are still there.
        unsafe {
            let (pc, run) = (&mut *pc, &mut *data.cast::<Run>());
            pc.tries = 0;
            run.timer = None;
            let timed_out = pc.connection.as_ref().is_some_and(|c| (*c.read).timedout() != 0);
            if timed_out && script::has_begun(run.id) {
                let seconds = run.programs.settings.timeout().unwrap_or_default().as_secs_f32();
                let file = escape(&run.target.file);
                let line = format!(
                    "{CGI_TIMEOUT} {file} gave no output for {seconds}s; it is ended; if it needs longer, raise timeout="
                );
                run.request.log(Level::Error, &line);
            }
            let ending = ending(run, timed_out);
            places::detach(run.id, ending);
            run.id = 0;
        }
    });
}

fn ending(run: &Run, timed_out: bool) -> Ending {
    let Some(upstream) = run.request.upstream() else { return Ending::Dropped };
    let done = upstream.has_whole_body();
    let bodiless = run.request.is_head() || run.request.header_only();
    if timed_out || !run.head_done {
        Ending::Dropped
    } else if bodiless {
        Ending::Unwanted
    } else if done || upstream.length() == 0 || run.head_refused {
        // After a refused head it may go on: what it says on standard error is often the explanation.
        Ending::Complete
    } else if run.programs.settings.abort() {
        Ending::Dropped
    } else {
        Ending::Unwanted
    }
}

/// nginx's `recv`.
unsafe extern "C" fn recv(c: *mut ngx_connection_t, buffer: *mut u8, size: usize) -> isize {
    let mut part = libc::iovec { iov_base: buffer.cast(), iov_len: size };
    fence("cgi::recv", ERROR, || {
        // SAFETY: nginx reads from the live connection of a live request, into memory of its own.
        unsafe { receive(c, std::slice::from_mut(&mut part)) }
    })
}

/// nginx's `recv_chain`: into the room behind `last` of each buffer.
unsafe extern "C" fn recv_chain(c: *mut ngx_connection_t, mut chain: *mut ngx_chain_t, limit: i64) -> isize {
    fence("cgi::recv_chain", ERROR, || {
        let mut parts: Vec<libc::iovec> = Vec::with_capacity(PARTS);
        let mut left = usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        // SAFETY: nginx gives a chain of live buffers of its own.
        unsafe {
            while let Some(link) = chain.as_ref() {
                let room = bytes((*link.buf).last, (*link.buf).end).len().min(left);
                if room == 0 || parts.len() == PARTS {
                    break;
                }
                parts.push(libc::iovec { iov_base: (*link.buf).last.cast(), iov_len: room });
                left -= room;
                chain = link.next;
            }
            receive(c, &mut parts)
        }
    })
}

/// Reads what the script has written, with what nginx wants to know about it.
///
/// # Safety
/// `c` is the live connection of a live request of ours, and the parts are writable.
unsafe fn receive(c: *mut ngx_connection_t, parts: &mut [libc::iovec]) -> isize {
    // SAFETY: the caller vouches for the connection: its data is the request.
    let (run, read) = unsafe {
        let Some(run) = Run::of((*c).data.cast()) else { return ERROR };
        (run, &mut *(*c).read)
    };
    let got = script::read_output(run.id, parts);
    if got.count > 0 {
        // With epoll there is no other word about an end that has been seen already.
        read.set_ready(u32::from(got.may_have_more));
        return got.count as isize;
    }
    if !got.ended {
        read.set_ready(0);
        return AGAIN;
    }
    if !run.head_done && !run.waited {
        // An answer of nothing has a cause, which the helper is about to tell.
        if !script::has_ended(run.id) {
            read.set_ready(0);
            run.call_later(PATIENCE);
            return AGAIN;
        }
        run.waited = true;
    }
    if !run.head_done && run.waited {
        run.head_done = true;
        script::log_empty(run);
    }
    read.set_ready(0);
    read.set_eof(1);
    0
}
