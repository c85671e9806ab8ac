// SPDX-License-Identifier: MIT OR Apache-2.0
//! System calls on sockets, events and signals: the only `unsafe` of this crate.

#![expect(unsafe_code, reason = "system calls")]

mod epoll;
mod signals;
mod socket;
mod standard;
mod title;

pub(crate) use epoll::{Epoll, Readiness, Woken};
pub(crate) use signals::Signals;
pub(crate) use socket::{
    Peer, Waiting, accept, end_output, has_left, is_listening, listen, receive, send, send_file,
    set_nonblocking, shut, wait,
};
pub(crate) use standard::{
    Output, exit_now, forget_environment, is_root, local_time, name_thread, take_over,
};
pub(crate) use title::{NAME_MOST, name_process, set_title};

use std::io;

/// The answer of a call that says -1 for an error.
fn checked(answer: libc::c_int) -> io::Result<libc::c_int> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// The answer of a call that counts bytes. `None`: it would wait.
fn counted(answer: isize) -> io::Result<Option<usize>> {
    if let Ok(count) = usize::try_from(answer) {
        return Ok(Some(count));
    }
    let error = io::Error::last_os_error();
    match error.kind() {
        io::ErrorKind::WouldBlock => Ok(None),
        _ => Err(error),
    }
}

/// Makes a call again as long as a signal interrupts it.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
