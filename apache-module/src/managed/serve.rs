// SPDX-License-Identifier: MIT OR Apache-2.0
//! One request for an application in processes of its own: which process it goes to, and what becomes of it when that fails.

use std::{
    cell::Cell,
    ffi::c_int,
    io,
    time::{Duration, Instant},
};

use gangway::{
    cgi::ResponseError,
    config::Replay,
    error::{CANNOT_ENCODE, CLIENT_LEFT, SERVER_FAILED, TOO_SHORT},
    http::Decimal,
    log::{self, Level, Line},
    protocol::{EncodeError, FastCgi, Protocol, Settings},
    report,
    status::{AppKind, Incident, Passage},
    supervise::{
        ARRIVED, MAPPED, Replays, TAKEN_FROM,
        refusals::{late_line, silent_line},
        segment::{EntryKind, Segment},
    },
    sys::{explain, is_shortage},
    trace::Answerer,
};
use gangway_httpd::transfer::{Buffers, Carried, Record, Then, Times, Transfer, TransferError, Wait, Wire};

use super::{
    carried::ManagedRequest,
    idle,
    program::{self, ReadyRequest},
    seat::{NoSeat, Seat},
    services::{self, Service},
};
use crate::{
    body::{self, Advance, Whole},
    counting, mount,
    raw::{
        BAD_GATEWAY, DirConf, GATEWAY_TIME_OUT, INTERNAL_SERVER_ERROR, OK, Request, SERVICE_UNAVAILABLE,
        Session,
    },
    variables,
};

/// Without `timeout=`: longer than any that it can say.
const ENDLESS: Duration = Duration::from_secs(365 * 24 * 3600);
/// How much later than an application's own host this server gives up.
const HOST_GRACE: Duration = Duration::from_secs(1);
/// A request of so many bytes leaves with one call and is read with one: a body that is not [`TAKEN_FROM`], and a head.
const UNREAD_MOST: u64 = 24 * 1024;
/// How many processes that have just ended a request may meet on its way, none of which it reaches.
const MOST_GONE: u32 = 100;

/// Serves a request for an application of `gangway-host`.
pub(crate) fn serve_application(request: Request<'_>, number: usize) -> c_int {
    serve(request, number, |session, conf, service| {
        let mount = mount::mount(request, conf.section(), conf.path());
        let Advance { length, whole } = body::advance_fully(session, body::body_length(request)?)?;
        let pass_authorization = service.managed.pass_authorization();
        let mut variables = variables::build(request, conf, mount, length, pass_authorization)?;
        variables.push(ARRIVED, Decimal::default().write(services::now()));
        if service.managed.has_handlers() {
            variables.push(MAPPED, &mapped(request));
        }
        Ok(ReadyRequest { variables, whole })
    })
}

/// Whether handlers in processes of their own answer this request, which has found its file.
pub(crate) fn is_for_handlers(request: Request<'_>, _: usize) -> bool {
    !request.is_proxied() && !request.has_set_handler()
}

/// Where the path leads, for those who find out themselves what of it is a file.
fn mapped(request: Request<'_>) -> Vec<u8> {
    let (file, root) = (request.filename(), request.document_root());
    let length = if file.starts_with(root) { root.len() } else { 0 };
    [length.to_string().as_bytes(), b":", file, request.path_info()].concat()
}

/// Serves a request for a FastCGI program.
pub(crate) fn serve_program(request: Request<'_>, number: usize) -> c_int {
    serve(request, number, |session, conf, service| program::prepare(session, conf, &service.managed))
}

fn serve<'r>(
    request: Request<'r>,
    number: usize,
    prepare: impl FnOnce(&mut Session<'r>, &DirConf<'r>, &Service) -> Result<ReadyRequest, c_int>,
) -> c_int {
    let Some(conf) = request.conf() else { return INTERNAL_SERVER_ERROR };
    let found = services::service(number);
    let Some((service, segment)) = found.and_then(|service| Some((service, service.segment()?))) else {
        report!(
            request,
            Error,
            SERVER_FAILED,
            "this application has no processes; a line from the start of httpd says why"
        );
        return INTERNAL_SERVER_ERROR;
    };
    if let Some(line) = service.no_sockets_line(request) {
        line.tell(&request);
    }
    let answerer = if service.is_hosted() { Answerer::Application } else { Answerer::Backend };
    request.observed(answerer, |trace| {
        let mut session = Session::new(request);
        let prepared = match prepare(&mut session, conf, service) {
            Ok(prepared) => prepared,
            Err(status) => return status,
        };
        if let Some(trace) = trace {
            trace.identify(&prepared.variables);
            trace.name(service.managed.name().to_owned());
            trace.begin();
        }
        carry(session, prepared, number, (service, segment))
    })
}

