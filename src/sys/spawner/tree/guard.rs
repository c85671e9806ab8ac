// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guard: makes another keeper when one was killed, and remembers for it what the server's parent has said.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use super::{super::process, MessageSocket, keeper, processes, room, table::Table};
use crate::rights::Identity;

/// The life of the guard, until the server has ended.
pub(super) fn live(server: MessageSocket, worker: &Identity, supervise: &dyn Fn(MessageSocket)) {
    process::name(c"gangway-guard");
    processes::adopt_orphans();
    let files = room::widen();
    let mut table = Table::default();
    loop {
        let Ok((memory, there)) = MessageSocket::pair() else { return };
        // SAFETY: this process has one thread, so the child may use everything.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            drop(memory);
            keeper::live(&server, &there, (table, files), worker, supervise);
            // SAFETY: _exit(2) has no conditions; it runs nothing of the server.
            unsafe { libc::_exit(0) }
        }
        drop(there);
        if pid > 0 {
            // The end of the connection is the keeper's.
            loop {
                match memory.receive(true) {
                    Ok(packet) => drop(table.take(packet)),
                    // Descriptors for which there is no room: what came with them is lost, and the keeper must not wait.
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                    Err(_) => break,
                }
            }
            if processes::wait_for(pid) {
                processes::end_children(true);
                return;
            }
        }
        // What the keeper has started was told to end with it, and what does not is killed: the next one begins anew.
        processes::end_children(false);
        if has_ended(&server) {
            return;
        }
    }
}

/// Whether the last process of the server has closed its end.
fn has_ended(server: &MessageSocket) -> bool {
    let fd = server.as_fd().as_raw_fd();
    let mut entry = [libc::pollfd { fd, events: 0, revents: 0 }];
    super::super::super::poll(&mut entry, Some(std::time::Duration::from_millis(100)));
    entry.iter().any(|entry| entry.revents & libc::POLLHUP != 0)
}
