// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the configuration says of an application in processes of its own.

use std::{cell::OnceCell, sync::Arc, time::Instant};

use gangway::{
    config::Managed,
    error::{NO_PROCESS, QUEUE_FULL},
    log::{Line, Throttle},
    supervise::segment::Segment,
};

use super::processes;

/// An application at a location.
pub(crate) struct Service {
    pub(super) managed: Managed,
    /// The path of the location for an application that is mounted there; `None` for a program, which runs scripts that the
    /// path names.
    pub(super) mount: Option<Vec<u8>>,
    segment: OnceCell<Option<Arc<Segment>>>,
    refusals: Throttle,
}

impl Service {
    pub(crate) fn new(managed: Managed, mount: Option<Vec<u8>>) -> Self {
        Self { managed, mount, segment: OnceCell::new(), refusals: Throttle::default() }
    }

    pub(crate) fn managed(&self) -> &Managed {
        &self.managed
    }

    /// Where its places are claimed. `None` in a process that serves nothing.
    pub(super) fn segment(&self) -> Option<&Arc<Segment>> {
        self.segment.get_or_init(|| processes::segment(&self.managed)).as_ref()
    }

    /// Tells the supervisor that there is something to do.
    pub(super) fn demand(&self) {
        processes::demand(&self.managed);
    }

    /// What the log says of a request that is not let in, if it is to say something.
    pub(super) fn full_line(&self) -> Option<Line> {
        let held = self.refusals.pass(Instant::now())?;
        let more = more(held);
        let managed = &self.managed;
        let (name, queue, most, threads) =
            (managed.name(), managed.queue(), managed.life().most, managed.threads());
        let each = if threads > 1 { format!(" of threads={threads}") } else { String::new() };
        let text = format!(
            "{name}: the request is refused, for queue={queue} requests wait for processes={most}{each}{more}; raise queue= or processes=, or make the application faster"
        );
        Some(Line::error(QUEUE_FULL, text))
    }

    /// The same for one that finds no process, and none that could be started.
    pub(super) fn down_line(&self) -> Option<Line> {
        let held = self.refusals.pass(Instant::now())?;
        let more = more(held);
        let text = format!(
            "{}: the request is refused, for no process runs and the last ones did not start{more}; lines before this one say why",
            self.managed.name()
        );
        Some(Line::error(NO_PROCESS, text))
    }
}

fn more(held: u64) -> String {
    if held > 0 { format!(" ({held} more were refused since the last line)") } else { String::new() }
}

/// Every one, each once, in the order of the configuration.
#[derive(Default)]
pub(crate) struct Services(pub(super) Vec<Managed>);

impl Services {
    pub(crate) fn add(&mut self, managed: &Managed) {
        let Self(all) = self;
        if !all.contains(managed) {
            all.push(managed.clone());
        }
    }
}
