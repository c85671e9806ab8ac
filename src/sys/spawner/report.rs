// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the spawner says about a script.

use std::{fmt, io};

/// Where the way into a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The message could not be understood.
    Request,
    /// A process could not be made.
    Process,
    /// Descriptors could not be put in their places.
    Descriptors,
    /// A limit could not be set.
    Limits,
    /// The user could not be changed.
    User,
    /// The working directory could not be entered.
    Directory,
    /// The program could not be executed.
    Execute,
    /// With `user=`: the script cannot be looked at.
    Look,
    /// With `user=`: the directory may be written by others than its owner.
    DirectoryWritable,
    /// With `user=`: the script is no plain file.
    NoFile,
    /// With `user=`: the script may be written by others than its owner.
    ScriptWritable,
    /// With `user=`: the script has the set-user-ID or set-group-ID bit.
    SetId,
    /// With `user=`: the script or its directory belongs to somebody else.
    Owner,
    /// With `user=`: the user is not in the configuration.
    UnknownUser,
    /// With `cgroup=`: the group could not be made or entered.
    ControlGroup,
}

const STEPS: [Step; 15] = [
    Step::Request,
    Step::Process,
    Step::Descriptors,
    Step::Limits,
    Step::User,
    Step::Directory,
    Step::Execute,
    Step::Look,
    Step::DirectoryWritable,
    Step::NoFile,
    Step::ScriptWritable,
    Step::SetId,
    Step::Owner,
    Step::UnknownUser,
    Step::ControlGroup,
];

impl Step {
    fn text(self) -> &'static str {
        match self {
            Self::Request => "the spawner does not understand the request",
            Self::Process => "no process could be made",
            Self::Descriptors => "its descriptors could not be put in their places",
            Self::Limits => "its limits could not be set",
            Self::User => "its user could not be set",
            Self::Directory => "its directory cannot be entered",
            Self::Execute => "it cannot be executed",
            Self::Look => "it cannot be looked at as the user of user=",
            Self::DirectoryWritable => {
                "user= refuses it: its directory may be written by others than the owner; chmod go-w"
            }
            Self::NoFile => "user= refuses it: it is no plain file",
            Self::ScriptWritable => {
                "user= refuses it: the file may be written by others than the owner; chmod go-w"
            }
            Self::SetId => "user= refuses it: the file has the set-user-ID or set-group-ID bit",
            Self::Owner => {
                "user= refuses it: the file and its directory must belong to that user and group; chown them"
            }
            Self::ControlGroup => "its control group of cgroup= could not be made or entered",
            Self::UnknownUser => "the user is not one of the configuration",
        }
    }

    /// Whether only the number says why.
    fn has_cause(self) -> bool {
        matches!(
            self,
            Self::Process
                | Self::Descriptors
                | Self::Limits
                | Self::User
                | Self::Directory
                | Self::Execute
                | Self::Look
                | Self::ControlGroup
        )
    }

    /// The number that travels.
    #[must_use]
    pub fn number(self) -> i32 {
        STEPS.iter().position(|step| *step == self).and_then(|at| i32::try_from(at).ok()).unwrap_or(0)
    }

    /// The step with this number.
    #[must_use]
    pub fn of(number: i32) -> Self {
        usize::try_from(number).ok().and_then(|at| STEPS.get(at).copied()).unwrap_or(Self::Request)
    }
}

/// Why a script did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Where it ended.
    pub step: Step,
    /// errno(3).
    pub errno: i32,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.step.text())?;
        if self.step.has_cause() {
            write!(f, ": {}", io::Error::from_raw_os_error(self.errno))?;
        }
        if self.step == Step::Execute {
            f.write_str(match self.errno {
                libc::ENOENT => {
                    "; the file, or the interpreter that its first line names, is not there (a line end of \
                     Windows after #! counts as a part of the name)"
                }
                libc::EACCES => {
                    "; the run bit is missing for the user that runs it, or the file system is noexec"
                }
                libc::ENOEXEC => "; it needs a first line such as #!/bin/sh, or interpreter=",
                libc::E2BIG => "; the headers of the request are larger than a program's environment may be",
                libc::ENOMEM => "; raise memory=",
                _ => "",
            })?;
        }
        Ok(())
    }
}

impl Failure {
    /// Whether the administrator's rules refuse the script, rather than the machine.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self.step {
            Step::Execute | Step::Directory | Step::Look => self.errno == libc::EACCES,
            Step::DirectoryWritable | Step::NoFile | Step::ScriptWritable | Step::SetId | Step::Owner => true,
            _ => false,
        }
    }

    /// Whether another try may do better.
    #[must_use]
    pub fn is_shortage(&self) -> bool {
        self.step == Step::Process && matches!(self.errno, libc::EAGAIN | libc::ENOMEM)
    }
}

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with a status.
    Status(i32),
    /// By a signal.
    Signal(i32),
}

