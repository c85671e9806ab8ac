// SPDX-License-Identifier: MIT OR Apache-2.0
//! A process in the place of a backend: what nginx takes for a balancer. Connections are nginx's and `upstream/peer`'s.

use std::{
    cell::{Cell, RefCell},
    ffi::c_void,
    os::fd::AsRawFd,
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use gangway::{
    config::Replay,
    engine::fence,
    error::SERVER_FAILED,
    log::Line,
    report,
    status::Incident,
    supervise::{
        Replays, SHARED_BODY_MOST, refusals,
        segment::{Claim, EntryKind, Place, Segment, Ticket},
    },
    sys::{duplicate, explain},
};
use nginx_sys::{
    NGX_PEER_FAILED, ngx_connection_t, ngx_http_request_t, ngx_http_upstream_srv_conf_t, ngx_int_t,
    ngx_pcalloc, ngx_peer_connection_t, ngx_str_t, ngx_uint_t,
};

use super::{
    exit::{self, Observed},
    lanes::{self, LaneWeight},
    linger::{self, Reason},
    processes,
    queue::{self, Seat},
    recorder,
    service::Service,
};
use crate::{
    Shared,
    conf::LocationConf,
    raw::{AGAIN, Balancer, Conf, Connection, DONE, ERROR, OK, Request, own, waiting},
    upstream,
};

/// An upstream whose balancer gives places of processes.
pub(crate) fn server_conf(cf: &Conf) -> Option<*mut ngx_http_upstream_srv_conf_t> {
    // SAFETY: the pool of a configuration phase is live in it; all-zero is what nginx's own code starts from.
    unsafe {
        let size = size_of::<ngx_http_upstream_srv_conf_t>();
        let server = ngx_pcalloc((*cf.raw()).pool, size).cast::<ngx_http_upstream_srv_conf_t>().as_mut()?;
        server.peer.init = Some(init);
        server.host = ngx_str_t { len: 7, data: b"gangway".as_ptr().cast_mut() };
        Some(server)
    }
}

/// One request's part of an application. It lives in the request's pool.
struct Run {
    request: Request,
    service: Rc<Service>,
    segment: Arc<Segment>,
    seat: Rc<Seat>,
    _observed: Option<Observed>,
    /// The ticket of a request that waits, or is to be refused.
    waits: Cell<Option<u32>>,
    /// An attempt has failed: the next one is another one's.
    is_repeated: Cell<bool>,
    replays: Cell<Replays>,
    /// Where its process listens, as nginx names it.
    name: RefCell<ngx_str_t>,
    address: Cell<libc::sockaddr_un>,
}

/// nginx's `peer.init`.
unsafe extern "C" fn init(r: *mut ngx_http_request_t, _: *mut ngx_http_upstream_srv_conf_t) -> ngx_int_t {
    fence("managed::init", ERROR, || {
        // SAFETY: nginx calls this with a live request whose upstream `upstream::prepare_managed` has made.
        let request = unsafe { Request::from_raw(r) };
        let Some(upstream) = request.upstream() else { return ERROR };
        let location = request.location::<LocationConf>();
        let service = location.handler.as_ref().and_then(|handler| handler.shared_settings::<Service>());
        let Some(service) = service else { return ERROR };
        let Some(segment) = service.segment().cloned() else {
            report!(
                request,
                Error,
                SERVER_FAILED,
                "the application has no processes: lines of the last reload say why"
            );
            return ERROR;
        };
        upstream::arrive(request, service.counted);
        let seat = Rc::default();
        let run = Run {
            request,
            segment,
            _observed: exit::observe(request, &service, &seat),
            seat,
            waits: Cell::new(None),
            is_repeated: Cell::new(false),
            replays: Cell::new(Replays::new(service.is_hosted())),
            name: RefCell::new(ngx_str_t::empty()),
            // SAFETY: all-zero is an address of no family.
            address: Cell::new(unsafe { std::mem::zeroed() }),
            service: Rc::clone(&service),
        };
        // SAFETY: the pool of a live request.
        let run = unsafe { own(request.pool(), run) };
        if run.is_null() {
            return ERROR;
        }
        upstream.set_balancer(Balancer { get: Some(get), free: Some(free), data: run.cast() });
        // One at least, and then as many as `free` says.
        upstream.set_tries(2);
        upstream::keep_connections(request);
        OK
    })
}

unsafe extern "C" fn get(pc: *mut ngx_peer_connection_t, data: *mut c_void) -> ngx_int_t {
    fence("managed::get", ERROR, || {
        // SAFETY: nginx calls this with the connection of a live request and the run that `init` gave to its balancer.
        let (pc, run) = unsafe { (&mut *pc, &*data.cast::<Run>()) };
        // Of an attempt before this one.
        pc.set_cached(0);
        if run.is_repeated.take() {
            upstream::with_passage(run.request, |passage| passage.tally().happened(Incident::Replay));
        }
        if run.seat.is_empty() {
            match run.segment.claim(processes::worker(), processes::now()) {
                Claim::Claimed(place) => {
                    upstream::with_passage(run.request, |passage| passage.begin(Instant::now()));
                    run.seat.take(place);
                }
                Claim::Waits(ticket) => return wait(run, pc, Some(ticket)),
                Claim::Full => return refuse(run, pc, Incident::QueueFull, run.service.full_line()),
                Claim::Down => return refuse(run, pc, Incident::NoProcess, run.service.down_line()),
            }
        }
        run.seat.look(|place| recorder::begin(&run.service, run.request, &run.segment, place));
        if set_address(run, pc).is_none() {
            return ERROR;
        }
        let slot = run.seat.slot();
        let lane = run
            .lane_weight()
            .zip(slot)
            .and_then(|(weight, slot)| lanes::take(run.request, &run.segment, slot, weight));
        upstream::set_judge(run.request, lane.is_some().then_some(lanes::is_unbegun));
        match lane {
            Some(connection) => {
                pc.connection = connection;
                DONE
            }
            None => OK,
        }
    })
}

/// Has nginx connect to the process whose place the request has.
fn set_address(run: &Run, pc: &mut ngx_peer_connection_t) -> Option<()> {
    use std::os::unix::ffi::OsStrExt;
    let slot = run.seat.slot()?;
    upstream::is_given(run.request, run.segment.slot(slot).pid);
    let path = run.segment.socket_path(slot);
    let path = path.as_os_str().as_bytes();
    // SAFETY: all-zero is an address of no family.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (byte, place) in path.iter().zip(&mut address.sun_path) {
        *place = *byte as libc::c_char;
    }
    run.address.set(address);
    run.name.replace(run.request.joined_text(&[b"unix:", path])?);
    pc.sockaddr = run.address.as_ptr().cast();
    pc.socklen = size_of::<libc::sockaddr_un>() as _;
    pc.name = run.name.as_ptr();
    Some(())
}

