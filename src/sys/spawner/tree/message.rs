// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the processes of the tree say to each other. All of them are one build on one machine: numbers stand as the machine has
//! them.

use super::super::{
    SpawnRequest, SpawnRequestError,
    report::{Exit, Failure, Step},
};
use super::parts::{Composer, Parts};
use crate::rights::Identity;

const APPLICATION: u64 = 0x10;
const COMMIT: u64 = 0x11;
const CONNECT: u64 = 0x12;
const START: u64 = 0x20;
const SIGNAL: u64 = 0x21;
const LOAD: u64 = 0x22;
const FORK: u64 = 0x23;
const MEASURE: u64 = 0x24;
const STARTED: u64 = 0x30;
const NOT_STARTED: u64 = 0x31;
const EXITED: u64 = 0x32;
const RUNNING: u64 = 0x33;
const LOADED: u64 = 0x34;
const TEMPLATE: u64 = 0x35;
const MEMORY: u64 = 0x36;

/// Templates of an application at a time have the last numbers of slots.
pub const TEMPLATES: u16 = 3;

/// An application, from the server's parent. `for_supervisor` is what the keeper has no use for.
///
/// # Errors
/// When a word holds a NUL byte.
pub fn application(
    id: u32,
    version: u32,
    request: &SpawnRequest<'_>,
    user: Option<&Identity>,
    (umask, nice, cgroup): (u32, u32, &[u8]),
    for_supervisor: &[u8],
) -> Result<Vec<u8>, SpawnRequestError> {
    let mut message = Composer::default().number(APPLICATION).number(id.into()).number(version.into());
    message =
        message.number(umask.into()).number(nice.into()).bytes(cgroup).number(u64::from(user.is_some()));
    if let Some(user) = user {
        message = message.bytes(user.name.as_bytes()).number(user.user.into()).number(user.group.into());
        message = message.number(user.groups.len() as u64);
        for group in &user.groups {
            message = message.number(u64::from(*group));
        }
    }
    Ok(message.bytes(&request.encode()?).bytes(for_supervisor).finish())
}

/// From now on the applications that were told last, so many of them, are those that there are. Who has heard of fewer has lost some, and
/// goes on as before.
#[must_use]
pub fn commit(applications: usize) -> Vec<u8> {
    Composer::default().number(COMMIT).number(applications as u64).finish()
}

pub(super) fn connect() -> Vec<u8> {
    Composer::default().number(CONNECT).finish()
}

/// What the keeper hears on the server's socket.
pub(super) enum Heard {
    Application,
    /// Of so many.
    Commit(usize),
    Connect,
}

pub(super) fn heard(message: &[u8]) -> Option<Heard> {
    let mut reader = Parts::new(message);
    Some(match reader.number()? {
        APPLICATION => Heard::Application,
        COMMIT => Heard::Commit(reader.small()?),
        CONNECT => Heard::Connect,
        _ => return None,
    })
}

/// An application as the keeper starts it.
pub(super) struct Recipe<'m> {
    pub(super) id: u32,
    pub(super) version: u32,
    pub(super) umask: u32,
    pub(super) nice: u32,
    /// Empty: none.
    pub(super) cgroup: &'m [u8],
    pub(super) user: Option<Identity>,
    pub(super) request: &'m [u8],
    rest: Parts<'m>,
}

impl<'m> Recipe<'m> {
    pub(super) fn decode(message: &'m [u8]) -> Option<Self> {
        let mut reader = Parts::new(message);
        if reader.number()? != APPLICATION {
            return None;
        }
        let (id, version, umask, nice) = (reader.small()?, reader.small()?, reader.small()?, reader.small()?);
        let cgroup = reader.bytes()?;
        let user = match reader.number()? {
            0 => None,
            _ => Some(identity(&mut reader)?),
        };
        let request = reader.bytes()?;
        Some(Self { id, version, umask, nice, cgroup, user, request, rest: reader })
    }
}

impl Recipe<'_> {
    /// The control group of its processes.
    pub(super) fn cgroup(&self) -> Option<std::path::PathBuf> {
        use std::os::unix::ffi::OsStrExt;
        let path = std::ffi::OsStr::from_bytes(self.cgroup);
        (!path.is_empty()).then(|| path.into())
    }
}

fn identity(reader: &mut Parts<'_>) -> Option<Identity> {
    let name = String::from_utf8_lossy(reader.bytes()?).into_owned();
    let (user, group, count) = (reader.small()?, reader.small()?, reader.small::<usize>()?);
    let groups = (0..count).map(|_| reader.small()).collect::<Option<_>>()?;
    Some(Identity { name, user, group, groups })
}

