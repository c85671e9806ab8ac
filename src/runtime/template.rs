// SPDX-License-Identifier: MIT OR Apache-2.0
//! An application that is loaded once, in a process with one thread, and runs in the processes that are forked from it.

use std::sync::{
    Arc, Mutex,
    atomic::AtomicBool,
    mpsc::{self, Receiver, Sender},
};

use super::{Application, LoaderCommand, OpenEngines, Runtime, Threads, serve};
use crate::{
    config::ApplicationConf,
    engine::{App, Engine, fence},
};

/// A loaded application, before the fork.
pub struct Template {
    config: ApplicationConf,
    engine: Engine,
    app: App,
}

/// The first thread of a forked process, as the one that ends the application.
pub struct EngineThread {
    inbox: Receiver<LoaderCommand>,
    end: Sender<bool>,
    application: Arc<Application>,
    is_ending: Arc<AtomicBool>,
}

impl Template {
    /// Loads an application on the calling thread, which is the only one of its process.
    ///
    /// # Errors
    /// Why it cannot be loaded.
    pub fn load(config: &ApplicationConf) -> Result<Self, String> {
        let engine = OpenEngines::default().get(config.engine())?;
        let app = engine.load_template(config.spec())?;
        Ok(Self { config: config.clone(), engine, app })
    }

    /// Before a fork of this process.
    pub fn prepare(&self) {
        self.engine.fork_prepare();
    }

    /// After it, in this process.
    pub fn parent(&self) {
        self.engine.fork_parent();
    }

    /// After it, in the new process: the application, whose handlers the server's threads run. `None`, with a line in the log,
    /// when that cannot be.
    #[must_use]
    pub fn child(self) -> Option<(Runtime, Arc<Application>, EngineThread)> {
        if !self.engine.fork_child() {
            return None;
        }
        let application = Arc::new(Application::new(&self.config, Threads::Server));
        application.ready(Arc::new(self.app));
        let (commands, inbox) = mpsc::channel();
        let (end, done) = mpsc::channel();
        let is_ending = Arc::new(AtomicBool::new(false));
        let thread = EngineThread {
            inbox,
            end,
            application: Arc::clone(&application),
            is_ending: Arc::clone(&is_ending),
        };
        let runtime = Runtime { commands, done: Mutex::new(done), is_ending, applications: Mutex::default() };
        Some((runtime, application, thread))
    }
}

impl EngineThread {
    /// Lives on the calling thread until the runtime is stopped or dropped.
    pub fn live(self) {
        let Self { inbox, end, application, is_ending } = self;
        let ended = fence("the engine thread", false, || serve(&inbox, vec![application], &is_ending));
        // The error is that nobody waits any more.
        let _ = end.send(ended);
    }
}
