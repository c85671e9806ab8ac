// SPDX-License-Identifier: MIT OR Apache-2.0
//! Applications in processes of their own: the words after `gangway_spawn`, and what `processes=` and `user=` make of
//! those of a handler directive.

mod words;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    ApplicationConf,
    application::NATIVE,
    terms::{RequestTerms, tell_terms},
};
use crate::{
    engine::Spec,
    rights::{Identity, Limits},
};

/// The variable that tells handlers where the files of the server are.
const SERVER_ROOT: &str = "GANGWAY_SERVER_ROOT";

/// An application in processes of its own. Equal ones share their processes, also over a reload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Managed {
    name: String,
    /// By `name=`.
    named: bool,
    launch: Launch,
    life: Life,
    reload: Reload,
    warmup: Option<String>,
    replay: Replay,
    threads: u32,
    terms: RequestTerms,
    /// In the server's own processes it would be asked for WebSockets.
    misses_sockets: bool,
}

/// What a process is made of: other words need other processes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Launch {
    /// What runs.
    pub command: Command,
    /// Who runs it, if not the user of the worker processes.
    pub user: Option<Identity>,
    /// Its working directory.
    pub directory: String,
    /// Its limits.
    pub limits: Limits,
    /// Its mode mask.
    pub umask: u32,
    /// How far it stands behind others.
    pub nice: u32,
    /// Its control group, which is made.
    pub cgroup: Option<PathBuf>,
    /// The variables of `env=` and `pass_env=`.
    pub environment: Vec<(String, String)>,
}

/// What runs in the processes of an application.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// A FastCGI program, which takes requests on the socket that is its descriptor 0.
    Program {
        /// The file, then the words that it gets.
        argv: Vec<String>,
    },
    /// An application of an engine, run by `gangway-host`.
    Host {
        /// The engine's file.
        engine: Arc<Path>,
        /// Interface, target, options and threads.
        spec: Spec,
        /// How long it may give no output.
        timeout: Option<Duration>,
        /// Requests at a time of one process, if it answers later.
        in_flight: Option<usize>,
        /// Whether it is loaded once, in a process that the others are forked from.
        preload: bool,
        /// The words of handlers of requests, if it is not an application.
        handlers: Vec<Vec<u8>>,
    },
}

/// How long the end of a process takes at most whose time for its requests is over.
const END_OF_ITS_OWN: Duration = Duration::from_secs(5);

/// Requests that a process holds at a time of an application that answers later, at most: each has a thread of `gangway-host`.
pub const HELD_MOST: usize = 128;

/// How many processes there are, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Life {
    /// Processes that are always there.
    pub least: u32,
    /// Processes that may be there.
    pub most: u32,
    /// When one above the least that has no work ends.
    pub idle: Option<Duration>,
    /// Requests after which a process is replaced.
    pub max_requests: Option<u32>,
    /// Resident memory, in bytes, with which a process is replaced.
    pub max_rss: Option<u64>,
    /// The age at which a process is replaced.
    pub lifetime: Option<Duration>,
    /// How long a process may take until it takes requests.
    pub boot_timeout: Option<Duration>,
    /// How long one that is being replaced may take for the requests that it runs.
    pub drain_timeout: Option<Duration>,
}

/// What replaces the processes, beside other words and a reload of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reload {
    /// Nothing.
    #[default]
    Off,
    /// A change of its files.
    On,
    /// A change of this file, which need not be there.
    File(PathBuf),
}

/// Which requests another process gets whose process has ended without an answer: one that no process has begun always; and of others
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Replay {
    /// none,
    Off,
    /// those whose method is idempotent,
    #[default]
    Idempotent,
    /// or all.
    All,
}

/// Where an application runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Placed {
    /// In the worker processes.
    InProcess(ApplicationConf),
    /// In processes of its own.
    Managed(Box<Managed>),
}

impl Default for Life {
    fn default() -> Self {
        let minute = Some(Duration::from_secs(60));
        Self {
            least: 1,
            most: 1,
            idle: minute,
            max_requests: None,
            max_rss: None,
            lifetime: None,
            boot_timeout: minute,
            drain_timeout: minute,
        }
    }
}

tell_terms!(Managed);