/// Has a request that is ready carried to a process.
fn carry(
    session: Session<'_>,
    prepared: ReadyRequest,
    number: usize,
    (service, segment): (&'static Service, &'static Segment),
) -> c_int {
    let request = session.request();
    let mut buffers = Buffers::take();
    let passage = Passage::arrive(counting::tally(AppKind::Managed, number));
    let process = Cell::new(None);
    let status = Attempts::begin(session, service, prepared, &mut buffers, &passage).and_then(|attempts| {
        let deadline = service.managed.timeout().and_then(|time| Instant::now().checked_add(time));
        let seat = || {
            let seat = Seat::take(service, segment, request, deadline, passage.tally())?;
            process.set(Some(seat.pid()));
            Ok(seat)
        };
        attempts.run(seat)
    });
    buffers.give_back();
    let status = status.unwrap_or_else(|status| status);
    counting::close(&passage, request, status);
    counting::note(request, AppKind::Managed, number, &passage, || process.get());
    status
}

/// What becomes of an attempt.
enum Outcome {
    /// The request has its answer: a status.
    Done(c_int),
    /// Another process may have it.
    Again,
}

/// A request on its way.
struct Attempts<'r, 'b> {
    request: Request<'r>,
    service: &'static Service,
    carried: ManagedRequest<'r>,
    /// Its host says that it has the request, before it begins.
    is_acknowledged: bool,
    buffers: &'b mut Buffers,
    /// Its way, as it is counted.
    passage: &'b Passage,
}

impl<'r, 'b> Attempts<'r, 'b> {
    /// Encodes the beginning of a request, with its body where that is there.
    fn begin(
        mut session: Session<'r>,
        service: &'static Service,
        prepared: ReadyRequest,
        buffers: &'b mut Buffers,
        passage: &'b Passage,
    ) -> Result<Self, c_int> {
        let request = session.request();
        let settings = Settings { keep_connection: service.is_hosted(), ..Settings::default() };
        buffers.out.clear();
        let encoded = FastCgi.encode_head(&settings, &prepared.variables, &mut buffers.out);
        encoded.map_err(|error: EncodeError| {
            report!(request, Error, CANNOT_ENCODE, "{error}");
            c_int::from(error.status())
        })?;
        let (mut body_ended, mut is_acknowledged) = (true, false);
        match prepared.whole {
            Some(Whole::Small(bytes)) => {
                is_acknowledged = bytes.len() as u64 > TAKEN_FROM;
                let mut record = Record::begin(&mut buffers.out, &FastCgi);
                record.extend(&bytes);
                record.end();
                buffers.out.extend_from_slice(FastCgi.body_end());
            }
            Some(Whole::Large(body)) => {
                session.unread(body, true);
                body_ended = false;
            }
            None if request.has_body() => body_ended = false,
            None => buffers.out.extend_from_slice(FastCgi.body_end()),
        }
        Ok(Self {
            request,
            service,
            carried: ManagedRequest::new(
                session,
                body_ended,
                service.is_hosted(),
                service.managed.drains_within(),
            ),
            is_acknowledged,
            buffers,
            passage,
        })
    }

    /// Makes attempts.
    fn run(mut self, seat: impl Fn() -> Result<Seat, NoSeat>) -> Result<c_int, c_int> {
        let (mut replays, mut gone) = (Replays::new(self.service.is_hosted()), 0);
        loop {
            let seat = seat().map_err(|why| self.refuse(why))?;
            self.passage.begin(Instant::now());
            let kept = idle::take(self.service, seat.slot());
            let how = if kept.is_some() { Incident::Kept } else { Incident::Fresh };
            let wire = match kept.map_or_else(|| connect(self.service, &seat), Ok) {
                Ok(wire) => {
                    self.passage.tally().happened(how);
                    wire
                }
                // It has ended, and the supervisor has not noticed yet: that is no attempt.
                Err(error) if is_gone(&error) && gone < MOST_GONE => {
                    gone += 1;
                    seat.leave_gone();
                    continue;
                }
                Err(error) => return Err(self.not_connected(seat, &error)),
            };
            match self.attempt(wire, seat, &mut replays) {
                Outcome::Done(status) => return Ok(status),
                Outcome::Again => {
                    self.passage.tally().happened(Incident::Replay);
                    self.carried.begin_again();
                }
            }
        }
    }

