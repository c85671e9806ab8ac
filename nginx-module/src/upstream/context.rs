// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is known of one request to a backend.

use std::cell::RefCell;

use gangway::{
    cgi::{Form, ResponseParser},
    protocol::{Decoder, Event, Protocol, Role},
};
use nginx_sys::{
    NGX_HTTP_UPSTREAM_FT_ERROR, NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT, ngx_chain_t, ngx_http_request_t,
};

use super::{flush::Flush, hold::Hold, peer::Peer, script::Place, stderr::Stderr};
use crate::{
    conf::{AUTHORIZER_PAGE, LocationConf, Scheme, UpstreamConf},
    raw::{InCycle, NoMemory, Request, Upstream, buffers, own},
    serve::memo::Jump,
};

thread_local! {
    /// Parsers of responses that have ended, whose memory the next ones use.
    static PARSERS: RefCell<Vec<ResponseParser>> = const { RefCell::new(Vec::new()) };
}

/// How many parsers are kept, and how large their memory may be.
const KEPT: usize = 32;
const KEPT_SIZE: usize = 4096;

fn new_parser(limit: usize) -> ResponseParser {
    match PARSERS.with_borrow_mut(Vec::pop) {
        Some(mut parser) => {
            parser.reset(Form::Cgi, limit);
            parser
        }
        None => ResponseParser::new(Form::Cgi, limit),
    }
}

/// The state of a request; it lives as long as the request's pool.
pub(super) struct Context {
    pub(super) request: Request,
    pub(super) location: InCycle<LocationConf>,
    pub(super) scheme: Scheme,
    pub(super) place: Place,
    pub(super) decoder: Decoder,
    pub(super) parser: ResponseParser,
    /// What may still come of the response body.
    pub(super) rest: Rest,
    /// The body is whatever comes until the end of the connection, and all of it goes to nginx.
    pub(super) unframed: bool,
    /// Bytes other than those of the final head have been taken from nginx's buffer, which a cache must not see.
    pub(super) mixed: bool,
    /// All of the response came with its head.
    pub(super) whole: bool,
    /// The backend has answered with something.
    pub(super) received: bool,
    /// The response has failed or ended: what still comes is not looked at.
    pub(super) closed: bool,
    /// How many bytes of the body may still be kept: those of an authorizer are held in memory.
    room: Option<usize>,
    pub(super) stderr: Stderr,
    pub(super) flush: Flush,
    pub(super) hold: Hold,
    pub(super) peer: Peer,
    /// Buffers of a body that is sent while it comes in.
    pub(super) free: *mut ngx_chain_t,
    pub(super) busy: *mut ngx_chain_t,
    pub(super) head_sent: bool,
    /// The response sends the request elsewhere; by a script to what a client would call so.
    pub(super) jump: Option<Jump>,
    pub(super) asks: Vec<u8>,
    /// The request is still to be sent, although nginx takes it for sent.
    pub(super) unsent: bool,
}

/// What Content-Length and the method say of the response body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Whatever comes.
    Unknown,
    /// So many bytes.
    Exactly(u64),
    /// The answer to HEAD: no bytes, or those of a GET.
    Head(Option<u64>),
}

impl Rest {
    /// What of `count` bytes that have come belongs to the body.
    #[inline]
    pub(super) fn take(&mut self, count: usize) -> usize {
        if let Self::Head(length) = *self {
            *self = length.map_or(Self::Unknown, Self::Exactly);
        }
        match self {
            Self::Exactly(left) => {
                let taken = count.min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                taken
            }
            Self::Unknown | Self::Head(_) => count,
        }
    }

    /// Whether all of `count` bytes belong to the body.
    #[inline]
    pub(super) fn holds(self, count: usize) -> bool {
        match self {
            Self::Unknown => true,
            Self::Exactly(left) => left >= count as u64,
            Self::Head(_) => false,
        }
    }

    /// Takes `count` bytes, all of which belong to the body: see [`Rest::holds`].
    #[inline]
    pub(super) fn reduce(&mut self, count: usize) {
        if let Self::Exactly(left) = self {
            *left = left.saturating_sub(count as u64);
        }
    }

    /// Whether bytes are missing.
    pub(super) fn is_short(self) -> bool {
        matches!(self, Self::Exactly(left) if left > 0)
    }
}

impl Context {
    /// A context in the request's pool.
    pub(super) fn create(
        request: Request,
        location: InCycle<LocationConf>,
        scheme: Scheme,
        place: Place,
    ) -> Result<*mut Self, NoMemory> {
        let conf = &location.upstream;
        let room = (place.role == Role::Authorizer).then_some(AUTHORIZER_PAGE);
        let context = Self {
            request,
            location,
            scheme,
            place,
            decoder: scheme.protocol().decoder(),
            parser: new_parser(conf.head_max_size()),
            rest: Rest::Unknown,
            unframed: false,
            mixed: false,
            whole: false,
            received: false,
            closed: false,
            room,
            stderr: Stderr::new(conf.stderr_level()),
            flush: Flush::default(),
            hold: Hold::default(),
            peer: Peer::default(),
            free: std::ptr::null_mut(),
            busy: std::ptr::null_mut(),
            head_sent: false,
            jump: None,
            asks: Vec::new(),
            unsent: false,
        };
        // SAFETY: the pool of a live request.
        let context = unsafe { own(request.pool(), context) };
        if context.is_null() { Err(NoMemory) } else { Ok(context) }
    }

