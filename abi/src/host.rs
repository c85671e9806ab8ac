// SPDX-License-Identifier: MIT OR Apache-2.0
//! An engine's side of the handshake: the host's table, taken once and checked there, so that a call is only a
//! call.

use std::{
    ffi::c_void,
    fmt,
    mem::{MaybeUninit, offset_of},
    ptr,
    sync::OnceLock,
};

use crate::{
    Level,
    bytes::lend,
    ffi::{
        self, gw_app_spec, gw_bytes, gw_field, gw_give_fn, gw_host, gw_message_fn, gw_place, gw_release_fn,
        gw_request, gw_sockets, gw_status, gw_transaction, gw_transactions,
    },
};

static HOST: OnceLock<Host> = OnceLock::new();

/// The functions of the host. See include/gangway.h for what each one promises.
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// Reads the request body.
    pub read_body: unsafe extern "C" fn(*mut gw_request, *mut u8, usize, u32, *mut usize) -> gw_status,
    /// Gives the response head.
    pub start: unsafe extern "C" fn(*mut gw_request, u16, gw_bytes, *const gw_field, usize) -> gw_status,
    /// Sends a copy.
    pub write: unsafe extern "C" fn(*mut gw_request, *const u8, usize, u32) -> gw_status,
    /// Sends the bytes themselves.
    pub write_owned:
        unsafe extern "C" fn(*mut gw_request, *const u8, usize, gw_release_fn, *mut c_void, u32) -> gw_status,
    /// Sends a part of a file.
    pub send_file: unsafe extern "C" fn(*mut gw_request, i32, u64, u64, u32) -> gw_status,
    /// Sends what was written so far.
    pub flush: unsafe extern "C" fn(*mut gw_request, u32) -> gw_status,
    /// Ends the response.
    pub finish: unsafe extern "C" fn(*mut gw_request, gw_status) -> gw_status,
    /// Tells whether the client left or the deadline passed.
    pub cancelled: unsafe extern "C" fn(*mut gw_request) -> i32,
    log: unsafe extern "C" fn(*mut gw_request, u32, *const u8, usize),
    /// Sends an interim head; `None` where the host cannot.
    pub interim: Option<unsafe extern "C" fn(*mut gw_request, u16, *const gw_field, usize) -> gw_status>,
    /// Gives what follows the body; `None` where the host cannot.
    pub trailers: Option<unsafe extern "C" fn(*mut gw_request, *const gw_field, usize) -> gw_status>,
    /// Has what this thread tells servers wait for the end of its turn; `None` where the host is older than ABI 1.7.
    pub gather: Option<unsafe extern "C" fn(u32)>,
    condition: Option<unsafe extern "C" fn(*mut gw_place, gw_bytes)>,
    /// What handlers of phases do with a request; `None` where the host has none.
    pub transactions: Option<Transactions>,
    /// What engines do with WebSockets; `None` where the host has none.
    pub sockets: Option<Sockets>,
}

/// The functions of the host for WebSockets. See include/gangway.h for what each one promises.
#[derive(Debug, Clone, Copy)]
pub struct Sockets {
    /// Accepts one.
    pub accept: unsafe extern "C" fn(*mut gw_request, gw_bytes, *const gw_field, usize) -> gw_status,
    /// Gives the next message.
    pub receive: unsafe extern "C" fn(*mut gw_request, u32, gw_message_fn, *mut c_void) -> gw_status,
    /// Sends a copy of a message.
    pub send: unsafe extern "C" fn(*mut gw_request, u32, *const u8, usize, u32) -> gw_status,
    /// Closes it.
    pub close: unsafe extern "C" fn(*mut gw_request, u16, gw_bytes) -> gw_status,
    descriptor: Option<unsafe extern "C" fn(*mut gw_place) -> i32>,
    read: Option<unsafe extern "C" fn(*mut gw_place)>,
}

impl Sockets {
    fn of(table: &gw_sockets) -> Option<Self> {
        Some(Self {
            accept: table.accept?,
            receive: table.receive?,
            send: table.send?,
            close: table.close?,
            descriptor: table.descriptor,
            read: table.read,
        })
    }
}

