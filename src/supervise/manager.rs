// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server's parent's side: the tree of processes is started once and told each configuration. Applications whose words
//! are the same keep their shared memory and their processes.

mod former;
mod names;

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    sync::{Arc, atomic},
};

use former::Former;

use super::{
    link::Link,
    message::{About, AppFiles, AppOwner, AppWarmup},
    plan::Plan,
    segment::{Condition, Segment, Shape, Wake},
    supervisor::{self, Stamp},
};
use crate::{
    config::{Command, Managed, Reload},
    rights::Identity,
    sys::{
        run_directory,
        spawner::{
            SpawnRequest,
            tree::{self, Tree},
        },
    },
};

/// Where programs find others, unless `env=PATH=...` says otherwise.
const PATH: (&str, &str) = ("PATH", "/usr/local/bin:/usr/bin:/bin");
/// A process of PHP would end by itself after 500 requests, and what has come meanwhile with it: `max_requests=` replaces one that has no request.
const ENDLESS_PHP: (&str, &str) = ("PHP_FCGI_MAX_REQUESTS", "0");

/// Descriptors that those who look after processes need for an application, at least, and for themselves.
const DESCRIPTORS_EACH: u64 = 3;
const DESCRIPTORS: u64 = 32;

/// What the server decides.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where the processes listen. It is made, or checked; its parent must be there.
    pub run_directory: PathBuf,
    /// The user of the workers and of the supervisor.
    pub worker: Identity,
    /// How requests that wait learn that it is their turn.
    pub wake: Wake,
    /// The file of `gangway-host`.
    pub host: PathBuf,
    /// How the lines of the server's log begin.
    pub stamp: Stamp,
    /// Runs in the new process, for its title.
    pub begun: fn(),
}

/// The shared memory of an application, for the workers.
#[derive(Clone, Debug)]
pub struct ManagedPool {
    /// Its name for people: that of its words, or another one if that is taken.
    pub name: Arc<str>,
    /// Its number, for [`Link::demand`].
    pub app: u32,
    /// Its places and its queue.
    pub segment: Arc<Segment>,
}

#[derive(Debug)]
struct KnownApplication {
    managed: Managed,
    version: u32,
    pool: ManagedPool,
}

/// The way to the tree, in the server's parent; workers inherit it.
#[derive(Debug)]
pub struct Manager {
    setup: Setup,
    tree: Arc<Tree>,
    /// Where this server's sockets stand.
    place: PathBuf,
    known: Vec<KnownApplication>,
    /// What an earlier manager has left, until a configuration has been told.
    former: Vec<Former>,
    next: u32,
    /// Where the supervisor says how applications do.
    figures: Option<OwnedFd>,
}

/// How many trees this process has started: each has a place of its own.
static STARTED: atomic::AtomicU32 = atomic::AtomicU32::new(0);

impl Manager {
    /// Starts the processes that look after applications. The caller has one thread.
    ///
    /// # Errors
    /// When the run directory is not safe; what fork(2) and socketpair(2) say.
    pub fn start(setup: Setup) -> io::Result<Self> {
        run_directory::prepare(&setup.run_directory, &setup.worker)?;
        let place = new_place(&setup.run_directory);
        let tree = Arc::new(grow(&setup, &place)?);
        Ok(Self { setup, tree, place, known: Vec::new(), former: Vec::new(), next: 1, figures: None })
    }

    /// Tells what applications there are now, before workers are forked, and where their lines go. Answers the pool of each, in
    /// the order of `wanted`.
    ///
    /// # Errors
    /// When there is no memory, no descriptor or no process left, or an application's words are too many.
    pub fn configure(&mut self, wanted: &[Managed], log: BorrowedFd<'_>) -> io::Result<Vec<ManagedPool>> {
        if !self.tree.is_guarded() {
            self.leave_tree(log)?;
        }
        former::mark(&mut self.former, wanted);
        let mut next: Vec<KnownApplication> = Vec::with_capacity(wanted.len());
        let mut places = Vec::with_capacity(wanted.len());
        for managed in wanted {
            let place = match next.iter().position(|known| known.managed == *managed) {
                Some(place) => place,
                None => {
                    next.push(self.known(managed, wanted, &next)?);
                    next.len() - 1
                }
            };
            places.push(place);
        }
        names::give(&mut next);
        if let Err(error) = self.tell(&next, log) {
            if error.kind() != io::ErrorKind::BrokenPipe {
                return Err(error);
            }
            // All of it was killed: another one begins, with the same memory.
            self.tree = Arc::new(grow(&self.setup, &self.place)?);
            self.tell(&next, log)?;
        }
        self.known = next;
        self.former.clear();
        Ok(places
            .into_iter()
            .filter_map(|place| self.known.get(place))
            .map(|known| known.pool.clone())
            .collect())
    }

