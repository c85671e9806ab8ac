// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a server process asks of the spawner, and what the spawner answers.
//!
//! Both sides are one build of one machine, so numbers stand as the machine has them. The spawner may have more rights
//! than who asks: it takes nothing for granted.

use std::ffi::CStr;

use crate::rights::Limits;

/// A script to run.
#[derive(Clone, Copy, Debug)]
pub struct SpawnRequest<'a> {
    /// Whose number reports carry.
    pub id: u32,
    /// The place of `user=` in the spawner's table; `None` runs as the server process itself.
    pub identity: Option<u32>,
    /// Whether the script goes on when the process that asked ends.
    pub outlives: bool,
    /// Limits.
    pub limits: Limits,
    /// The working directory.
    pub directory: &'a [u8],
    /// The file that somebody wants to run.
    pub script: &'a [u8],
    /// The file that is executed: the script or its interpreter.
    pub program: &'a [u8],
    /// The words after the program's own name.
    pub arguments: &'a [Vec<u8>],
    /// `NAME=VALUE`, each followed by NUL.
    pub environment: &'a [u8],
}

/// A word holds a NUL, or there are too many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a word for the script holds a NUL byte")]
pub struct SpawnRequestError;

const RUN: u64 = 1;
const KILL: u64 = 2;
const NUMBERS: usize = 9;
/// Bytes before the strings of a request.
const HEADER: usize = NUMBERS * 8;
/// `outlives`.
const OUTLIVES: u64 = 1;

impl SpawnRequest<'_> {
    /// The message for the spawner.
    ///
    /// # Errors
    /// When a word holds a NUL.
    pub fn encode(&self) -> Result<Vec<u8>, SpawnRequestError> {
        let words = [self.directory, self.script, self.program];
        let holds_nul = |word: &[u8]| word.contains(&0);
        if words.into_iter().any(holds_nul) || self.arguments.iter().any(|word| holds_nul(word)) {
            return Err(SpawnRequestError);
        }
        let variables = self.environment.iter().filter(|byte| **byte == 0).count();
        let numbers: [u64; NUMBERS] = [
            RUN,
            u64::from(self.id),
            self.identity.map_or(0, |index| u64::from(index) + 1),
            if self.outlives { OUTLIVES } else { 0 },
            self.limits.memory,
            self.limits.cpu,
            self.limits.files,
            self.arguments.len() as u64,
            variables as u64,
        ];
        let size = words.iter().map(|word| word.len() + 1).sum::<usize>() + self.environment.len();
        let mut message = Vec::with_capacity(HEADER + size);
        message.extend(numbers.iter().flat_map(|number| number.to_ne_bytes()));
        for word in words.into_iter().chain(self.arguments.iter().map(Vec::as_slice)) {
            message.extend_from_slice(word);
            message.push(0);
        }
        message.extend_from_slice(self.environment);
        Ok(message)
    }
}

/// The message that ends a script: TERM, and KILL after `grace` milliseconds.
#[must_use]
pub fn encode_kill(id: u32, grace: u32) -> Vec<u8> {
    [KILL, u64::from(id), u64::from(grace)].iter().flat_map(|number| number.to_ne_bytes()).collect()
}

/// A message as the spawner sees it.
#[derive(Debug, PartialEq, Eq)]
pub enum SpawnerCommand<'m> {
    /// Run a script.
    Run(Run<'m>),
    /// End one.
    Kill {
        /// Its number.
        id: u32,
        /// Milliseconds from TERM to KILL.
        grace: u32,
    },
}

/// A script to run, out of a message.
#[derive(Debug, PartialEq, Eq)]
pub struct Run<'m> {
    /// As in [`SpawnRequest`].
    pub id: u32,
    /// As in [`SpawnRequest`].
    pub identity: Option<u32>,
    /// As in [`SpawnRequest`].
    pub outlives: bool,
    /// As in [`SpawnRequest`].
    pub limits: Limits,
    /// As in [`SpawnRequest`].
    pub directory: &'m CStr,
    /// As in [`SpawnRequest`].
    pub script: &'m CStr,
    /// As in [`SpawnRequest`].
    pub program: &'m CStr,
    /// The words after the program's own name.
    pub arguments: Vec<&'m CStr>,
    /// `NAME=VALUE`.
    pub environment: Vec<&'m CStr>,
}

impl<'m> SpawnerCommand<'m> {
    /// Understands a message. `None` for one that no honest sender sends.
    #[must_use]
    pub fn decode(message: &'m [u8]) -> Option<Self> {
        let mut rest = message;
        match number(&mut rest)? {
            KILL => {
                let (id, grace) = (small(&mut rest)?, small(&mut rest)?);
                rest.is_empty().then_some(SpawnerCommand::Kill { id, grace })
            }
            RUN => Run::decode(rest).map(SpawnerCommand::Run),
            _ => None,
        }
    }
}