    fn attempt(&mut self, wire: Wire, seat: Seat, replays: &mut Replays) -> Outcome {
        let times = times(self.service, self.request);
        let mut transfer = Transfer::new(&mut self.carried, &FastCgi, &wire, self.buffers, times);
        let mut done = transfer.run();
        if self.service.is_hosted() && transfer.breaks_off(&done) {
            // A host closes the connection for a response that breaks off; what has come of it is for the client, as of an application in
            // this process.
            done = transfer.deliver(Then::Flush).and(done);
        }
        let (has_ended, has_begun, is_clean) = (transfer.has_ended(), transfer.has_begun, transfer.is_clean);
        // A host reads at once what has left at once, as small requests do: with a reset it has read nothing, and done nothing.
        let is_unread = match self.is_acknowledged {
            true => transfer.total_received == 0,
            false => transfer.is_reset && transfer.total_sent <= UNREAD_MOST,
        };
        let may_run_twice = match self.service.managed.replay() {
            Replay::Off => false,
            Replay::Idempotent => is_idempotent(self.request.method()),
            Replay::All => true,
        };
        let is_unbegun = transfer.total_sent == 0 || is_unread && self.service.is_hosted();
        let is_repeatable = transfer.is_first_part;
        let Err(failure) = done else {
            if is_clean && self.service.is_hosted() {
                idle::put(self.service, seat.slot(), wire);
            }
            match self.carried.late_lines() {
                Some(text) => seat.note_late(text),
                None => seat.note_end(EntryKind::Answered, self.carried.status()),
            }
            drop(seat);
            return Outcome::Done(self.carried.send_last());
        };
        let is_repeated = is_repeatable
            && matches!(failure, TransferError::Closed(_))
            && self.carried.is_untouched()
            && replays.follow(!is_unbegun, may_run_twice);
        let status = if is_repeated { OK } else { self.fail(&failure, has_begun, seat.pid()) };
        match failure {
            TransferError::Timeout => seat.leave_stuck(),
            TransferError::Closed(_) => {
                seat.note_end(EntryKind::Cut, 0);
                if seat.is_ending() {
                    seat.leave_gone();
                }
            }
            _ if has_ended => drop(seat),
            _ => idle::until_end(self.service, wire, seat),
        }
        if is_repeated { Outcome::Again } else { Outcome::Done(status) }
    }

    /// Ends a request whose last attempt has failed. Answers a status.
    fn fail(&mut self, failure: &TransferError, has_begun: bool, pid: u32) -> c_int {
        if matches!(failure, TransferError::Answered) {
            return OK;
        }
        let outcome = if has_begun { "; the response is cut" } else { "" };
        self.line(failure, outcome, pid).tell(&self.request);
        if matches!(failure, TransferError::Gone) {
            self.passage.leave();
            self.request.set_aborted();
            return OK;
        }
        if has_begun {
            let is_late = matches!(failure, TransferError::Timeout);
            counting::fail(self.passage, if is_late { 504 } else { 502 });
            return self.carried.cut();
        }
        match failure {
            TransferError::Body(error) => error.status,
            TransferError::Timeout => GATEWAY_TIME_OUT,
            // It is the application that is at fault, and no backend: as in this process.
            TransferError::Head(_) if self.service.is_hosted() => INTERNAL_SERVER_ERROR,
            _ => BAD_GATEWAY,
        }
    }