impl Managed {
    /// The name for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether somebody has chosen the name. One that is derived may be that of another application as well.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.named
    }

    /// What its processes are made of.
    #[must_use]
    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    /// Whether it is PHP, which runs any file whose path it is told: images that somebody has uploaded must not be among
    /// them.
    #[must_use]
    pub fn runs_any_file(&self) -> bool {
        let Command::Program { argv } = &self.launch.command else { return false };
        let name = argv.first().and_then(|file| file.rsplit('/').next());
        name.is_some_and(|name| name.starts_with("php"))
    }

    /// How many there are, and for how long.
    #[must_use]
    pub fn life(&self) -> &Life {
        &self.life
    }

    /// The path that a process is asked for before it counts as ready.
    #[must_use]
    pub fn warmup(&self) -> Option<&str> {
        self.warmup.as_deref()
    }

    /// What replaces its processes.
    #[must_use]
    pub fn reload(&self) -> &Reload {
        &self.reload
    }

    /// Which requests another process gets whose process has ended.
    #[must_use]
    pub fn replay(&self) -> Replay {
        self.replay
    }

    /// How long a request may go on in a process of the server that ends, of an application that answers later: its streams may have no
    /// end. Its own process may be one that is replaced as well, and ends them in a better way, so that it has its time before.
    #[must_use]
    pub fn drains_within(&self) -> Option<Duration> {
        let is_async = matches!(self.launch.command, Command::Host { in_flight: Some(_), .. });
        self.life.drain_timeout.filter(|_| is_async).map(|time| time + END_OF_ITS_OWN)
    }

    /// Whether it would be asked for WebSockets in the server's own processes: FastCGI has none.
    #[must_use]
    pub fn misses_sockets(&self) -> bool {
        self.misses_sockets
    }

    /// Whether its processes run handlers of requests, which see more of those than applications do.
    #[must_use]
    pub fn has_handlers(&self) -> bool {
        matches!(&self.launch.command, Command::Host { handlers, .. } if !handlers.is_empty())
    }

    /// Has its processes run handlers of requests.
    pub(super) fn run_handlers(&mut self, words: Vec<Vec<u8>>, server_root: &Path) {
        // One that is no text cannot be said.
        if let Some(root) = server_root.to_str() {
            let root = if root.len() > 1 { root.trim_end_matches('/') } else { root };
            self.launch.set(SERVER_ROOT, root.to_owned());
        }
        // They are a part of the server that asks for passwords.
        self.terms.pass_authorization = true;
        if let Command::Host { handlers, .. } = &mut self.launch.command {
            *handlers = words;
        }
    }

    /// Requests that a process takes at a time.
    #[must_use]
    pub fn threads(&self) -> u32 {
        self.threads
    }
}

impl Command {
    /// The files that its words name, by which it is seen that there is other code.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        let words: Vec<&[u8]> = match self {
            Self::Program { argv } => argv.iter().map(|word| word.as_bytes()).collect(),
            Self::Host { spec, handlers, .. } => {
                std::iter::once(&spec.target).chain(handlers).map(Vec::as_slice).collect()
            }
        };
        let paths = words.into_iter().map(|word| Path::new(OsStr::from_bytes(word)));
        paths.filter(|path| path.is_absolute()).map(Path::to_owned).collect()
    }

    /// Whether it is loaded once, in a process that the others are forked from.
    #[must_use]
    pub fn is_preloaded(&self) -> bool {
        matches!(self, Self::Host { preload: true, .. })
    }

    /// The file that is executed and the words after its name; `host` is the file of `gangway-host`.
    #[must_use]
    pub fn argv(&self, host: &Path) -> Vec<Vec<u8>> {
        use std::os::unix::ffi::OsStrExt;
        match self {
            Self::Program { argv } => argv.iter().map(|word| word.as_bytes().to_vec()).collect(),
            Self::Host { engine, spec, timeout, in_flight, handlers, .. } => {
                let engines = engine.parent().unwrap_or_else(|| Path::new("/"));
                let mut words = vec![
                    host.as_os_str().as_bytes().to_vec(),
                    b"--managed".to_vec(),
                    b"--engines".to_vec(),
                    engines.as_os_str().as_bytes().to_vec(),
                    spec.interface.as_bytes().to_vec(),
                ];
                match handlers.as_slice() {
                    // Of a native handler the target is a name within its file: the whole of it is what it is called.
                    [] if spec.interface == NATIVE => words.push(spec.name.clone().into()),
                    [] => words.push(spec.target.clone()),
                    handlers => words.extend_from_slice(handlers),
                }
                for (key, value) in &spec.options {
                    words.push([key.as_bytes(), b"=", value].concat());
                }
                words.push(format!("threads={}", spec.threads).into_bytes());
                words.extend(in_flight.map(|most| format!("in_flight={most}").into_bytes()));
                let timeout = timeout.map_or("off".to_owned(), |time| format!("{}ms", time.as_millis()));
                words.push(format!("timeout={timeout}").into_bytes());
                // The server has decided what the application may see.
                words.push(b"pass_authorization=on".to_vec());
                words
            }
        }
    }
}

#[cfg(test)]
mod tests;
