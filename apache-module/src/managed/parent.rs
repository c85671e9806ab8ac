// SPDX-License-Identifier: MIT OR Apache-2.0
//! In httpd's parent: what looks after processes is started once, told each configuration, and found again by the module that
//! httpd loads at a restart.

use std::{
    io::{self, stderr},
    os::fd::AsFd,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use gangway::{
    config::Managed,
    error::SUPERVISOR,
    log::{self, Level},
    supervise::{Link, ManagedPool, Manager, Setup, Stamp, segment::Wake},
    sys::{LeftOpen, explain, lock, run_directory, spawner::own_account},
};

use super::wanted;
use crate::raw::{self, ConfigurationPool};

/// What the parent has; children inherit it.
struct Parent {
    manager: Manager,
    /// What is shared about each application of the configuration, by its number there.
    pools: Vec<Option<ManagedPool>>,
}

static PARENT: Mutex<Option<Parent>> = Mutex::new(None);
/// The parent's process.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// The parent has read its configuration and is about to make children. Answers whether it may: at a restart always, with what
/// runs already, or httpd would end.
pub(crate) fn start(pool: &ConfigurationPool) -> bool {
    let is_restart = raw::note_start();
    let (all, left) = (wanted::all(), raw::take_left());
    if all.is_empty() {
        // What runs ends with the last child that may use it.
        drop(left.map(|left| Manager::resume(setup(), left)));
        return true;
    }
    raw::on_configuration_end(pool, suspend);
    PROCESS.store(raw::process_id(), Ordering::Relaxed);
    let outcome = manager(left).map(|mut manager| {
        if let Some(Ok(memory)) = raw::with_board(|board| board.as_fd().try_clone_to_owned()) {
            manager.set_figures(memory);
        }
        let told = manager.configure(&all, stderr().as_fd());
        let failure = told.as_ref().err().map(explain);
        let pools = match told {
            Ok(pools) => pools.into_iter().map(Some).collect(),
            Err(_) => all.iter().map(|managed| manager.running(managed)).collect(),
        };
        *lock(&PARENT) = Some(Parent { manager, pools });
        failure
    });
    let failure = match outcome {
        Ok(None) => return true,
        Ok(Some(failure)) => failure,
        Err(error) => explain(&error),
    };
    let cure = if is_restart {
        "what runs already goes on as it was; restart httpd again when that is mended"
    } else {
        "httpd does not start without them"
    };
    let text = format_args!("applications in processes of their own cannot be started: {failure}; {cure}");
    log::coded(Level::Error, SUPERVISOR, text);
    is_restart
}

fn manager(left: Option<LeftOpen>) -> io::Result<Manager> {
    if let Some(left) = left {
        match Manager::resume(setup(), left) {
            Ok(manager) => return Ok(manager),
            Err(error) => {
                let why = explain(&error);
                let text =
                    format_args!("what has looked after processes is not found: {why}; it begins anew");
                log::coded(Level::Warn, SUPERVISOR, text);
            }
        }
    }
    Manager::start(setup())
}

fn setup() -> Setup {
    let worker = raw::worker().unwrap_or_else(own_account);
    Setup {
        run_directory: run_directory::of(&worker),
        worker,
        wake: Wake::Threads,
        host: wanted::host(),
        stamp: Stamp::Brackets,
        begun: || (),
    }
}

/// The configuration ends: what looks after processes is left to the module that httpd loads next, or ends with httpd.
fn suspend() {
    // Children that end come here as well.
    if PROCESS.load(Ordering::Relaxed) != raw::process_id() {
        return;
    }
    let Some(Parent { manager, pools }) = lock(&PARENT).take() else { return };
    drop(pools);
    match manager.suspend() {
        Ok(left) => raw::leave_open(left),
        Err(error) => {
            let why = explain(&error);
            let text = format_args!("what looks after processes cannot be kept over the restart: {why}");
            log::coded(Level::Error, SUPERVISOR, text);
        }
    }
}

/// All applications, by their numbers, each with what it is called.
pub(crate) fn named() -> Vec<(Managed, String)> {
    let parent = lock(&PARENT);
    let name = |number: usize| Some(parent.as_ref()?.pools.get(number)?.as_ref()?.name.to_string());
    let all = wanted::all().into_iter().enumerate();
    all.map(|(number, managed)| {
        let name = name(number).unwrap_or_else(|| managed.name().to_owned());
        (managed, name)
    })
    .collect()
}

/// In a child: its way to what looks after processes, and what is shared about each application.
pub(super) fn for_child() -> Option<(io::Result<Link>, Vec<Option<ManagedPool>>)> {
    let parent = lock(&PARENT);
    let parent = parent.as_ref()?;
    Some((parent.manager.link(), parent.pools.clone()))
}