    fn line(&self, failure: &TransferError, outcome: &str, pid: u32) -> Line {
        let managed = &self.service.managed;
        let name = managed.name();
        let (level, code, text) = match failure {
            TransferError::Gone | TransferError::Answered => {
                let text = match self.carried.is_left() {
                    true => {
                        format!("{name}: the process ends, and the request has not within drain_timeout=")
                    }
                    false => format!("the client has left before the response of {name} was whole"),
                };
                (Level::Info, CLIENT_LEFT, text)
            }
            TransferError::Timeout => return silent_line(managed, pid),
            // Its host closes the connection when a response breaks off.
            TransferError::Closed(error) if self.carried.is_explained() => {
                (Level::Info, error.code(), format!("{error}: process {pid} of {name}{outcome}"))
            }
            TransferError::Closed(error) | TransferError::Broken(error) => {
                // httpd's own context is the client's address.
                let (method, target) =
                    (log::escape(self.request.method()), log::escape(self.request.original_target()));
                let text = format!("{error}: process {pid} of {name}, at \"{method} {target}\"{outcome}");
                (Level::Error, error.code(), text)
            }
            TransferError::Head(error) => {
                let cure = match error {
                    ResponseError::TooLarge(_) => "; send fewer or shorter headers",
                    _ => "",
                };
                (Level::Error, error.code(), format!("{error}: {name}{cure}"))
            }
            TransferError::Short(missing) => {
                let text =
                    format!("{missing} bytes that Content-Length promised are missing: {name}{outcome}");
                (Level::Error, TOO_SHORT, text)
            }
            TransferError::Body(error) => (Level::Info, error.code(), error.to_string()),
        };
        Line { level, code, text }
    }

    /// Answers a request that no process takes.
    fn refuse(&self, why: NoSeat) -> c_int {
        let line = match why {
            NoSeat::Full => {
                self.passage.refuse(Incident::QueueFull, 503);
                self.service.full_line()
            }
            NoSeat::Down => {
                self.passage.refuse(Incident::NoProcess, 503);
                self.service.down_line()
            }
            NoSeat::Late => {
                let waited = self.service.managed.timeout().unwrap_or_default();
                late_line(&self.service.managed, waited).tell(&self.request);
                return GATEWAY_TIME_OUT;
            }
            NoSeat::Gone => {
                let (level, code) = (Level::Info, CLIENT_LEFT);
                let name = self.service.managed.name();
                let text = format!("the client has left while its request waited for a process of {name}");
                Line { level, code, text }.tell(&self.request);
                self.passage.leave();
                self.request.set_aborted();
                return OK;
            }
        };
        if let Some(line) = line {
            line.tell(&self.request);
        }
        self.request.set_error_header(c"Retry-After", c"1");
        SERVICE_UNAVAILABLE
    }

    /// No connection can be made.
    fn not_connected(&self, seat: Seat, error: &io::Error) -> c_int {
        let (request, name, pid) = (self.request, self.service.managed.name(), seat.pid());
        if error.kind() == io::ErrorKind::WouldBlock {
            silent_line(&self.service.managed, pid).tell(&request);
            seat.leave_stuck();
            return GATEWAY_TIME_OUT;
        }
        let why = explain(error);
        report!(request, Error, SERVER_FAILED, "process {pid} of {name} cannot be connected to: {why}");
        if is_shortage(error) {
            request.set_error_header(c"Retry-After", c"1");
            return SERVICE_UNAVAILABLE;
        }
        BAD_GATEWAY
    }
}

fn times(service: &Service, request: Request<'_>) -> Times {
    // A host knows which of its threads gives no output, and answers by itself; what it does not answer is stuck.
    let grace = if service.is_hosted() { HOST_GRACE } else { Duration::ZERO };
    let backend = service.managed.timeout().map_or(ENDLESS, |time| time + grace);
    let client = u64::try_from(request.server_timeout()).ok().filter(|micros| *micros > 0);
    let client = client.map_or(ENDLESS, Duration::from_micros);
    Times { backend, client, wait: Wait::Default }
}

fn connect(service: &Service, seat: &Seat) -> io::Result<Wire> {
    use std::os::unix::ffi::OsStrExt;
    let Some(segment) = service.segment() else { return Err(io::ErrorKind::NotFound.into()) };
    let path = segment.socket_path(seat.slot());
    Wire::to_unix(path.as_os_str().as_bytes(), service.managed.timeout().unwrap_or(ENDLESS))
}

/// Whether nobody listens there any more.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

/// RFC 9110 §9.2.2, and the one of RFC 4918 that only reads.
fn is_idempotent(method: &[u8]) -> bool {
    const METHODS: [&[u8]; 7] = [b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE", b"PROPFIND"];
    METHODS.contains(&method)
}
