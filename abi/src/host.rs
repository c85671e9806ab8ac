// SPDX-License-Identifier: MIT OR Apache-2.0
//! An engine's side of the handshake: the host's table, taken once and checked there, so that a call is only a
//! call.

use std::{fmt, ptr, sync::OnceLock};

use crate::{
    Level,
    ffi::{self, gw_bytes, gw_field, gw_host, gw_release_fn, gw_request, gw_status},
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
    pub write_owned: unsafe extern "C" fn(
        *mut gw_request,
        *const u8,
        usize,
        gw_release_fn,
        *mut core::ffi::c_void,
        u32,
    ) -> gw_status,
    /// Sends a part of a file.
    pub send_file: unsafe extern "C" fn(*mut gw_request, i32, u64, u64, u32) -> gw_status,
    /// Sends what was written so far.
    pub flush: unsafe extern "C" fn(*mut gw_request, u32) -> gw_status,
    /// Ends the response.
    pub finish: unsafe extern "C" fn(*mut gw_request, gw_status) -> gw_status,
    /// Tells whether the client left or the deadline passed.
    pub cancelled: unsafe extern "C" fn(*mut gw_request) -> i32,
    log: unsafe extern "C" fn(*mut gw_request, u32, *const u8, usize),
}

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
    if size < size_of::<gw_host>() {
        return Err("the host's table is shorter than that of ABI 1.0");
    }
    // SAFETY: the table is as long as the struct that is read here.
    let table = unsafe { &*table };
    if table.abi_major != ffi::GW_ABI_MAJOR {
        return Err("the host speaks another major version of the ABI");
    }
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
        })
    })();
    let host = host.ok_or("a function of the host's table is null")?;
    Ok(HOST.get_or_init(|| host))
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

/// Writes one line to the server's error log, outside of any request.
pub fn log(level: Level, text: fmt::Arguments<'_>) {
    // SAFETY: null is no request, which log() allows.
    unsafe { log_bytes(ptr::null_mut(), level, text.to_string().as_bytes()) };
}
