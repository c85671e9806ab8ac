// SPDX-License-Identifier: MIT OR Apache-2.0
//! An application that is loaded once, to see whether it can be: as the keeper would have it loaded, without a keeper.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use super::{
    super::{
        super::poll,
        launch::{Launcher, ProcessAttributes, RunAs},
        report::{Exit, Failure, Step},
        request::SpawnerCommand,
    },
    message::Recipe,
    processes,
};
use crate::rights::Identity;

/// How much is kept of what it says: the last of it.
const KEPT: usize = 64 * 1024;
/// How often it is looked whether it has ended without having closed its output.
const LOOK: Duration = Duration::from_millis(50);

/// Loads the application of a message of [`super::application`] in a process of its user, which ends then. `host` is another file
/// than the message names. Answers whether it was loaded, and what it said.
///
/// # Errors
/// Why the process could not be made.
pub fn load_once(
    message: &[u8],
    host: Option<&Path>,
    worker: &Identity,
    time: Duration,
) -> Result<(bool, String), String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let unknown = || Failure { step: Step::Request, errno: 0 }.to_string();
    let recipe = Recipe::decode(message).ok_or_else(unknown)?;
    let Some(SpawnerCommand::Run(mut run)) = SpawnerCommand::decode(recipe.request) else {
        return Err(unknown());
    };
    let named = host.map(|host| std::ffi::CString::new(host.as_os_str().as_encoded_bytes()));
    let named = named.transpose().map_err(|error| failed(&error))?;
    if let Some(host) = named.as_deref() {
        (run.program, run.script) = (host, host);
    }
    run.arguments.insert(0, c"--check");
    // SAFETY: neither has conditions.
    let (own, pid) = unsafe { (libc::geteuid(), libc::getpid()) };
    let user = match &recipe.user {
        Some(user) => RunAs::Account(user),
        None if own != worker.user => RunAs::Server(worker),
        None => RunAs::Same,
    };
    let attributes = ProcessAttributes {
        umask: Some(recipe.umask),
        nice: recipe.nice,
        cgroup: None,
        files: 0,
        parent: pid,
    };
    let (output, writer) = io::pipe().map_err(|error| failed(&error))?;
    let nothing = File::open("/dev/null").map_err(|error| failed(&error))?;
    let errors = writer.try_clone().map_err(|error| failed(&error))?;
    let fds = [OwnedFd::from(nothing), writer.into(), errors.into()];
    let launched = Launcher::new().map_err(|error| failed(&error))?.launch(&run, &fds, user, attributes);
    drop(fds);
    let child = launched.map_err(|(failure, child)| {
        child.map(processes::collect);
        failure.to_string()
    })?;
    let (exit, said) = watch(child, output.into(), time);
    let said = String::from_utf8_lossy(&said).into_owned();
    Ok(match exit {
        Some(Exit::Status(0)) => (true, said),
        Some(exit) => (false, format!("{said}{exit}\n")),
        None => (false, format!("{said}it was not loaded within {} s\n", time.as_secs())),
    })
}

/// What a child says until it has ended, and how it has; nothing if it did not in time. Its group ends with it.
fn watch(child: libc::pid_t, output: OwnedFd, time: Duration) -> (Option<Exit>, Vec<u8>) {
    let (mut output, end) = (File::from(output), Instant::now() + time);
    let (mut said, mut part) = (Vec::new(), [0; 4096]);
    let is_late = loop {
        let mut shown = [libc::pollfd { fd: output.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
        poll(&mut shown, Some(LOOK));
        let has_more = shown.iter().any(|entry| entry.revents != 0);
        match has_more.then(|| output.read(&mut part)) {
            Some(Ok(count)) if count > 0 => said.extend_from_slice(part.get(..count).unwrap_or_default()),
            // It has closed it, or says nothing and has ended: who it has started may still hold it.
            Some(_) => std::thread::sleep(LOOK),
            None => {}
        }
        let excess = said.len().saturating_sub(KEPT);
        said.drain(..excess);
        if processes::ended() == Some(child) && is_drained(&output) {
            break false;
        }
        if Instant::now() >= end {
            break true;
        }
    };
    processes::signal_group(child, libc::SIGKILL);
    let exit = Exit::from_wait(processes::collect(child));
    ((!is_late).then_some(exit), said)
}

/// Whether nothing is left to be read.
fn is_drained(output: &File) -> bool {
    let mut shown = [libc::pollfd { fd: output.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
    poll(&mut shown, Some(Duration::ZERO));
    !shown.iter().any(|entry| entry.revents & libc::POLLIN != 0)
}
