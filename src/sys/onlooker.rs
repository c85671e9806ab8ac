// SPDX-License-Identifier: MIT OR Apache-2.0
//! A look at files with somebody else's eyes: a short-lived child of root that becomes that user.

use std::{
    io::{self, PipeReader, Read, Write},
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use super::{poll, spawner};
use crate::rights::Identity;

/// A file system that hangs must not hang the test of a configuration.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a look may have to say.
const LONGEST: u64 = 256 * 1024;

/// The lines that `look` answers as this user; none if that cannot be found out. Only while the configuration is read:
/// the process has one thread, so the child may use everything.
#[must_use]
pub fn see_as(identity: &Identity, look: impl FnOnce() -> Vec<String>) -> Vec<String> {
    let Ok((reader, mut writer)) = io::pipe() else { return Vec::new() };
    // SAFETY: the server reads its configuration with one thread, so the child finds no lock taken.
    match unsafe { libc::fork() } {
        -1 => Vec::new(),
        0 => {
            drop(reader);
            if spawner::change_user(identity).is_some() {
                let text = look().join("\n");
                // The error is that nobody waits any more.
                let _ = writer.write_all(text.as_bytes());
            }
            // SAFETY: ends the child without running what the server has registered for its own end.
            unsafe { libc::_exit(0) }
        }
        child => {
            drop(writer);
            let said = listen(reader);
            // SAFETY: our child, which is not reaped yet; nothing is written.
            unsafe {
                libc::kill(child, libc::SIGKILL);
                libc::waitpid(child, std::ptr::null_mut(), 0);
            }
            said.lines().map(str::to_owned).collect()
        }
    }
}

fn listen(reader: PipeReader) -> String {
    let deadline = Instant::now() + PATIENCE;
    let mut file = reader.take(LONGEST);
    let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let fd = file.get_ref().as_raw_fd();
        let left = deadline.saturating_duration_since(Instant::now());
        let mut entry = [libc::pollfd { fd, events: libc::POLLIN, revents: 0 }];
        poll(&mut entry, Some(left));
        if entry[0].revents == 0 && left.is_zero() {
            return String::new();
        }
        if entry[0].revents == 0 {
            continue;
        }
        match file.read(&mut buffer) {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&said).into_owned(),
            Ok(length) => said.extend_from_slice(buffer.get(..length).unwrap_or_default()),
        }
    }
}