impl Exit {
    /// Understands a status of wait(2).
    #[must_use]
    pub fn from_wait(status: i32) -> Self {
        if libc::WIFSIGNALED(status) {
            Self::Signal(libc::WTERMSIG(status))
        } else {
            Self::Status(libc::WEXITSTATUS(status))
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(i32, &str); 12] = [
            (libc::SIGHUP, "SIGHUP"),
            (libc::SIGINT, "SIGINT"),
            (libc::SIGILL, "SIGILL"),
            (libc::SIGABRT, "SIGABRT"),
            (libc::SIGBUS, "SIGBUS"),
            (libc::SIGFPE, "SIGFPE"),
            (libc::SIGKILL, "SIGKILL"),
            (libc::SIGSEGV, "SIGSEGV"),
            (libc::SIGPIPE, "SIGPIPE"),
            (libc::SIGTERM, "SIGTERM"),
            (libc::SIGXCPU, "SIGXCPU, its limit of CPU time"),
            (libc::SIGXFSZ, "SIGXFSZ"),
        ];
        match *self {
            Self::Status(status) => write!(f, "it ended with status {status}"),
            Self::Signal(signal) => match NAMES.iter().find(|(number, _)| *number == signal) {
                Some((_, name)) => write!(f, "it was ended by {name}"),
                None => write!(f, "it was ended by signal {signal}"),
            },
        }
    }
}

/// A message of the spawner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The script's number, out of its request.
    pub id: u32,
    /// How it ended, or why it did not begin.
    pub outcome: Result<Exit, Failure>,
}

const FAILED: i32 = 1;
const ENDED: i32 = 2;

impl Report {
    /// Bytes of the message.
    pub const SIZE: usize = 16;

    /// The message.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let (kind, first, second) = match self.outcome {
            Err(failure) => (FAILED, failure.step.number(), failure.errno),
            Ok(Exit::Status(status)) => (ENDED, status, 0),
            Ok(Exit::Signal(signal)) => (ENDED, 0, signal),
        };
        let mut message = [0; Self::SIZE];
        let numbers = [kind, self.id.cast_signed(), first, second];
        for (place, number) in message.chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        message
    }

    /// Understands a message.
    #[must_use]
    pub fn decode(message: &[u8]) -> Option<Self> {
        let message: &[u8; Self::SIZE] = message.try_into().ok()?;
        let mut numbers =
            message.chunks_exact(4).filter_map(|part| part.try_into().ok()).map(i32::from_ne_bytes);
        let (kind, id) = (numbers.next()?, numbers.next()?.cast_unsigned());
        let (first, second) = (numbers.next()?, numbers.next()?);
        let outcome = match kind {
            FAILED => Err(Failure { step: Step::of(first), errno: second }),
            ENDED if second != 0 => Ok(Exit::Signal(second)),
            ENDED => Ok(Exit::Status(first)),
            _ => return None,
        };
        Some(Self { id, outcome })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_round_trip() {
        let failures = STEPS.map(|step| Err(Failure { step, errno: libc::EACCES }));
        let exits = [Exit::Status(0), Exit::Status(255), Exit::Signal(9)].map(Ok);
        for outcome in failures.into_iter().chain(exits) {
            let report = Report { id: u32::MAX, outcome };
            assert_eq!(Report::decode(&report.encode()), Some(report));
        }
        assert_eq!(Report::decode(&[0; 16]), None);
        assert_eq!(Report::decode(&[1; 15]), None);
    }

    #[test]
    fn a_failure_names_cause_and_cure() {
        let failure = Failure { step: Step::Execute, errno: libc::ENOEXEC };
        assert!(failure.to_string().contains("#!/bin/sh"));
        assert!(Failure { step: Step::Owner, errno: 0 }.to_string().contains("chown"));
        assert!(Failure { step: Step::Execute, errno: libc::EACCES }.is_refusal());
        assert!(!failure.is_refusal());
    }

    #[test]
    fn ends_have_names() {
        assert_eq!(Exit::from_wait(3 << 8).to_string(), "it ended with status 3");
        assert_eq!(Exit::from_wait(9).to_string(), "it was ended by SIGKILL");
        assert_eq!(Exit::from_wait(libc::SIGRTMIN()), Exit::Signal(libc::SIGRTMIN()));
    }
}