impl<'m> Run<'m> {
    fn decode(mut rest: &'m [u8]) -> Option<Self> {
        let id = small(&mut rest)?;
        let identity = small(&mut rest)?.checked_sub(1);
        let flags = number(&mut rest)?;
        let limits =
            Limits { memory: number(&mut rest)?, cpu: number(&mut rest)?, files: number(&mut rest)? };
        let (arguments, variables) = (small(&mut rest)?, small(&mut rest)?);
        let (directory, script, program) = (word(&mut rest)?, word(&mut rest)?, word(&mut rest)?);
        let arguments = (0..arguments).map(|_| word(&mut rest)).collect::<Option<_>>()?;
        let environment = (0..variables).map(|_| word(&mut rest)).collect::<Option<_>>()?;
        let run = Self {
            id,
            identity,
            outlives: flags & OUTLIVES != 0,
            limits,
            directory,
            script,
            program,
            arguments,
            environment,
        };
        rest.is_empty().then_some(run)
    }
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let (number, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    Some(u64::from_ne_bytes(*number))
}

fn small(rest: &mut &[u8]) -> Option<u32> {
    number(rest).and_then(|number| u32::try_from(number).ok())
}

fn word<'m>(rest: &mut &'m [u8]) -> Option<&'m CStr> {
    let word = CStr::from_bytes_until_nul(rest).ok()?;
    *rest = rest.get(word.to_bytes_with_nul().len()..)?;
    Some(word)
}

/// A program without limits or a user of its own, for tests.
#[cfg(test)]
pub(super) fn plain<'a>(program: &'a str, arguments: &'a [Vec<u8>]) -> SpawnRequest<'a> {
    SpawnRequest {
        id: 5,
        identity: None,
        outlives: false,
        limits: Limits::default(),
        directory: b"/",
        script: program.as_bytes(),
        program: program.as_bytes(),
        arguments,
        environment: b"A=1\0PATH=/usr/bin:/bin\0",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(arguments: &'a [Vec<u8>], environment: &'a [u8]) -> SpawnRequest<'a> {
        SpawnRequest {
            id: 7,
            identity: Some(0),
            outlives: true,
            limits: Limits { memory: u64::MAX, cpu: 3, files: 0 },
            directory: b"/srv",
            script: b"/srv/a.pl",
            program: b"/usr/bin/perl",
            arguments,
            environment,
        }
    }

    #[test]
    fn an_order_round_trips() {
        let arguments = [b"/srv/a.pl".to_vec(), Vec::new()];
        let message = request(&arguments, b"A=1\0B=\0").encode().unwrap();
        let Some(SpawnerCommand::Run(run)) = SpawnerCommand::decode(&message) else { panic!("no request") };
        assert_eq!((run.id, run.identity, run.outlives), (7, Some(0), true));
        assert_eq!(run.limits, Limits { memory: u64::MAX, cpu: 3, files: 0 });
        assert_eq!((run.directory, run.script, run.program), (c"/srv", c"/srv/a.pl", c"/usr/bin/perl"));
        assert_eq!(run.arguments, [c"/srv/a.pl", c""]);
        assert_eq!(run.environment, [c"A=1", c"B="]);
    }

    #[test]
    fn a_kill_round_trips() {
        assert_eq!(
            SpawnerCommand::decode(&encode_kill(9, 500)),
            Some(SpawnerCommand::Kill { id: 9, grace: 500 })
        );
    }

    #[test]
    fn words_with_nul_are_refused() {
        assert_eq!(request(&[b"a\0b".to_vec()], b"").encode(), Err(SpawnRequestError));
        assert_eq!(
            SpawnRequest { script: b"/srv/a\0", ..request(&[], b"") }.encode(),
            Err(SpawnRequestError)
        );
    }

    #[test]
    fn a_message_that_is_cut_anywhere_is_no_command() {
        let arguments = [b"x".to_vec()];
        for message in [request(&arguments, b"A=1\0").encode().unwrap(), encode_kill(1, 2)] {
            for cut in 0..message.len() {
                assert_eq!(SpawnerCommand::decode(&message[..cut]), None, "cut at {cut}");
            }
            assert_eq!(SpawnerCommand::decode(&[&message[..], b"\0"].concat()), None);
        }
    }

    #[test]
    fn counts_that_nothing_stands_behind_are_refused() {
        let mut message = request(&[], b"").encode().unwrap();
        message[7 * 8..8 * 8].copy_from_slice(&u64::from(u32::MAX).to_ne_bytes());
        assert_eq!(SpawnerCommand::decode(&message), None);
        message[7 * 8..8 * 8].copy_from_slice(&u64::MAX.to_ne_bytes());
        assert_eq!(SpawnerCommand::decode(&message), None);
    }
}