/// The functions of the host for handlers of phases. See include/gangway.h for what each one promises.
#[derive(Debug, Clone, Copy)]
pub struct Transactions {
    /// Gives a text.
    pub text: unsafe extern "C" fn(*mut gw_transaction, u32, gw_give_fn, *mut c_void) -> gw_status,
    /// Sets a text.
    pub set_text: unsafe extern "C" fn(*mut gw_transaction, u32, *const gw_bytes) -> gw_status,
    /// A number.
    pub number: unsafe extern "C" fn(*mut gw_transaction, u32, *mut i64) -> gw_status,
    /// Sets a number.
    pub set_number: unsafe extern "C" fn(*mut gw_transaction, u32, i64) -> gw_status,
    /// Gives the entries of a table.
    pub table:
        unsafe extern "C" fn(*mut gw_transaction, u32, *const gw_bytes, gw_give_fn, *mut c_void) -> gw_status,
    /// Changes a table.
    pub change_table: unsafe extern "C" fn(*mut gw_transaction, u32, u32, gw_bytes, gw_bytes) -> gw_status,
    /// Reads the request body.
    pub read: unsafe extern "C" fn(*mut gw_transaction, *mut u8, usize, *mut usize) -> gw_status,
    /// Sends a copy.
    pub write: unsafe extern "C" fn(*mut gw_transaction, *const u8, usize, u32) -> gw_status,
    /// Whether that knows `GW_NOWAIT`: not where the host is older than ABI 1.9.
    pub writes_at_once: bool,
    /// Sends a part of a file.
    pub send_file: unsafe extern "C" fn(*mut gw_transaction, i32, u64, u64, u32) -> gw_status,
    /// Declares the length of the response.
    pub set_length: unsafe extern "C" fn(*mut gw_transaction, u64) -> gw_status,
    /// Asks for the conditions of the client.
    pub meets_conditions: unsafe extern "C" fn(*mut gw_transaction, *mut i32) -> gw_status,
    /// Has another path answer.
    pub redirect: unsafe extern "C" fn(*mut gw_transaction, gw_bytes) -> gw_status,
    /// Writes a line to the log.
    pub log: unsafe extern "C" fn(*mut gw_transaction, u32, *const u8, usize),
    /// Has a handler run in a later phase; `None` where the host is older than ABI 1.6.
    pub add_handler: Option<unsafe extern "C" fn(*mut gw_transaction, u32, gw_bytes, gw_bytes) -> gw_status>,
    /// Has the last phase run; `None` as above.
    pub await_cleanup: Option<unsafe extern "C" fn(*mut gw_transaction) -> gw_status>,
    /// Another transaction; `None` as above.
    pub related:
        Option<unsafe extern "C" fn(*mut gw_transaction, u32, *mut *mut gw_transaction) -> gw_status>,
    /// What the server finds by name; `None` as above.
    pub look_up: Option<
        unsafe extern "C" fn(*mut gw_transaction, u32, gw_bytes, gw_give_fn, *mut c_void) -> gw_status,
    >,
    /// The servers of the configuration; `None` where the host is older than ABI 1.12.
    pub next_server: Option<unsafe extern "C" fn(*mut gw_transaction, *mut *mut gw_transaction) -> gw_status>,
    /// The calls of filters; `None` where the host is older than ABI 1.6.
    pub filters: Option<Filters>,
}

impl Transactions {
    fn of(table: &gw_transactions, minor: u32) -> Option<Self> {
        Some(Self {
            text: table.text?,
            set_text: table.set_text?,
            number: table.number?,
            set_number: table.set_number?,
            table: table.table?,
            change_table: table.change_table?,
            read: table.read?,
            write: table.write?,
            writes_at_once: minor >= 9,
            send_file: table.send_file?,
            set_length: table.set_length?,
            meets_conditions: table.meets_conditions?,
            redirect: table.redirect?,
            log: table.log?,
            add_handler: table.add_handler,
            await_cleanup: table.await_cleanup,
            related: table.related,
            look_up: table.look_up,
            next_server: table.next_server,
            filters: Filters::of(table),
        })
    }
}

