// SPDX-License-Identifier: MIT OR Apache-2.0
//! mod_proxy's workers and connections.

use std::{
    borrow::Cow,
    ffi::{CStr, c_char, c_int},
    io,
    mem::MaybeUninit,
    os::fd::RawFd,
    time::Duration,
};

use gangway::{
    error::{BACKEND_SILENT, SERVER_FAILED},
    log::{self},
    report,
    sys::{explain, is_shortage},
};

use gangway_httpd::transfer::{Wait, Wire};

use super::{INTERNAL_SERVER_ERROR, Request, SERVICE_UNAVAILABLE, sys, text};
use crate::{
    scheme::{Kind, Scheme},
    script,
};

/// What mod_proxy wants to be served: by which worker, at which URL.
#[derive(Clone, Copy)]
pub(crate) struct ProxyTarget<'r> {
    request: Request<'r>,
    worker: *mut sys::proxy_worker,
    conf: *mut sys::proxy_server_conf,
    url: *const c_char,
    proxy: (*const c_char, u16),
}

/// Reads a member of a worker's shared data.
macro_rules! shared {
    ($target:expr, $name:ident) => {
        // SAFETY: a worker and its shared data live as long as the configuration. Other processes change the
        // numbers; the values of one access need not fit those of the next.
        unsafe { (*(*$target.worker).s).$name }
    };
    ($target:expr, $name:ident()) => {
        // SAFETY: a worker and its shared data live as long as the configuration. Other processes change the
        // bits; the values of one access need not fit those of the next.
        unsafe { (*(*$target.worker).s).$name() }
    };
}

impl<'r> ProxyTarget<'r> {
    /// Wraps the arguments of mod_proxy's hook.
    ///
    /// # Safety
    /// They are those of a call that lives for `'r`.
    pub(crate) unsafe fn from_raw(
        request: Request<'r>,
        worker: *mut sys::proxy_worker,
        conf: *mut sys::proxy_server_conf,
        url: *const c_char,
        proxy: (*const c_char, u16),
    ) -> Self {
        Self { request, worker, conf, url, proxy }
    }