/// What the supervisor asks of the keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeeperCommand {
    /// Make a process of an application with these words; with it come its listening socket and both ends of its output.
    Start {
        /// The application.
        app: u32,
        /// The slot of the process.
        slot: u16,
        /// Of the words.
        version: u32,
    },
    /// Make a process of an application with these words that loads it and is forked, with a slot of [`template_slot`]; with it
    /// come both ends of its output, the writing one first.
    Load {
        /// The application.
        app: u32,
        /// The slot of the template.
        slot: u16,
        /// Of the words.
        version: u32,
        /// For the next supervisor.
        generation: u32,
    },
    /// Have a template fork a process; with it come its listening socket and both ends of its output.
    Fork {
        /// The application.
        app: u32,
        /// The slot of the process.
        slot: u16,
        /// The slot of the template.
        template: u16,
    },
    /// Send this to the group of a process.
    Signal {
        /// The application.
        app: u32,
        /// The slot of the process.
        slot: u16,
        /// The signal.
        signal: i32,
    },
    /// Say how much memory a process has as its share: only who has the rights of its user may look.
    Measure {
        /// The application.
        app: u32,
        /// The slot of the process.
        slot: u16,
    },
}

impl KeeperCommand {
    /// The message.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let begin = |kind, app: u32, slot: u16| {
            Composer::default().number(kind).number(app.into()).number(slot.into())
        };
        match self {
            Self::Start { app, slot, version } => begin(START, app, slot).number(version.into()),
            Self::Load { app, slot, version, generation } => {
                begin(LOAD, app, slot).number(version.into()).number(generation.into())
            }
            Self::Fork { app, slot, template } => begin(FORK, app, slot).number(template.into()),
            Self::Signal { app, slot, signal } => begin(SIGNAL, app, slot).number(signal as u64),
            Self::Measure { app, slot } => begin(MEASURE, app, slot),
        }
        .finish()
    }

    pub(super) fn decode(message: &[u8]) -> Option<Self> {
        let mut reader = Parts::new(message);
        let (kind, app, slot) = (reader.number()?, reader.small()?, reader.small()?);
        Some(match kind {
            START => Self::Start { app, slot, version: reader.small()? },
            LOAD => Self::Load { app, slot, version: reader.small()?, generation: reader.small()? },
            FORK => Self::Fork { app, slot, template: reader.small()? },
            SIGNAL => Self::Signal { app, slot, signal: reader.small()? },
            MEASURE => Self::Measure { app, slot },
            _ => return None,
        })
    }
}

/// The slot of a template, which stands behind those of all processes.
#[must_use]
pub const fn template_slot(number: u16) -> u16 {
    u16::MAX - number
}

/// The number of the template that has this slot.
#[must_use]
pub const fn template_of(slot: u16) -> Option<u16> {
    let number = u16::MAX - slot;
    if number < TEMPLATES { Some(number) } else { None }
}

/// A template that was there before a supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunningTemplate {
    /// The application.
    pub app: u32,
    /// The slot of the template.
    pub slot: u16,
    /// Its process id.
    pub pid: u32,
    /// Of its words.
    pub version: u32,
    /// As the order for it said.
    pub generation: u32,
    /// It has said that the application is loaded.
    pub is_loaded: bool,
}

