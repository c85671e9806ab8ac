// SPDX-License-Identifier: MIT OR Apache-2.0
//! In a child: the applications in processes of their own.

use std::{
    io,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use gangway::{
    config::{Command, Managed},
    error::SUPERVISOR,
    log::{self, Level, Line, Throttle},
    status::AppProcess,
    supervise::{
        Link, ManagedPool, Trouble, processes,
        refusals::{asks_in_vain, down_line, full_line, no_sockets_line},
        segment::{Owner, Segment},
    },
    sys::{explain, monotonic},
};

use super::{parent, wanted};
use crate::raw::{self, Request};

/// How often a child tries to reach those who look after processes, and the pause in between.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

struct Child {
    /// This child.
    owner: Owner,
    link: Link,
    services: Vec<Service>,
}

static CHILD: OnceLock<Child> = OnceLock::new();

/// An application.
pub(super) struct Service {
    pub(super) managed: Managed,
    /// What is shared about it; nothing if it could not be started at a restart.
    pool: Option<ManagedPool>,
    refusals: Throttle,
    in_vain: Throttle,
}

/// A child begins. Answers whether it has applications of this kind.
pub(super) fn start_child() -> bool {
    let Some((mut link, pools)) = parent::for_child() else { return false };
    for _ in 0..ATTEMPTS {
        if !link.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            break;
        }
        // So many others begin as well that they have not been read yet.
        thread::sleep(PAUSE);
        link = parent::for_child().map_or_else(|| Err(io::ErrorKind::NotConnected.into()), |(link, _)| link);
    }
    let link = match link {
        Ok(link) => link,
        Err(error) => {
            let why = explain(&error);
            let text =
                format_args!("applications in processes of their own cannot be reached from here: {why}");
            log::coded(Level::Error, SUPERVISOR, text);
            return false;
        }
    };
    let applications = wanted::all().into_iter().zip(pools);
    let service = |(managed, pool)| {
        let (refusals, in_vain) = (Throttle::default(), Throttle::default());
        Service { managed, pool, refusals, in_vain }
    };
    // httpd calls child_init once, on one thread.
    let services = applications.map(service).collect();
    CHILD.set(Child { owner: Owner::of(raw::process_id()), link, services }).is_ok()
}

/// The application of this number.
pub(super) fn service(number: usize) -> Option<&'static Service> {
    CHILD.get()?.services.get(number)
}

/// The processes of the application of this name.
pub(crate) fn processes_of(name: &str) -> Vec<AppProcess> {
    let pools = CHILD.get().into_iter().flat_map(|child| &child.services).filter_map(|one| one.pool.as_ref());
    let measure = |pool: &ManagedPool| {
        let app = pool.app;
        move || CHILD.get().into_iter().for_each(|child| child.link.measure(app))
    };
    pools
        .filter(|pool| *pool.name == *name)
        .flat_map(|pool| processes(&pool.segment, measure(pool)))
        .collect()
}

/// This child, as others see it in shared memory. Nobody has a place without one.
pub(super) fn owner() -> Owner {
    CHILD.get().map_or_else(|| Owner::of(raw::process_id()), |child| child.owner)
}

/// Milliseconds of the clock that supervisor and children share.
pub(super) fn now() -> u64 {
    u64::try_from(monotonic().as_millis()).unwrap_or(u64::MAX)
}

impl Service {
    /// Its places and its queue.
    pub(super) fn segment(&self) -> Option<&Segment> {
        self.pool.as_ref().map(|pool| &*pool.segment)
    }

    /// Whether its processes run `gangway-host`, which takes several requests at a time and keeps connections.
    pub(super) fn is_hosted(&self) -> bool {
        matches!(self.managed.launch().command, Command::Host { .. })
    }

    /// Tells the supervisor that there is something to do.
    pub(super) fn demand(&self) {
        let (Some(child), Some(pool)) = (CHILD.get(), &self.pool) else { return };
        if let Err(error) = child.link.demand(pool.app)
            && self.refusals.pass(Instant::now()).is_some()
        {
            let (name, why) = (self.managed.name(), explain(&error));
            let text = format_args!(
                "{name}: nobody looks after its processes any more: {why}; apachectl graceful starts that again"
            );
            log::coded(Level::Error, SUPERVISOR, text);
        }
    }

    /// Tells the supervisor of a request that was not answered in time.
    pub(super) fn tell(&self, trouble: impl FnOnce(u32) -> Trouble) {
        if let (Some(child), Some(pool)) = (CHILD.get(), &self.pool) {
            child.link.tell(&trouble(pool.app));
        }
    }

    /// What the log says of a request that is not let in, if it is to say something.
    pub(super) fn full_line(&self) -> Option<Line> {
        self.refusals.pass(Instant::now()).map(|held| full_line(&self.managed, held))
    }

    /// What the log says of a request that asks for a WebSocket, if it is to say something.
    pub(super) fn no_sockets_line(&self, request: Request<'_>) -> Option<Line> {
        let asks = asks_in_vain(&self.managed, request.headers());
        asks.then(|| self.in_vain.pass(Instant::now()))
            .flatten()
            .map(|held| no_sockets_line(&self.managed, held))
    }

    /// The same as [`Service::full_line`] for one that finds no process, and none that could be started.
    pub(super) fn down_line(&self) -> Option<Line> {
        self.refusals.pass(Instant::now()).map(|held| down_line(&self.managed, held))
    }
}