    pub(crate) fn request(self) -> Request<'r> {
        self.request
    }

    /// The canonical URL.
    pub(crate) fn url(self) -> &'r [u8] {
        // SAFETY: mod_proxy gave it to `from_raw`: a C string in the request's pool.
        unsafe { text(self.url) }
    }

    /// What the worker is called in lines of the log.
    pub(crate) fn name(self) -> Cow<'r, [u8]> {
        // SAFETY: a C string in shared memory that the configuration phase has written.
        let own = unsafe { text((&raw const (*(*self.worker).s).name_ex).cast()) };
        if !own.starts_with(b"proxy:") {
            return own.into();
        }
        // The one worker of all addresses that have none of their own ("proxy:reverse"): the backend says more.
        let url = self.url();
        let origin = url.strip_suffix(script::path_of(url)).unwrap_or(url);
        match self.unix_path() {
            b"" => origin.into(),
            path => [b"unix:", path, b"|", origin].concat().into(),
        }
    }

    /// The path of the worker's unix socket; empty for TCP.
    pub(crate) fn unix_path(self) -> &'r [u8] {
        // SAFETY: a C string in shared memory that the configuration phase has written.
        let own = unsafe { text((&raw const (*(*self.worker).s).uds_path).cast()) };
        if own.is_empty() { self.request.note(c"uds_path").unwrap_or_default() } else { own }
    }

    /// Whether ProxyRemote stands between.
    pub(crate) fn is_remote(self) -> bool {
        !self.proxy.0.is_null()
    }

    /// Whether `enablereuse=off` or `disablereuse=on` stands in the configuration. Workers whose URL is made of the
    /// request have it set by mod_proxy, which could not reuse their connections.
    pub(crate) fn forbids_reuse(self) -> bool {
        shared!(self, disablereuse_set()) != 0 && shared!(self, disablereuse()) != 0
    }

    /// Whether connections are kept also where nobody here sees what the backend reads: `enablereuse=on` or `GangwayKeepConn
    /// On` stands in the configuration.
    pub(crate) fn keeps_blindly(self) -> bool {
        let asks = shared!(self, disablereuse_set()) != 0 && shared!(self, disablereuse()) == 0;
        asks || self.request.conf().is_some_and(|conf| conf.keeps_blindly())
    }

    /// After what time addresses are looked up again: `addressttl`.
    pub(crate) fn address_ttl(self) -> Option<Duration> {
        let seconds = (shared!(self, address_ttl_set()) != 0).then(|| shared!(self, address_ttl))?;
        u64::try_from(seconds).ok().map(Duration::from_secs)
    }

    /// Connections that may stay idle in this process: `smax`, but not more than `most`.
    pub(crate) fn idle_limit(self, most: usize) -> usize {
        let (soft, hard) = (shared!(self, smax), shared!(self, hmax));
        if hard <= 0 { 1 } else { usize::try_from(soft).unwrap_or(most).min(most) }
    }

    /// How long connections may stay idle: `ttl`.
    pub(crate) fn idle_time(self) -> Option<Duration> {
        micros(shared!(self, ttl))
    }

    /// How long a backend may be silent.
    pub(crate) fn timeout(self) -> Duration {
        // SAFETY: mod_proxy gives the configuration of the request's server, which lives longer than the request.
        let of_proxy = unsafe {
            let conf = &*self.conf;
            (conf.timeout_set() != 0).then_some(conf.timeout)
        };
        let of_server = self.request.server_timeout();
        let own = (shared!(self, timeout_set()) != 0).then(|| shared!(self, timeout));
        micros(own.or(of_proxy).unwrap_or(of_server)).unwrap_or(Duration::from_secs(60))
    }

    /// How long a connection may take: `connectiontimeout`, or [`ProxyTarget::timeout`].
    fn connect_timeout(self) -> Duration {
        let own = (shared!(self, conn_timeout_set()) != 0).then(|| shared!(self, conn_timeout));
        own.and_then(micros).unwrap_or_else(|| self.timeout())
    }

    /// How long the client may be silent: Timeout.
    pub(crate) fn client_timeout(self) -> Duration {
        micros(self.request.server_timeout()).unwrap_or(Duration::from_secs(60))
    }

    /// `flushpackets` and `flushwait`.
    pub(crate) fn flush(self) -> Wait {
        match shared!(self, flush_packets) {
            sys::flush_on => Wait::Never,
            sys::flush_auto => {
                Wait::For(u32::try_from(shared!(self, flush_wait) / 1000).unwrap_or(10).max(1))
            }
            _ => Wait::Default,
        }
    }

    /// Whether another worker of a balancer can take over.
    pub(crate) fn is_member(self) -> bool {
        // SAFETY: mod_proxy keeps a worker for as long as the configuration, and the configuration for as long as its requests.
        unsafe { !(*self.worker).balancer.is_null() }
    }

    /// Counts bytes for the status pages.
    pub(crate) fn count(self, sent: u64, received: u64) {
        // SAFETY: as mod_proxy's own modules do, without a lock: the numbers are for people.
        unsafe {
            let shared = (*self.worker).s;
            (*shared).transferred = (*shared).transferred.wrapping_add(sent.cast_signed());
            (*shared).read = (*shared).read.wrapping_add(received.cast_signed());
        }
    }

    /// Whether ProxyErrorOverride replaces the response of this status.
    pub(crate) fn overrides(self, status: u16) -> bool {
        let conf = proxy_conf(self.request);
        // SAFETY: mod_proxy has merged it for this live request, which keeps it; the function only reads.
        !conf.is_null() && unsafe { sys::ap_proxy_should_override(conf, c_int::from(status)) } != 0
    }

    /// Takes a place among the connections that the worker may have.
    ///
    /// # Errors
    /// The status to answer.
    pub(crate) fn acquire(self, kind: Kind) -> Result<WorkerConnection<'r>, c_int> {
        let mut connection = std::ptr::null_mut();
        let name = function_name(kind);
        // SAFETY: `from_raw` was promised the worker of a live request, whose server lives as long as the configuration;
        // mod_proxy gives a connection that is ours until it is released.
        let status = unsafe {
            let server = (*self.request.as_ptr()).server;
            sys::ap_proxy_acquire_connection(name.as_ptr(), &raw mut connection, self.worker, server)
        };
        let place = WorkerConnection { target: self, raw: connection, name };
        if status != 0 || connection.is_null() {
            return Err(if status == 0 { SERVICE_UNAVAILABLE } else { status });
        }
        Ok(place)
    }
}

/// mod_proxy's configuration for a request; NULL for none.
pub(super) fn proxy_conf(request: Request<'_>) -> *mut sys::proxy_dir_conf {
    // SAFETY: mod_proxy numbers itself when it is loaded, which is before it calls anything of ours.
    let index = unsafe { (&raw const sys::proxy_module.module_index).read() };
    request.module_conf(index).cast()
}

fn function_name(kind: Kind) -> &'static CStr {
    match kind {
        Kind::FastCgi => c"FCGI",
        Kind::Scgi => c"SCGI",
        Kind::Uwsgi => c"uwsgi",
    }
}

