// SPDX-License-Identifier: MIT OR Apache-2.0
//! The servers of this machine, by their control sockets. What they answer is the word of the workers' user, and is believed
//! as far as it is shown.

use std::{
    env, fs,
    io::{self, Read, Write},
    os::unix::{fs::MetadataExt, net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use gangway::{
    supervise::control::{ControlRefusal, Question, Record, decode_answer},
    sys::{own_user, run_directory},
};

/// Where servers have their run directories.
const RUN: &str = "/run";
/// How the names of those begin.
const PREFIX: &str = "gangway-";
/// The two together, for people.
pub(crate) const USUAL: &str = "/run/gangway-*";
/// A server answers at once, if it is not stopped.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer.
const LONGEST: u64 = 64 << 20;

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) socket: PathBuf,
}

/// What a server says.
#[derive(Debug)]
pub(crate) enum Heard {
    Answer(Vec<Record>),
    Refused(ControlRefusal),
    /// Nobody listens there any more, or what came was no answer.
    Silence(#[expect(dead_code, reason = "for who debugs")] io::Error),
}

/// Asks all servers.
pub(crate) fn ask_all(directory: Option<&Path>, question: &Question) -> Vec<(Server, Heard)> {
    let servers = sockets(directory).into_iter().map(|socket| Server { socket });
    servers.map(|server| (server.clone(), server.ask(question))).collect()
}

fn sockets(directory: Option<&Path>) -> Vec<PathBuf> {
    if let Some(directory) = directory {
        return run_directory::control_sockets(directory);
    }
    let directories = directories(Path::new(RUN), &env::temp_dir(), own_user());
    directories.iter().flat_map(|directory| run_directory::control_sockets(directory)).collect()
}

/// The run directories of servers that root has started, and that of servers that this user has started.
fn directories(run: &Path, temporary: &Path, user: u32) -> Vec<PathBuf> {
    let entries = fs::read_dir(run).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)))
        .map(|entry| entry.path())
        .collect();
    found.sort_unstable();
    let own = temporary.join(format!("{PREFIX}{user}"));
    // Anybody may make one of that name in the directory of temporary files.
    let is_own = |metadata: fs::Metadata| metadata.is_dir() && metadata.uid() == user;
    found.extend(fs::symlink_metadata(&own).is_ok_and(is_own).then_some(own));
    found
}

impl Server {
    /// Asks this one.
    pub(crate) fn ask(&self, question: &Question) -> Heard {
        match self.exchange(question) {
            Ok(text) => match decode_answer(&text) {
                Some(Ok(records)) => Heard::Answer(records),
                Some(Err(refusal)) => Heard::Refused(refusal),
                None => Heard::Silence(io::ErrorKind::InvalidData.into()),
            },
            Err(error) => Heard::Silence(error),
        }
    }

    fn exchange(&self, question: &Question) -> io::Result<String> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(question.encode().as_bytes())?;
        let mut answer = String::new();
        stream.take(LONGEST).read_to_string(&mut answer)?;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_directories_are_those_of_root_and_ones_own() {
        let (run, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in ["gangway-33", "other", "gangway-1"] {
            fs::create_dir(run.path().join(name)).unwrap();
        }
        let (user, of_root) = (own_user(), ["gangway-1", "gangway-33"].map(|name| run.path().join(name)));
        let found = |user| directories(run.path(), temporary.path(), user);
        assert_eq!(found(user), of_root);
        let own = temporary.path().join(format!("gangway-{user}"));
        fs::create_dir(&own).unwrap();
        assert_eq!(found(user), [of_root.to_vec(), vec![own.clone()]].concat());
        // One that somebody else has made, or a link.
        fs::rename(&own, temporary.path().join(format!("gangway-{}", user + 1))).unwrap();
        assert_eq!(found(user + 1), of_root);
        std::os::unix::fs::symlink(run.path(), &own).unwrap();
        assert_eq!(found(user), of_root);
    }
}