    /// The guard was killed: nobody would make another keeper. Another tree begins, with memory of its own, and the old one ends
    /// when the workers of the last configuration have nothing more to ask of it.
    fn leave_tree(&mut self, log: BorrowedFd<'_>) -> io::Result<()> {
        if self.tree.tell(&tree::commit(0), &[log]).is_err() {
            // All of it was killed: nobody else uses the memory.
            return Ok(());
        }
        let place = new_place(&self.setup.run_directory);
        self.tree = Arc::new(grow(&self.setup, &place)?);
        self.place = place;
        self.known.clear();
        self.former.clear();
        Ok(())
    }

    /// What is shared about an application of the last configuration that was told: with these words.
    #[must_use]
    pub fn running(&self, managed: &Managed) -> Option<ManagedPool> {
        let known = self.known.iter().find(|known| known.managed == *managed);
        known.map(|known| known.pool.clone()).or_else(|| former::same(&self.former, managed))
    }

    /// The user of the workers and of the supervisor.
    #[must_use]
    pub fn worker(&self) -> &Identity {
        &self.setup.worker
    }

    /// Another file of `gangway-host`, for processes that start after the next configuration.
    pub fn set_host(&mut self, host: PathBuf) {
        self.setup.host = host;
    }

    /// Has the supervisor say how applications do in the memory of a [`StatusBoard`](crate::status::StatusBoard), from the next
    /// configuration on.
    pub fn set_figures(&mut self, memory: OwnedFd) {
        self.figures = Some(memory);
    }

    /// A worker's way to the supervisor.
    ///
    /// # Errors
    /// As [`Link::demand`].
    pub fn link(&self) -> io::Result<Link> {
        Link::connect(&self.tree)
    }

    /// What is known of an application: the same words, or one of the same name that is to get other words.
    fn known(
        &mut self,
        managed: &Managed,
        wanted: &[Managed],
        next: &[KnownApplication],
    ) -> io::Result<KnownApplication> {
        if let Some(same) = self.known.iter().find(|known| known.managed == *managed) {
            return Ok(KnownApplication {
                managed: managed.clone(),
                version: same.version,
                pool: same.pool.clone(),
            });
        }
        let shape = shape(managed);
        let changed = self.known.iter().find(|known| {
            known.managed.name() == managed.name()
                && known.pool.segment.shape() == shape
                && !wanted.contains(&known.managed)
                && !next.iter().any(|other| other.pool.app == known.pool.app)
        });
        if let Some(changed) = changed {
            let version = changed.version + u32::from(changed.managed.launch() != managed.launch());
            return Ok(KnownApplication { managed: managed.clone(), version, pool: changed.pool.clone() });
        }
        if let Some(known) = former::find(&self.former, managed, next) {
            return Ok(known);
        }
        let app = self.next;
        self.next += 1;
        let mut prefix = self.place.join(app.to_string()).into_os_string();
        prefix.push(".");
        let segment = Arc::new(Segment::create(shape, prefix.as_ref(), self.setup.wake.clone())?);
        // Another number of processes does not start what somebody has stopped.
        let same_name = self.known.iter().filter(|known| known.managed.name() == managed.name());
        if { same_name }.any(|known| known.pool.segment.is_stopped())
            || former::is_stopped(&self.former, managed)
        {
            segment.set_stopped(true);
            segment.set_condition(Condition::Down);
        }
        let pool = ManagedPool { name: managed.name().into(), app, segment };
        Ok(KnownApplication { managed: managed.clone(), version: 1, pool })
    }

    fn tell(&self, applications: &[KnownApplication], log: BorrowedFd<'_>) -> io::Result<()> {
        check_room(applications.len(), tree::most_descriptors())?;
        // All of it or nothing.
        let mut messages = Vec::with_capacity(applications.len());
        for known in applications {
            let KnownApplication { managed, version, pool } = known;
            let launched = Launched { name: &pool.name, app: pool.app, version: *version, managed };
            let message = message(&launched, &self.setup.host, &self.setup.worker)?;
            if message.len() > tree::LONGEST {
                let text = format!("the words of the application \"{}\" are too many", known.managed.name());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            messages.push((message, known.pool.segment.as_fd()));
        }
        for (message, memory) in &messages {
            self.tree.tell(message, &[*memory])?;
        }
        let wakeup = match &self.setup.wake {
            Wake::Event(wakeup) => Some(wakeup.as_fd()),
            Wake::Threads => None,
        };
        let figures = self.figures.as_ref().map(AsFd::as_fd);
        let all: Vec<_> = [Some(log), wakeup, figures].into_iter().flatten().collect();
        self.tree.tell(&tree::commit(messages.len()), &all)
    }
}

/// Those who look after processes remember two configurations while one takes the place of the other, with the memory of each
/// application, and the ends of its processes' output.
fn check_room(applications: usize, most: u64) -> io::Result<()> {
    let wanted = applications as u64 * DESCRIPTORS_EACH + DESCRIPTORS;
    if wanted <= most {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{applications} of them need {wanted} descriptors, and the server's hard limit is {most}; raise it where the server is started \
         (LimitNOFILE=, ulimit -Hn)"
    )))
}