/// What the supervisor hears.
#[derive(Debug, PartialEq, Eq)]
pub enum Fact<'m> {
    /// An application of the configuration: number, version, and what the parent has added. With it comes its shared memory.
    Application(u32, u32, &'m [u8]),
    /// Those were all, so many. With it comes the log, and what wakes workers, if something does.
    Commit(usize),
    /// A worker's connection comes with it.
    Connect,
    /// A process has been made: application, slot, process id.
    Started(u32, u16, u32),
    /// None could be made.
    NotStarted(u32, u16, Failure),
    /// A process has ended.
    Exited(u32, u16, Exit),
    /// For a new supervisor: a process that runs, and the version of its words. With it comes the end of its output.
    Running(u32, u16, u32, u32),
    /// For a new supervisor: a template. With it comes the end of its output.
    Template(RunningTemplate),
    /// A template has loaded its application: application, slot; or it has not, for a reason that is not empty.
    Loaded(u32, u16, &'m [u8]),
    /// A process has so many bytes of memory as its share: application, slot, process id.
    Memory(u32, u16, u32, u64),
}

impl<'m> Fact<'m> {
    /// The message of those that the keeper says itself.
    pub(super) fn encode(&self) -> Vec<u8> {
        let begin = |kind, app: u32, slot: u16| {
            Composer::default().number(kind).number(app.into()).number(slot.into())
        };
        match *self {
            Self::Started(app, slot, pid) => begin(STARTED, app, slot).number(pid.into()),
            Self::NotStarted(app, slot, Failure { step, errno }) => {
                begin(NOT_STARTED, app, slot).number(step.number() as u64).number(errno as u64)
            }
            Self::Exited(app, slot, exit) => {
                let (signalled, number) = match exit {
                    Exit::Status(status) => (0, status),
                    Exit::Signal(signal) => (1, signal),
                };
                begin(EXITED, app, slot).number(signalled).number(number as u64)
            }
            Self::Running(app, slot, pid, version) => {
                begin(RUNNING, app, slot).number(pid.into()).number(version.into())
            }
            Self::Template(RunningTemplate { app, slot, pid, version, generation, is_loaded }) => {
                let message = begin(TEMPLATE, app, slot).number(pid.into()).number(version.into());
                message.number(generation.into()).number(is_loaded.into())
            }
            Self::Loaded(app, slot, reason) => begin(LOADED, app, slot).bytes(reason),
            Self::Memory(app, slot, pid, bytes) => begin(MEMORY, app, slot).number(pid.into()).number(bytes),
            Self::Application(..) | Self::Commit(_) | Self::Connect => Composer::default(),
        }
        .finish()
    }

    /// Understands a message.
    #[must_use]
    pub fn decode(message: &'m [u8]) -> Option<Self> {
        let mut reader = Parts::new(message);
        let kind = reader.number()?;
        match kind {
            APPLICATION => {
                let mut recipe = Recipe::decode(message)?;
                return Some(Self::Application(recipe.id, recipe.version, recipe.rest.bytes()?));
            }
            COMMIT => return Some(Self::Commit(reader.small()?)),
            CONNECT => return Some(Self::Connect),
            _ => {}
        }
        let (app, slot) = (reader.small()?, reader.small()?);
        Some(match kind {
            STARTED => Self::Started(app, slot, reader.small()?),
            NOT_STARTED => {
                let (step, errno) = (reader.small()?, reader.small()?);
                Self::NotStarted(app, slot, Failure { step: Step::of(step), errno })
            }
            EXITED => {
                let (signalled, number) = (reader.number()?, reader.small()?);
                Self::Exited(
                    app,
                    slot,
                    if signalled == 0 { Exit::Status(number) } else { Exit::Signal(number) },
                )
            }
            RUNNING => Self::Running(app, slot, reader.small()?, reader.small()?),
            TEMPLATE => {
                let (pid, version, generation) = (reader.small()?, reader.small()?, reader.small()?);
                let is_loaded = reader.number()? != 0;
                Self::Template(RunningTemplate { app, slot, pid, version, generation, is_loaded })
            }
            LOADED => Self::Loaded(app, slot, reader.bytes()?),
            MEMORY => Self::Memory(app, slot, reader.small()?, reader.number()?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::spawner::request::plain;

    #[test]
    fn orders_and_facts_round_trip() {
        for order in [
            KeeperCommand::Start { app: 7, slot: 3, version: 9 },
            KeeperCommand::Load { app: 7, slot: template_slot(1), version: 9, generation: 4 },
            KeeperCommand::Fork { app: 7, slot: 3, template: template_slot(2) },
            KeeperCommand::Signal { app: 7, slot: 3, signal: libc::SIGTERM },
            KeeperCommand::Measure { app: 7, slot: 3 },
        ] {
            let message = order.encode();
            assert_eq!(KeeperCommand::decode(&message), Some(order));
            assert!((0..message.len()).all(|cut| KeeperCommand::decode(&message[..cut]).is_none()));
        }
        for fact in [
            Fact::Started(1, 2, 3),
            Fact::NotStarted(1, 2, Failure { step: Step::Execute, errno: libc::ENOENT }),
            Fact::Exited(1, 2, Exit::Signal(9)),
            Fact::Exited(1, 2, Exit::Status(3)),
            Fact::Running(1, 2, 3, 4),
            Fact::Loaded(1, 2, b"why"),
            Fact::Memory(1, 2, 3, 1 << 40),
            Fact::Template(RunningTemplate {
                app: 1,
                slot: template_slot(0),
                pid: 3,
                version: 4,
                generation: 5,
                is_loaded: true,
            }),
        ] {
            let message = fact.encode();
            assert_eq!(Fact::decode(&message).as_ref(), Some(&fact));
            assert!((0..message.len()).all(|cut| Fact::decode(&message[..cut]).is_none()));
        }
    }

    #[test]
    fn templates_have_slots_that_no_process_has() {
        for number in 0..TEMPLATES {
            assert_eq!(template_of(template_slot(number)), Some(number));
        }
        assert_eq!((template_of(0), template_of(u16::MAX - TEMPLATES)), (None, None));
    }

    #[test]
    fn an_application_is_understood_by_both_who_read_it() {
        let user = Identity { name: "blog".into(), user: 1001, group: 1002, groups: vec![1002, 1003] };
        let request = plain("/bin/true", &[]);
        let message = application(5, 6, &request, Some(&user), (0o27, 3, b"/g"), b"more").unwrap();
        assert_eq!(Fact::decode(&message), Some(Fact::Application(5, 6, &b"more"[..])));
        let recipe = Recipe::decode(&message).unwrap();
        assert_eq!((recipe.id, recipe.version, recipe.umask, recipe.nice), (5, 6, 0o27, 3));
        assert_eq!(recipe.cgroup, b"/g");
        assert_eq!((recipe.user, recipe.request), (Some(user), request.encode().unwrap().as_slice()));
        assert!((0..message.len()).all(|cut| Fact::decode(&message[..cut]).is_none()));
    }
}
