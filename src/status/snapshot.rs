// SPDX-License-Identifier: MIT OR Apache-2.0
//! All that is told at once: the figures of a server's applications, with what the kernel says of their processes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{
    block::{AppKind, AppLife, FailedDeploy},
    board::{AppFigures, StatusBoard, Unwell},
    histogram::Histogram,
    lane::{CodeClass, Incident},
    reason::{ExitReason, RestartReason},
};
use crate::sys::{monotonic, proportional, resident, start_time};

/// A process of an application, or a worker that runs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppProcess {
    /// Its number.
    pub pid: u32,
    /// What it does.
    pub state: &'static str,
    /// With which code it was started; 0 where there are no generations.
    pub generation: u32,
    /// Requests that it has had.
    pub requests: u64,
    /// Requests that it has now.
    pub running: u64,
    /// For how long it has had the oldest of them.
    pub longest: Option<Duration>,
    /// That one: its method and the beginning of its path, with the query as far as there is room.
    pub request: Option<String>,
    /// For how long it has lived.
    pub age: Option<Duration>,
    /// Its resident memory in bytes.
    pub rss: Option<u64>,
    /// Its share of the memory that it uses, in bytes.
    pub pss: Option<u64>,
}

/// How much is told of requests that run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatusDetail {
    /// Methods and paths.
    #[default]
    Paths,
    /// With queries, which may hold what is not for everybody who looks after a server.
    Queries,
}

impl AppProcess {
    fn told(mut self, detail: StatusDetail) -> Self {
        if detail == StatusDetail::Paths {
            self.request = self.request.map(|line| line.split('?').next().unwrap_or_default().to_owned());
        }
        self
    }

    /// What the kernel says of a process.
    #[must_use]
    pub fn of(pid: u32, state: &'static str) -> Self {
        let age = start_time(pid).map(|begun| monotonic().saturating_sub(begun));
        Self { pid, state, age, rss: resident(pid), pss: proportional(pid), ..Self::default() }
    }
}

/// An application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSnapshot {
    /// What was counted.
    pub counts: AppFigures,
    /// Who runs it.
    pub processes: Vec<AppProcess>,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSnapshot {
    /// Which server it is, with its version.
    pub server: String,
    /// Now, in seconds since 1970.
    pub now: u64,
    /// When it was started.
    pub started: u64,
    /// How many configurations it has had.
    pub configurations: u64,
    /// Its applications.
    pub applications: Vec<AppSnapshot>,
}

impl ServerSnapshot {
    /// Takes it. `managed` tells the processes of an application that has its own, by its name.
    #[must_use]
    pub fn take(
        board: &StatusBoard,
        server: &str,
        detail: StatusDetail,
        managed: impl Fn(&str) -> Vec<AppProcess>,
    ) -> Self {
        let processes = |counts: &AppFigures| match counts.kind {
            AppKind::Managed => {
                managed(&counts.name).into_iter().map(|process| process.told(detail)).collect()
            }
            AppKind::InProcess => counts
                .workers
                .iter()
                .map(|worker| AppProcess {
                    requests: worker.requests,
                    running: worker.running,
                    ..AppProcess::of(worker.pid, "ready")
                })
                .collect(),
            AppKind::Cgi | AppKind::Upstream => Vec::new(),
        };
        let applications = board.read().into_iter();
        Self {
            server: server.to_owned(),
            now: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            started: board.started(),
            configurations: board.configurations(),
            applications: applications
                .map(|counts| AppSnapshot { processes: processes(&counts), counts })
                .collect(),
        }
    }
}

impl AppSnapshot {
    /// How it does, in a word.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self.counts.report.life {
            Some(life) if self.counts.kind == AppKind::Managed => life.name(),
            _ if self.unwell().is_some() => AppLife::Failing.name(),
            _ => AppLife::Serving.name(),
        }
    }

    /// Why its requests fail, if they do because it cannot run.
    #[must_use]
    pub fn unwell(&self) -> Option<&Unwell> {
        self.counts.unwell.as_ref()
    }

    /// The last generation that could not be started, until another one serves.
    #[must_use]
    pub fn failed(&self) -> Option<&FailedDeploy> {
        self.counts.report.failed.as_ref()
    }

    /// Requests that can run at a time, in all processes that take some. `None` where that is not limited.
    #[must_use]
    pub fn places(&self) -> Option<u64> {
        let takers = match self.counts.kind {
            AppKind::Managed => self.processes.iter().filter(|process| process.state == "ready").count(),
            AppKind::InProcess | AppKind::Cgi => self.counts.workers.len(),
            AppKind::Upstream => return None,
        };
        Some(self.counts.places * takers as u64).filter(|_| self.counts.places > 0)
    }

    /// The memory of all of its processes; `None` if one of them is not known.
    #[must_use]
    pub fn pss(&self) -> Option<u64> {
        if self.counts.kind != AppKind::Managed || self.processes.is_empty() {
            return None;
        }
        self.processes.iter().map(|process| process.pss).sum()
    }
}

/// Numbers about an application under the names that programs know them by.
#[must_use]
pub fn numbers(counts: &AppFigures) -> Vec<(String, u64)> {
    let (figures, report) = (&counts.figures, &counts.report);
    let mut all: Vec<(String, u64)> = Vec::with_capacity(56);
    let mut add = |name: &str, number: u64| all.push((name.to_owned(), number));
    add("requests", figures.requests());
    add("failures", figures.failures());
    for class in CodeClass::ALL {
        add(&format!("requests_{}", class.name()), figures.answers(class));
    }
    add("waiting_highest", figures.highest);
    for (name, incident) in [
        ("timeouts_queue", Incident::QueueTimeout),
        ("timeouts_run", Incident::RunTimeout),
        ("refused_queue_full", Incident::QueueFull),
        ("refused_no_process", Incident::NoProcess),
        ("replays", Incident::Replay),
        ("connections_kept", Incident::Kept),
        ("connections_fresh", Incident::Fresh),
    ] {
        add(name, figures.incidents(incident));
    }
    let mut times = |name: &str, times: &Histogram| {
        add(&format!("{name}_microseconds"), times.sum);
        for percent in [50, 99] {
            if let Some(time) = times.percentile(percent) {
                add(&format!("{name}_p{percent}_microseconds"), time.as_micros() as u64);
            }
        }
    };
    times("wait", &figures.waits);
    times("run", &figures.runs);
    if counts.kind == AppKind::Managed {
        add("restarts", report.restarts);
        add("restarts_failed", report.failed_restarts);
        for reason in RestartReason::ALL {
            add(&format!("restarts_begun_{}", reason.name()), report.begun(reason));
        }
        for reason in ExitReason::ALL {
            add(&format!("exits_{}", reason.name()), report.exits(reason));
        }
    }
    all
}