/// `$upstream_addr` of a request that has no process yet.
static NAME: Shared<ngx_str_t> = Shared(ngx_str_t { len: 5, data: c"queue".as_ptr().cast_mut().cast() });
/// nginx takes an address for the sign that `free` is to be called.
static ADDRESS: Shared<libc::sockaddr> =
    Shared(libc::sockaddr { sa_family: libc::AF_UNSPEC as libc::sa_family_t, sa_data: [0; 14] });

/// Lets the request wait, for its turn or for its refusal.
fn wait(run: &Run, pc: &mut ngx_peer_connection_t, ticket: Option<Ticket>) -> ngx_int_t {
    pc.name = (&raw const NAME.0).cast_mut();
    pc.sockaddr = (&raw const ADDRESS.0).cast_mut().cast();
    pc.socklen = size_of::<libc::sockaddr>() as _;
    let is_turn = ticket.is_some();
    match waiting(run.request) {
        Ok(connection) => {
            pc.connection = connection;
            run.waits.set(Some(queue::add(run.request, &run.service, &run.segment, &run.seat, ticket)));
            if is_turn {
                upstream::with_passage(run.request, |passage| {
                    passage.tally().note_waiting(run.segment.waiting());
                });
                if run.segment.wants_more(run.service.managed.life().most) {
                    run.service.demand();
                }
            }
            AGAIN
        }
        Err(error) => {
            let why = explain(&error);
            report!(run.request, Error, SERVER_FAILED, "a request that waits has no connection: {why}");
            if let Some(ticket) = ticket
                && run.segment.withdraw(ticket, processes::worker())
            {
                queue::look_soon();
            }
            ERROR
        }
    }
}

