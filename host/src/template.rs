// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--template`: descriptor 0 is a way to the server's gangway-spawn. The application is loaded once, and each process that is
//! asked for is a fork of this one. It answers no request, has one thread, and sleeps until it is asked.

use std::os::fd::OwnedFd;

use gangway::{
    config::ApplicationConf,
    engine::Engine,
    runtime::{self, EngineThread, Runtime, Template, Threads},
    sys::spawner::tree::{Control, ForkReply},
};

use crate::{
    Loaded,
    sys::{self, Signals},
};

/// What a new process begins with.
pub(crate) struct Born {
    pub(crate) listener: OwnedFd,
    pub(crate) signals: Signals,
    pub(crate) loaded: Loaded,
    pub(crate) thread: EngineThread,
}

/// The way to who wants processes.
///
/// # Errors
/// What is wrong with descriptor 0.
pub(crate) fn control() -> Result<Control, String> {
    let socket = sys::take_over(libc::STDIN_FILENO).map_err(|error| {
        format!("--template is for gangway-spawn, which passes a socket as descriptor 0: {error}")
    })?;
    Ok(Control::of(socket))
}

/// Loads the application and makes processes. Comes back in each of them; the template itself ends here.
///
/// # Errors
/// Why the application cannot be loaded, which has been told, or why a process cannot begin.
pub(crate) fn live(control: Control, config: &ApplicationConf) -> Result<Born, String> {
    let name = &config.spec().name;
    sys::name_thread(c"gw-template");
    sys::set_title(&format!("gangway-host: template of {name}"));
    let loaded = if runtime::is_async(config) {
        Err("an event loop cannot be forked; set preload=off".to_owned())
    } else {
        Template::load(config)
    };
    let template = match loaded {
        Ok(template) => template,
        Err(reason) => {
            control.not_loaded(&reason);
            return Err(reason);
        }
    };
    control.loaded();
    let listener = loop {
        let Some(wish) = control.next() else {
            // The application's exit handlers are for processes that have served.
            sys::exit_now(0);
        };
        template.prepare();
        match control.fork(wish) {
            ForkReply::Template => template.parent(),
            ForkReply::Process(listener) => break listener,
        }
    };
    drop(control);
    sys::name_thread(c"gangway-host");
    sys::set_title(&format!("gangway-host: {name}"));
    let signals = Signals::catch().map_err(|error| format!("cannot watch signals: {error}"))?;
    let (runtime, application, thread) =
        template.child().ok_or("the engine cannot go on in a forked process; the line above says why")?;
    Ok(Born { listener, signals, loaded: Loaded { runtime, application }, thread })
}

/// Loads an application to see whether that can be.
///
/// # Errors
/// Why it cannot; lines of the log say more.
pub(crate) fn try_to_load(config: &ApplicationConf) -> Result<(), String> {
    if Engine::open(config.engine()).is_ok_and(|engine| engine.can_fork()) {
        return Template::load(config).map(drop);
    }
    let runtime = Runtime::start(Threads::Server).map_err(|error| error.to_string())?;
    runtime.application(config, Threads::Server).await_loaded()
}