/// The functions of the host for filters. See include/gangway.h for what each one promises.
#[derive(Debug, Clone, Copy)]
pub struct Filters {
    /// Reads what has come.
    pub read: unsafe extern "C" fn(*mut gw_transaction, *mut u8, usize, *mut usize, *mut u32) -> gw_status,
    /// Passes a copy on.
    pub write: unsafe extern "C" fn(*mut gw_transaction, *const u8, usize, u32) -> gw_status,
    /// Ends the body.
    pub close: unsafe extern "C" fn(*mut gw_transaction) -> gw_status,
    /// Passes the rest on.
    pub pass: unsafe extern "C" fn(*mut gw_transaction, u32) -> gw_status,
    /// Adds a filter.
    pub add: unsafe extern "C" fn(*mut gw_transaction, u32, gw_bytes, gw_bytes, gw_bytes) -> gw_status,
}

impl Filters {
    fn of(table: &gw_transactions) -> Option<Self> {
        Some(Self {
            read: table.filter_read?,
            write: table.filter_write?,
            close: table.filter_close?,
            pass: table.filter_pass?,
            add: table.add_filter?,
        })
    }
}

/// Bytes of the `gw_transactions` of ABI 1.2: its last member and all before.
const TRANSACTIONS_1_2: usize = offset_of!(gw_transactions, log) + size_of::<usize>();

/// Bytes of the `gw_sockets` of ABI 1.4.
const SOCKETS_1_4: usize = offset_of!(gw_sockets, close) + size_of::<usize>();

/// Bytes of the `gw_host` of ABI 1.0: its last member and all before.
const SIZE_1_0: usize = offset_of!(gw_host, log) + size_of::<usize>();

/// Takes the host's table, or says why this engine cannot work with it.
///
/// # Errors
/// What is wrong with the table.
///
/// # Safety
/// `table` is null or points to a table as the handshake of include/gangway.h describes it, valid until the
/// process ends.
pub unsafe fn accept(table: *const gw_host) -> Result<&'static Host, &'static str> {
    if let Some(host) = HOST.get() {
        return Ok(host);
    }
    // SAFETY: the caller guarantees null or a table; its first member is its size, and nothing else is read yet.
    let Some(&size) = (unsafe { table.cast::<usize>().as_ref() }) else {
        return Err("the host gave no table");
    };
    if size < SIZE_1_0 {
        return Err("the host's table is shorter than that of ABI 1.0");
    }
    // SAFETY: as many bytes are readable as the table says, and zeros are a value of the struct: NULL and 0.
    let table = unsafe { widened(table, size) };
    if table.abi_major != ffi::GW_ABI_MAJOR {
        return Err("the host speaks another major version of the ABI");
    }
    // SAFETY: NULL, or by gangway.h a table that stays until the process ends and begins with its size.
    let transactions = unsafe { table.transactions.cast::<usize>().as_ref() };
    let transactions = transactions.filter(|size| **size >= TRANSACTIONS_1_2).and_then(|size| {
        // SAFETY: as many bytes are readable as the table says, and zeros are a value of the struct: NULL and 0.
        Transactions::of(&unsafe { widened(table.transactions, *size) }, table.abi_minor)
    });
    // SAFETY: NULL, or by gangway.h a table that stays until the process ends and begins with its size.
    let sockets = unsafe { table.sockets.cast::<usize>().as_ref() };
    let sockets = sockets.filter(|size| **size >= SOCKETS_1_4).and_then(|size| {
        // SAFETY: as many bytes are readable as the table says, and zeros are a value of the struct: NULL and 0.
        Sockets::of(&unsafe { widened(table.sockets, *size) })
    });
    let host = (|| {
        Some(Host {
            read_body: table.read_body?,
            start: table.start?,
            write: table.write?,
            write_owned: table.write_owned?,
            send_file: table.send_file?,
            flush: table.flush?,
            finish: table.finish?,
            cancelled: table.cancelled?,
            log: table.log?,
            interim: table.interim,
            trailers: table.trailers,
            gather: table.gather,
            condition: table.condition,
            transactions,
            sockets,
        })
    })();
    let host = host.ok_or("a function of the host's table is null")?;
    Ok(HOST.get_or_init(|| host))
}