fn micros(time: sys::apr_interval_time_t) -> Option<Duration> {
    u64::try_from(time).ok().filter(|micros| *micros > 0).map(Duration::from_micros)
}

/// A place among a worker's connections, given back when it is dropped.
pub(crate) struct WorkerConnection<'r> {
    target: ProxyTarget<'r>,
    raw: *mut sys::proxy_conn_rec,
    name: &'static CStr,
}

impl WorkerConnection<'_> {
    pub(super) fn as_ptr(&self) -> *mut sys::proxy_conn_rec {
        self.raw
    }

    /// Connects. The socket closes with this place.
    ///
    /// # Errors
    /// The status to answer. mod_proxy has logged why, and has put the worker into its error state.
    pub(crate) fn connect(&mut self, scheme: Scheme) -> Result<Wire, c_int> {
        self.determine(scheme)?;
        if let Some(done) = self.connect_to_unix() {
            return done;
        }
        let (target, connection) = (self.target, self.raw);
        // SAFETY: mod_proxy gave the connection to `acquire`, which is ours until it is released, and `determine` has had
        // mod_proxy find its address; worker and server are those that `from_raw` was promised.
        unsafe {
            let server = (*target.request.as_ptr()).server;
            if sys::ap_proxy_connect_backend(self.name.as_ptr(), connection, target.worker, server) != 0 {
                return Err(SERVICE_UNAVAILABLE);
            }
            let mut fd: RawFd = -1;
            if sys::apr_os_sock_get(&raw mut fd, (*connection).sock) != 0 || fd < 0 {
                return Err(INTERNAL_SERVER_ERROR);
            }
            Ok(Wire::of_server(fd))
        }
    }

    /// A connection to a unix socket: with fewer system calls than one of mod_proxy's, and with a limit for the time that it
    /// waits for a place in the backlog, where mod_proxy waits for ever. `None` if mod_proxy is to connect, because there is
    /// a failure to log or to count.
    fn connect_to_unix(&self) -> Option<Result<Wire, c_int>> {
        let target = self.target;
        // SAFETY: mod_proxy gave the connection to `acquire`, and keeps NULL or a C string there until it is released.
        let path = unsafe { text((*self.raw).uds_path) };
        let is_well = shared!(target, error_time) == 0 && shared!(target, retries) == 0;
        if path.is_empty() || target.is_remote() || !is_well {
            return None;
        }
        let limit = target.connect_timeout();
        match Wire::to_unix(path, limit) {
            Ok(wire) => Some(Ok(wire)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let (name, time) = (log::escape(&target.name()), limit.as_secs_f32());
                report!(
                    target.request,
                    Error,
                    BACKEND_SILENT,
                    "{name} has accepted no connection for {time} seconds, and no more may wait for it: look \
                     what it does, or raise its backlog",
                );
                Some(Err(SERVICE_UNAVAILABLE))
            }
            Err(error) if is_shortage(&error) => {
                // The backend is well: it is not put into its error state.
                report!(
                    target.request,
                    Error,
                    SERVER_FAILED,
                    "no connection can be made: {}",
                    explain(&error),
                );
                Some(Err(SERVICE_UNAVAILABLE))
            }
            Err(_) => None,
        }
    }

    fn determine(&mut self, scheme: Scheme) -> Result<(), c_int> {
        let (target, request) = (self.target, self.target.request);
        let mut url = request.pool().keep(&scheme.to_connect(target.url()));
        let mut uri = MaybeUninit::<sys::apr_uri_t>::zeroed();
        let mut port = [0; 32];
        // SAFETY: all of it is live for the call; apr_uri_parse fills the URI in.
        let status = unsafe {
            (*self.raw).set_is_ssl(0);
            sys::ap_proxy_determine_connection(
                request.pool().as_ptr(),
                request.as_ptr(),
                target.conf,
                target.worker,
                self.raw,
                uri.as_mut_ptr(),
                &raw mut url,
                target.proxy.0,
                target.proxy.1,
                port.as_mut_ptr(),
                port.len() as c_int,
            )
        };
        if status == 0 { Ok(()) } else { Err(status) }
    }
}

impl Drop for WorkerConnection<'_> {
    fn drop(&mut self) {
        if self.raw.is_null() {
            return;
        }
        // SAFETY: acquired by us. Idle connections are kept by ourselves: the one of mod_proxy closes.
        unsafe {
            (*self.raw).set_close(1);
            let server = (*self.target.request.as_ptr()).server;
            sys::ap_proxy_release_connection(self.name.as_ptr(), self.raw, server);
        }
    }
}