    /// The context of a request whose upstream is one of ours.
    ///
    /// # Safety
    /// nginx has called a function of this module for `r`, which only `start` gives to an upstream; nobody else
    /// holds the reference.
    pub(super) unsafe fn of<'a>(r: *mut ngx_http_request_t) -> Option<&'a mut Self> {
        // SAFETY: the caller vouches for `r`.
        unsafe { Request::from_raw(r).upstream()?.context().cast::<Self>().as_mut() }
    }

    pub(super) fn conf(&self) -> &UpstreamConf {
        &self.location.upstream
    }

    pub(super) fn protocol(&self) -> &'static dyn Protocol {
        self.scheme.protocol()
    }

    /// Whether the backend is asked to keep the connection.
    pub(super) fn keeps_connection(&self) -> bool {
        self.protocol().keeps_connections() && self.conf().keep_conn()
    }

    pub(super) fn upstream(&self) -> Option<Upstream> {
        self.request.upstream()
    }

    /// Whether the request is sent once more when a connection has failed that was idle.
    pub(super) fn may_be_repeated(&self) -> bool {
        let again = self.conf().conf.next_upstream;
        let allows = |reason: u32| again & reason as usize != 0;
        let is_harmless = !self.request.is_for_once()
            || allows(NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT) && !self.request.streams_body();
        allows(NGX_HTTP_UPSTREAM_FT_ERROR) && is_harmless
    }

    /// Whether nginx would send the request elsewhere now: all of it has left, and the time for further attempts is not over.
    pub(super) fn may_go_elsewhere(&self, now: u64) -> bool {
        let Some(upstream) = self.upstream() else { return false };
        let limit = self.conf().conf.next_upstream_timeout as u64;
        let is_in_time = limit == 0 || now.wrapping_sub(upstream.start_time() as u64) < limit;
        self.may_be_repeated() && is_in_time && upstream.is_body_sent()
    }

    /// Whether nginx has read all of the request, and holds no part of it in a file.
    pub(super) fn has_request_in_memory(&self) -> bool {
        let Some(upstream) = self.upstream().filter(|_| !self.request.streams_body()) else { return false };
        // SAFETY: the chain of a live request that `create_request` has made.
        unsafe { buffers(upstream.request_chain()) }.all(|buffer| {
            // SAFETY: as above.
            unsafe { (*buffer).in_file() == 0 }
        })
    }

    /// When these bytes are all that is still to come of the response: the decoder behind them, and how many of them are
    /// output.
    pub(super) fn rest_in(&self, mut input: &[u8]) -> Option<(Decoder, u64)> {
        let (mut decoder, mut length) = (self.decoder, 0);
        while let Ok((count, event)) = decoder.decode(input) {
            input = input.get(count..).unwrap_or_default();
            match event {
                Event::Output(output) => length += output.len() as u64,
                Event::Errors(_) | Event::OutputEnd => {}
                Event::End(_) if input.is_empty() => return Some((decoder, length)),
                Event::End(_) | Event::More => return None,
            }
        }
        None
    }

    /// Whether these bytes hold a byte of output, or its end.
    pub(super) fn begins_body(&self, mut input: &[u8]) -> bool {
        let mut decoder = self.decoder;
        // Mostly it stands in the record of the head.
        if !input.is_empty() && decoder.pass(1) {
            return true;
        }
        while let Ok((count, event)) = decoder.decode(input) {
            match event {
                Event::Errors(_) => input = input.get(count..).unwrap_or_default(),
                Event::More => return false,
                Event::Output(_) | Event::OutputEnd | Event::End(_) => return true,
            }
        }
        true
    }

    /// Whether nothing of the body is cut off.
    pub(super) fn keeps_all(&self) -> bool {
        self.room.is_none()
    }

    /// As many bytes of the body as may be kept.
    pub(super) fn clip<'b>(&mut self, body: &'b [u8]) -> &'b [u8] {
        let Some(room) = self.room.as_mut() else { return body };
        let kept = body.get(..body.len().min(*room)).unwrap_or_default();
        *room -= kept.len();
        kept
    }

    /// Forgets the response of a backend that has failed: another one is asked.
    pub(super) fn restart(&mut self) {
        let connection = self.upstream().and_then(Upstream::connection);
        self.hold.restart(connection);
        self.decoder = self.protocol().decoder();
        self.parser.reset(Form::Cgi, self.conf().head_max_size());
        self.rest = Rest::Unknown;
        self.unframed = false;
        self.mixed = false;
        self.whole = false;
        self.received = false;
        self.closed = false;
        self.head_sent = false;
        self.jump = None;
        self.unsent = false;
        self.stderr.finish(self.request);
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let parser = std::mem::replace(&mut self.parser, ResponseParser::new(Form::Cgi, 0));
        // At the end of the process the list may be gone.
        let _ = PARSERS.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < KEPT && parser.capacity() <= KEPT_SIZE {
                kept.push(parser);
            }
        });
    }
}