fn refuse(run: &Run, pc: &mut ngx_peer_connection_t, why: Incident, line: Option<Line>) -> ngx_int_t {
    upstream::with_passage(run.request, |passage| passage.refuse(why, 503));
    if let Some(line) = line {
        line.tell(&run.request);
    }
    wait(run, pc, None)
}

/// nginx is done with the process: the response is whole, or it failed, or the client has left.
unsafe extern "C" fn free(pc: *mut ngx_peer_connection_t, data: *mut c_void, state: ngx_uint_t) {
    fence("managed::free", (), || {
        // SAFETY: nginx calls this with the connection of a live request, which is still open or NULL, and the run that
        // `init` gave to its balancer.
        let (pc, run) = unsafe { (&mut *pc, &*data.cast::<Run>()) };
        // A process that nobody reaches has ended, and the supervisor has not noticed yet: that is no attempt.
        let is_gone =
            pc.connection.is_null() && state & NGX_PEER_FAILED as usize != 0 && !run.seat.is_empty();
        // SAFETY: the connection has its events as long as it is open.
        let timed_out = unsafe {
            pc.connection.as_ref().is_some_and(|c| (*c.read).timedout() | (*c.write).timedout() != 0)
        };
        let has_closed = state & NGX_PEER_FAILED as usize != 0 && !timed_out && has_closed(pc);
        if state & NGX_PEER_FAILED as usize != 0 && !is_gone && pc.tries > 0 {
            pc.tries = usize::from(run.goes_on());
            run.is_repeated.set(true);
        }
        let has_waited = run.stop_waiting();
        if has_waited && timed_out {
            let waited = run.service.managed.timeout().unwrap_or_default();
            refusals::late_line(&run.service.managed, waited).tell(&run.request);
        }
        // A host that has done that has ended, or is about to: the next attempt goes to another process. A program may live on.
        let is_ending = || run.seat.look(|place| run.segment.is_ending(place)).unwrap_or(false);
        let is_dropped = has_closed && (run.service.mount.is_some() || is_ending());
        if lanes::has(pc.connection) {
            let connection = std::mem::replace(&mut pc.connection, std::ptr::null_mut());
            let place = run.seat.leave();
            if let Some(place) = &place {
                // SAFETY: the stand-in of this request, which is there until it is left.
                run.note_end(place, unsafe { connection.as_ref() }, timed_out);
                if timed_out {
                    run.segment.mark_stuck(place);
                } else if is_dropped {
                    run.segment.mark_gone(place);
                }
            }
            // SAFETY: the stand-in of this request, which nginx has no more from here on.
            unsafe { lanes::leave(connection, &run.service, place, run.reason(timed_out)) };
            if timed_out {
                run.service.demand();
            }
        } else if let Some(place) = run.seat.leave() {
            if is_gone {
                queue::leave_gone(&run.segment, place);
            } else {
                if is_dropped {
                    run.segment.mark_gone(&place);
                }
                run.leave(place, pc, timed_out);
            }
        }
    });
}

impl Run {
    /// Whether another process gets a request that this one has failed. Which methods may run twice nginx knows, and what `let_another_have_it` has told it.
    fn goes_on(&self) -> bool {
        let mut replays = self.replays.get();
        let may = replays.follow(!self.is_unread(), self.service.managed.replay() != Replay::Off);
        self.replays.set(replays);
        may
    }

