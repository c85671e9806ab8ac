// SPDX-License-Identifier: MIT OR Apache-2.0
//! A connection that speaks another protocol than HTTP from now on: its bytes go through the filters of the connection, TLS among them,
//! and through none of the request's.

use std::{mem, os::fd::RawFd, ptr, time::Duration};

use gangway::exchange::{ConnectionLost, Transport, TransportRead};

use super::{BodyRead, Request, Session, Socket, StreamInput, pieces::Bytes, plain::PlainSocket, sys};

/// Bytes that are given to the filters at a time. Below 64 KiB, for from there on httpd waits for the client (`core_filters.c`).
const PART: usize = 32 * 1024;

/// RFC 9110 §15.2.2.
const SWITCHING_PROTOCOLS: u16 = 101;

/// A request's connection whose client has been told that the protocol changes.
pub(crate) struct Upgraded<'r> {
    pub(super) session: Session<'r>,
    /// Of a stream of HTTP/2.
    stream: Option<StreamState>,
    /// Where the filters can be left out.
    plain: Option<PlainSocket>,
}

/// What is known of the stream that a WebSocket is.
#[derive(Clone, Copy)]
struct StreamState {
    input: StreamInput,
    /// mod_http2 has said that the request has no body, which is no end of what the client sends.
    has_no_body: bool,
}

impl<'r> Upgraded<'r> {
    /// Sends the head that accepts, with these fields beside `Connection`, and takes the connection from HTTP.
    pub(crate) fn begin<'f>(
        request: Request<'r>,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Self {
        request.add_header(b"Connection", b"Upgrade");
        fields.for_each(|(name, value)| request.add_header(name, value));
        request.set_status(SWITCHING_PROTOCOLS, b"");
        request.send_interim();
        // For the log.
        request.set_status(SWITCHING_PROTOCOLS, b"");
        request.close_connection();
        // SAFETY: a `Request` is live on this thread, with its connection and the lists of filters of both. As httpd's own tunnels do:
        // one filter holds what is too short, the other one counts the time of a request.
        unsafe {
            let (raw, connection) = (request.as_ptr(), request.connection());
            sys::ap_remove_output_filter_byhandle(
                (*connection).output_filters,
                c"SSL/TLS Coalescing Filter".as_ptr(),
            );
            sys::ap_remove_input_filter_byhandle((*connection).input_filters, c"reqtimeout".as_ptr());
            (*raw).input_filters = (*connection).input_filters;
            (*raw).proto_input_filters = (*connection).input_filters;
            (*raw).output_filters = (*connection).output_filters;
            (*raw).proto_output_filters = (*connection).output_filters;
        }
        let input = if request.is_stream() { StreamInput::of(request) } else { None };
        Self {
            session: Session::new(request),
            stream: input.map(|input| StreamState { input, has_no_body: false }),
            plain: None,
        }
    }

    /// Nobody but a thread of ours uses the connection from now on: it leaves filters out that do nothing.
    pub(super) fn leave_filters_out(&mut self) {
        self.plain = PlainSocket::of(self.request());
    }

    pub(crate) fn request(&self) -> Request<'r> {
        self.session.request()
    }

    /// What shows that the client has sent something.
    pub(crate) fn descriptor(&self) -> Option<RawFd> {
        let stream = self.stream.map(|stream| stream.input.descriptor());
        stream.or_else(|| self.request().socket().map(Socket::descriptor))
    }

    /// How long the client may take nothing of what waits for it: Timeout.
    pub(crate) fn patience(&self) -> Duration {
        u64::try_from(self.request().server_timeout()).map_or(Duration::MAX, Duration::from_micros)
    }

    /// Whether something waits in httpd for the client to take it.
    fn is_pending(&self) -> bool {
        // SAFETY: httpd keeps the connection for longer than the request, and this is its thread.
        unsafe { (*self.request().connection()).data_in_output_filters != 0 }
    }

    /// The client takes nothing any more: what still waits for it is not to be waited for.
    pub(crate) fn forget_client(&self) {
        if self.is_pending() {
            self.request().set_aborted();
        }
    }

    /// Whether what has ended is the body of the request that mod_http2 has made: once, before all that the client sends. What follows is
    /// to be read then.
    fn is_end_of_no_body(&mut self) -> bool {
        let is_first =
            self.stream.as_mut().is_some_and(|stream| !mem::replace(&mut stream.has_no_body, true));
        if is_first {
            self.session.forget_end();
        }
        is_first
    }

    fn pass(&mut self) -> Result<(), ConnectionLost> {
        if self.session.pass() { Ok(()) } else { Err(ConnectionLost) }
    }
}

impl Transport for Upgraded<'_> {
    /// What a socket of the kernel holds of messages of some size.
    const PART: usize = 64 * 1024;

    fn receive(&mut self, into: &mut [u8]) -> TransportRead {
        if let Some(stream) = &self.stream {
            stream.input.take_signs();
        }
        if let Some(read) = self.plain.as_mut().and_then(|plain| plain.receive(into)) {
            return read;
        }
        match self.session.read_now(into) {
            Ok(BodyRead::Bytes(count)) => TransportRead::Bytes(count),
            Ok(BodyRead::Later) if !self.request().is_aborted() => {
                if let Some(plain) = &mut self.plain {
                    plain.leave_filters_out();
                }
                TransportRead::Later
            }
            Ok(BodyRead::End) if self.is_end_of_no_body() => self.receive(into),
            Ok(BodyRead::Later | BodyRead::End) | Err(_) => TransportRead::End,
        }
    }

    fn transmit(&mut self, bytes: &[u8]) -> Result<usize, ConnectionLost> {
        if !self.flush()? {
            return Ok(0);
        }
        if let Some(plain) = &self.plain {
            return plain.transmit(bytes);
        }
        let part = bytes.get(..bytes.len().min(PART)).unwrap_or_default();
        self.session.push_bytes(Bytes::Own(part.to_vec()));
        self.pass()?;
        self.flush()?;
        Ok(part.len())
    }

    fn flush(&mut self) -> Result<bool, ConnectionLost> {
        if !self.is_pending() {
            return Ok(true);
        }
        // SAFETY: a `Request` is live on this thread, with the filters of its connection, of which the last one is the network's. Called
        // with nothing it writes what it has kept and does not wait, as httpd's MPM has it do.
        let status = unsafe {
            let mut filter = (*self.request().connection()).output_filters;
            while !(*filter).next.is_null() {
                filter = (*filter).next;
            }
            (*(*filter).frec)
                .filter_func
                .out_func
                .map_or(sys::GANGWAY_EGENERAL, |write| write(filter, ptr::null_mut()))
        };
        if status != 0 || self.request().is_aborted() {
            return Err(ConnectionLost);
        }
        Ok(!self.is_pending())
    }

    fn shared(&self) -> Option<RawFd> {
        self.plain.as_ref().map(PlainSocket::descriptor)
    }

    fn count(&mut self, written: usize) {
        if let Some(plain) = &self.plain {
            plain.count_written(written);
        }
    }

    fn can_lend(&self) -> bool {
        self.plain.as_ref().is_some_and(PlainSocket::is_bare)
    }

    fn count_read(&mut self, read: usize) {
        if let Some(plain) = &self.plain {
            plain.count_read(read);
        }
    }
}
