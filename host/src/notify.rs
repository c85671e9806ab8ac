// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a service manager gets to know: sd_notify(3).

use std::{
    env,
    ffi::{OsStr, OsString},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    sync::OnceLock,
};

static MANAGER: OnceLock<OsString> = OnceLock::new();

/// Takes the address out of the environment, where programs of the application would take it for theirs. Before the first thread.
pub(crate) fn find() {
    if let Some(address) = env::var_os("NOTIFY_SOCKET") {
        // Nobody else sets it.
        let _ = MANAGER.set(address);
    }
}

/// Requests can be answered.
pub(crate) fn ready() {
    tell(b"READY=1");
}

/// The process ends.
pub(crate) fn stopping() {
    tell(b"STOPPING=1");
}

fn tell(text: &[u8]) {
    let Some(address) = MANAGER.get().and_then(|name| address(name)) else { return };
    // A manager that cannot be told is none.
    if let Ok(socket) = UnixDatagram::unbound() {
        let _ = socket.send_to_addr(text, &address);
    }
}

/// A path, or a name behind `@`.
fn address(name: &OsStr) -> Option<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok(),
        path => SocketAddr::from_pathname(OsStr::from_bytes(path)).ok(),
    }
}