    /// Whether the request may share a connection, and what it asks of that. One with a long body, or one that comes later, may not: others would
    /// wait for it.
    fn lane_weight(&self) -> Option<LaneWeight> {
        let length = upstream::length_in_memory(self.request).filter(|_| self.service.is_hosted())?;
        let is_idempotent = matches!(self.request.method(), b"GET" | b"HEAD" | b"OPTIONS");
        if is_idempotent && length == 0 {
            return Some(LaneWeight::Light);
        }
        (length <= SHARED_BODY_MOST as u64).then_some(LaneWeight::Heavy)
    }

    /// The request waits no more. Answers whether it did.
    fn stop_waiting(&self) -> bool {
        self.waits.take().is_some_and(queue::remove)
    }

    /// Notes what has become of the request, for who asks later.
    fn note_end(&self, place: &Place, connection: Option<&ngx_connection_t>, timed_out: bool) {
        let kind = match connection {
            _ if upstream::has_whole_response(self.request) => EntryKind::Answered,
            _ if timed_out => EntryKind::TimedOut,
            Some(connection) if is_whole(connection) => EntryKind::Left,
            _ => EntryKind::Cut,
        };
        recorder::end(&self.service, self.request, &self.segment, place, kind);
    }

    /// Whether the process has not begun the request that it has failed, as far as is known.
    fn is_unread(&self) -> bool {
        self.service.mount.is_some() && upstream::is_unread(self.request)
    }

    /// Why the request leaves its process before that is done.
    fn reason(&self, timed_out: bool) -> Reason {
        if !timed_out && upstream::wants_no_body(self.request) { Reason::Answered } else { Reason::Abandoned }
    }

    /// The request leaves its process.
    fn leave(&self, place: Place, pc: &ngx_peer_connection_t, timed_out: bool) {
        if timed_out {
            self.segment.mark_stuck(&place);
        }
        // SAFETY: NULL, or the open connection of this request.
        let connection = unsafe { pc.connection.as_ref() };
        self.note_end(&place, connection, timed_out);
        let open = connection.filter(|connection| is_whole(connection));
        let is_answered = self.reason(timed_out) == Reason::Answered;
        let rest = if is_answered { upstream::rest_of_response(self.request) } else { None };
        let is_done = upstream::has_whole_response(self.request) || is_answered && rest.is_none();
        // A process that takes one request at a time works on until it notices.
        let copy = open.filter(|_| !is_done && !timed_out).and_then(|c| duplicate(c.fd.as_raw_fd()).ok());
        match copy {
            Some(copy) => {
                // SAFETY: the open connection of this request.
                unsafe { Connection::from_raw(pc.connection) }.iter().for_each(|open| open.unwatch());
                linger::until_end(copy, (&self.service, &self.segment), place, rest);
            }
            None => queue::give_back(&self.segment, place),
        }
        if timed_out {
            self.service.demand();
        }
    }
}

/// Whether the other side has closed the connection without an answer.
fn has_closed(pc: &ngx_peer_connection_t) -> bool {
    // SAFETY: NULL, or the open connection of a request, or its stand-in.
    let connection = unsafe { Connection::from_raw(pc.connection) };
    connection.is_some_and(|connection| {
        let (read, write) = (connection.read(), connection.write());
        read.has_ended() || read.has_failed() || write.has_failed()
    })
}

/// Whether the other side has neither closed a connection nor failed.
fn is_whole(connection: &ngx_connection_t) -> bool {
    // SAFETY: a connection has its events as long as it is open.
    unsafe { (*connection.read).eof() | (*connection.read).error() | (*connection.write).error() == 0 }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.stop_waiting();
        if let Some(place) = self.seat.leave() {
            queue::give_back(&self.segment, place);
        }
    }
}