fn new_place(run_directory: &Path) -> PathBuf {
    let count = STARTED.fetch_add(1, atomic::Ordering::Relaxed);
    run_directory.join(format!("{}.{count}", std::process::id()))
}

fn grow(setup: &Setup, place: &Path) -> io::Result<Tree> {
    let own = supervisor::ServerPlace { run_directory: setup.run_directory.clone(), own: place.to_owned() };
    let (stamp, by_threads) = (setup.stamp, matches!(setup.wake, Wake::Threads));
    Tree::start(&setup.worker, setup.begun, &move |keeper| supervisor::live(keeper, &own, stamp, by_threads))
}

fn shape(managed: &Managed) -> Shape {
    let small = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
    Shape {
        slots: Plan::slots_for(managed.life().most),
        threads: small(managed.threads() as usize),
        room: small(managed.queue()),
    }
}

fn files(managed: &Managed) -> AppFiles {
    let restart = match managed.reload() {
        Reload::File(path) => Some(path.clone()),
        Reload::On | Reload::Off => None,
    };
    let always = *managed.reload() == Reload::On;
    AppFiles { code: managed.launch().command.files(), always, restart }
}

fn warmup(managed: &Managed) -> Option<AppWarmup> {
    let directory = match managed.launch().command {
        Command::Program { .. } => Some(managed.launch().directory.clone()),
        Command::Host { .. } => None,
    };
    managed.warmup().map(|path| AppWarmup { path: path.to_owned(), directory })
}

/// An application as it is told.
pub(super) struct Launched<'a> {
    pub(super) name: &'a str,
    pub(super) app: u32,
    pub(super) version: u32,
    pub(super) managed: &'a Managed,
}

/// All of its variables, each with a zero behind it.
fn environment(named: &[(String, String)], is_program: bool) -> Vec<u8> {
    let ours = [Some(PATH), is_program.then_some(ENDLESS_PHP)].into_iter().flatten();
    let missing = ours.filter(|(ours, _)| named.iter().all(|(name, _)| name != ours));
    let named = named.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    missing.chain(named).flat_map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
}

/// What is told of an application, with the file of `gangway-host` and the user of those whose words name none.
pub(super) fn message(launched: &Launched<'_>, host: &Path, worker: &Identity) -> io::Result<Vec<u8>> {
    let (managed, launch) = (launched.managed, launched.managed.launch());
    let argv = launch.command.argv(host);
    let (program, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut arguments = arguments.to_vec();
    if let (Command::Host { .. }, Some(user)) = (&launch.command, &launch.user) {
        // Behind the word by which the keeper knows a host of ours.
        arguments.splice(1..1, [b"--account".to_vec(), user.name.clone().into_bytes()]);
    }
    let is_program = matches!(launch.command, Command::Program { .. });
    let environment = environment(&launch.environment, is_program);
    let request = SpawnRequest {
        id: 0,
        identity: None,
        outlives: false,
        limits: launch.limits,
        directory: launch.directory.as_bytes(),
        script: program,
        program,
        arguments: &arguments,
        environment: &environment,
    };
    let runs = launch.user.as_ref().unwrap_or(worker);
    let about = About {
        name: launched.name.to_owned(),
        threads: managed.threads(),
        preload: launch.command.is_preloaded(),
        is_program,
        life: *managed.life(),
        owner: AppOwner { user: runs.user, name: runs.name.clone() },
        files: files(managed),
        warmup: warmup(managed),
        cgroup: launch.cgroup.clone(),
    };
    let group = launch.cgroup.as_ref().map(|group| group.as_os_str().as_bytes()).unwrap_or_default();
    let (user, manner) = (launch.user.as_ref(), (launch.umask, launch.nice, group));
    tree::application(launched.app, launched.version, &request, user, manner, &about.encode())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_are_named_stand_in_the_place_of_ours() {
        let text = |named: &[(&str, &str)], is_program| {
            let named: Vec<_> =
                named.iter().map(|(name, value)| (String::from(*name), String::from(*value))).collect();
            String::from_utf8(environment(&named, is_program)).unwrap().replace('\0', " ")
        };
        assert_eq!(text(&[], true), "PATH=/usr/local/bin:/usr/bin:/bin PHP_FCGI_MAX_REQUESTS=0 ");
        assert_eq!(text(&[("A", "1")], false), "PATH=/usr/local/bin:/usr/bin:/bin A=1 ");
        let named = [("PHP_FCGI_MAX_REQUESTS", "9"), ("PATH", "/bin")];
        assert_eq!(text(&named, true), "PHP_FCGI_MAX_REQUESTS=9 PATH=/bin ");
    }
}
