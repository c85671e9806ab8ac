// SPDX-License-Identifier: MIT OR Apache-2.0
//! The applications: what the configuration says of them, and those of this process.

use std::sync::{Arc, OnceLock};

use gangway::{
    config::ApplicationConf,
    rights::Identity,
    runtime::{self, Application, Runtime},
    status::AppKind,
};

use crate::{config, counting};

/// Every application with its directive and the place of that, in order.
#[derive(Default)]
pub(crate) struct Configured {
    all: Vec<(ApplicationConf, String)>,
    /// The one that loads before the others.
    first: Option<usize>,
}

impl Configured {
    /// Answers the number of one more.
    pub(crate) fn add(&mut self, application: ApplicationConf, place: String) -> usize {
        self.all.push((application, place));
        self.all.len() - 1
    }

    /// One more, which loads before the others, unless they say how the interpreter starts and it does not.
    pub(crate) fn add_first(&mut self, application: ApplicationConf, place: String) -> usize {
        let is_first = application.loads_before(self.all.iter().map(|(other, _)| other));
        let number = self.add(application, place);
        self.first = is_first.then_some(number);
        number
    }
}

/// The number of the application that loads before the others, if there is one.
pub(super) fn first() -> Option<usize> {
    config::kept(|configured: &mut Configured| configured.first)
}

/// Those of the configuration, by number.
pub(crate) fn configured() -> Vec<ApplicationConf> {
    config::kept(|Configured { all, .. }| all.iter().map(|(config, _)| config.clone()).collect())
}

/// Asks the engines about all of them, which they must also be able to run side by side.
///
/// # Errors
/// The place of the first directive that is wrong, and why it is.
pub(crate) fn check() -> Result<(), String> {
    runtime::check(&configured()).map_err(|(number, reason)| {
        let place = config::kept(|Configured { all, .. }| all.get(number).map(|(_, place)| place.clone()));
        format!("{}: {reason}", place.unwrap_or_default())
    })
}

/// What children may not read, as the configuration test of root does not see by itself.
pub(crate) fn warnings(worker: &Identity) -> Vec<String> {
    runtime::check_as(&configured(), worker)
}

/// What a child process runs.
pub(super) struct Process {
    pub(super) id: u32,
    pub(super) runtime: Runtime,
    /// By the numbers that the configuration uses.
    pub(super) applications: Vec<Arc<Application>>,
}

static PROCESS: OnceLock<Process> = OnceLock::new();

/// The application of this number in this process.
pub(crate) fn application(number: usize) -> Option<&'static Arc<Application>> {
    PROCESS.get()?.applications.get(number)
}

/// All of them.
pub(super) fn applications() -> &'static [Arc<Application>] {
    PROCESS.get().map_or(&[], |process| &process.applications)
}

/// All that this process runs, once it has begun.
pub(super) fn process() -> Option<&'static Process> {
    PROCESS.get()
}

/// The process begins.
pub(super) fn keep(process: Process) {
    // Nobody else sets it: httpd calls child_init once, on one thread.
    let process = PROCESS.get_or_init(|| process);
    for (number, application) in process.applications.iter().enumerate() {
        application.count_at(counting::tally(AppKind::InProcess, number));
    }
}