/// A struct as this crate knows it, of one that is shorter or longer; what it does not have is zero.
///
/// # Safety
/// `size` bytes of it are readable, and zeros are a value of `T`.
unsafe fn widened<T>(short: *const T, size: usize) -> T {
    // SAFETY: the caller promises `size` readable bytes, of which no more are taken than `T` has room for, and that zeros are a value of it.
    unsafe {
        let mut whole = MaybeUninit::<T>::zeroed();
        ptr::copy_nonoverlapping(
            short.cast::<u8>(),
            whole.as_mut_ptr().cast::<u8>(),
            size.min(size_of::<T>()),
        );
        whole.assume_init()
    }
}

/// The host of the handshake; `None` before it.
#[must_use]
pub fn host() -> Option<&'static Host> {
    HOST.get()
}

/// Writes one line to the server's error log; with the request's context if `request` is not null.
///
/// # Safety
/// `request` is null or a live request.
pub unsafe fn log_bytes(request: *mut gw_request, level: Level, line: &[u8]) {
    if let Some(host) = HOST.get() {
        // SAFETY: the caller guarantees the request; the bytes are borrowed for the call, which any thread may make.
        unsafe { (host.log)(request, level as u32, line.as_ptr(), line.len()) };
    }
}

/// The host's side of an application, by which an engine says whether that can run, and has what its event loop waits for.
#[derive(Debug, Clone, Copy)]
pub struct Place(*mut gw_place);

// SAFETY: gangway.h: any thread may name it in the calls that take it.
unsafe impl Send for Place {}
// SAFETY: gangway.h: several threads may name it at a time, and this side never looks at what it points to.
unsafe impl Sync for Place {}

impl Place {
    /// That of a specification.
    ///
    /// # Safety
    /// `spec` is one that the host gave to load(), and the place is used no more after unload().
    #[must_use]
    pub unsafe fn of(spec: &gw_app_spec) -> Self {
        // A host of ABI 1.7 has given a shorter one.
        let is_there = spec.struct_size >= offset_of!(gw_app_spec, place) + size_of::<usize>();
        Self(if is_there { spec.place } else { ptr::null_mut() })
    }

    /// Says that the application cannot run, and why; or, without a reason, that it runs.
    pub fn say(self, reason: &str) {
        if let Some(condition) = HOST.get().and_then(|host| host.condition).filter(|_| !self.0.is_null()) {
            // SAFETY: who has made this promises that the application is not unloaded; the bytes are borrowed for the call.
            unsafe { condition(self.0, lend(reason.as_bytes())) };
        }
    }

    /// What an event loop watches, to call [`Place::read_sockets`] when it is readable; `None` where there is nothing.
    #[must_use]
    pub fn sockets_descriptor(self) -> Option<i32> {
        let sockets = self.sockets()?;
        // The one is of no use without the other.
        let (descriptor, _) = (sockets.descriptor?, sockets.read?);
        // SAFETY: who has made this promises that the application is not unloaded.
        Some(unsafe { descriptor(self.0) }).filter(|number| *number >= 0)
    }

    /// Reads from busy WebSockets. THREAD: one at a time.
    pub fn read_sockets(self) {
        if let Some(read) = self.sockets().and_then(|sockets| sockets.read) {
            // SAFETY: who has made this promises that the application is not unloaded.
            unsafe { read(self.0) };
        }
    }

    fn sockets(self) -> Option<&'static Sockets> {
        HOST.get().filter(|_| !self.0.is_null())?.sockets.as_ref()
    }
}

/// Writes one line to the server's error log, outside of any request.
pub fn log(level: Level, text: fmt::Arguments<'_>) {
    // SAFETY: null is no request, which log() allows.
    unsafe { log_bytes(ptr::null_mut(), level, text.to_string().as_bytes()) };
}
