// SPDX-License-Identifier: MIT OR Apache-2.0
//! The applications of a configuration, for who wants to try them: a test of the configuration writes them where it is asked to,
//! and `gangway check` starts each as the server would.

use std::{env, fs, io, io::Write, path::Path};

use super::{
    manager::{Launched, message},
    message::About,
};
use crate::{
    config::{ApplicationConf, Command, Managed},
    rights::Identity,
    sys::spawner::tree::{self, Composer, Fact, Parts},
};

/// The variable that names the file, which is there already.
pub const ASKED: &str = "GANGWAY_CHECK";

/// An application to be tried.
#[derive(Debug)]
pub struct ManifestEntry {
    /// Its name.
    pub name: String,
    /// Who runs it.
    pub user: String,
    /// What the server would have its process made of.
    launch: Vec<u8>,
    /// The user where its words name none.
    worker: Identity,
    /// A FastCGI program, which loads nothing before it serves.
    pub is_program: bool,
    /// The program that runs it is there.
    pub has_host: bool,
}

/// Writes what a configuration test has read, if somebody has asked for it. `host` is the file of `gangway-host`; empty where no
/// application of the configuration needs it.
///
/// # Errors
/// What the file says.
pub fn write(
    managed: &[Managed],
    in_process: &[ApplicationConf],
    host: &Path,
    worker: &Identity,
) -> io::Result<()> {
    let Some(path) = env::var_os(ASKED) else { return Ok(()) };
    let hosted: Vec<Managed> = in_process.iter().map(Managed::hosted).collect();
    let mut seen = Vec::new();
    let mut out = fs::OpenOptions::new().append(true).open(path)?;
    for managed in managed.iter().chain(&hosted) {
        if seen.contains(&managed) {
            continue;
        }
        seen.push(managed);
        let launched = Launched { name: managed.name(), app: 1, version: 1, managed };
        let launch = message(&launched, host, worker)?;
        let entry = Composer::default()
            .bytes(&launch)
            .bytes(worker.name.as_bytes())
            .number(worker.user.into())
            .number(worker.group.into())
            .number(worker.groups.len() as u64);
        let entry = worker.groups.iter().fold(entry, |entry, group| entry.number(u64::from(*group)));
        let is_program = matches!(managed.launch().command, Command::Program { .. });
        let entry = entry.number(is_program.into()).number(host.is_absolute().into()).finish();
        out.write_all(&Composer::default().bytes(&entry).finish())?;
    }
    Ok(())
}

/// Understands what was written. `None` is what no test of this version writes.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Vec<ManifestEntry>> {
    let mut all = Vec::new();
    let mut parts = Parts::new(bytes);
    while !parts.is_empty() {
        let mut entry = Parts::new(parts.bytes()?);
        let launch = entry.bytes()?.to_vec();
        let name = String::from_utf8_lossy(entry.bytes()?).into_owned();
        let (user, group, count) = (entry.small()?, entry.small()?, entry.small::<usize>()?);
        let groups = (0..count).map(|_| entry.small()).collect::<Option<_>>()?;
        let worker = Identity { name, user, group, groups };
        let (is_program, has_host) = (entry.number()? != 0, entry.number()? != 0);
        let Some(Fact::Application(_, _, about)) = Fact::decode(&launch) else { return None };
        let about = About::decode(about)?;
        let (name, user) = (about.name, about.owner.name);
        all.push(ManifestEntry { name, user, launch, worker, is_program, has_host });
    }
    Some(all)
}

impl ManifestEntry {
    /// Loads the application as its user, in a process that ends then. Answers whether it could be loaded, and what was said
    /// meanwhile.
    ///
    /// # Errors
    /// Why the process could not be made.
    pub fn load(&self, host: &Path, time: std::time::Duration) -> Result<(bool, String), String> {
        let host = (!self.has_host).then_some(host);
        tree::load_once(&self.launch, host, &self.worker, time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Parser;

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest");
        fs::write(&path, "").unwrap();
        let parser = Parser { base: Path::new("/"), timeout: None };
        let words =
            |words: &[&str]| parser.program(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
        let managed =
            [words(&["/bin/sh", "name=one"]).unwrap(), words(&["/bin/sh", "name=two", "env=A=1"]).unwrap()];
        let worker = Identity { name: "www".into(), user: 33, group: 34, groups: vec![34, 35] };
        let entry = |managed: &Managed| {
            let launched = Launched { name: managed.name(), app: 1, version: 1, managed };
            message(&launched, Path::new(""), &worker).unwrap()
        };
        let whole: Vec<u8> = managed
            .iter()
            .flat_map(|managed| {
                let entry = Composer::default().bytes(&entry(managed)).bytes(b"www").number(33).number(34);
                let entry = entry.number(2).number(34).number(35).number(1).number(0).finish();
                Composer::default().bytes(&entry).finish()
            })
            .collect();
        let found = read(&whole).unwrap();
        let seen: Vec<_> =
            found.iter().map(|entry| (entry.name.as_str(), entry.is_program, entry.has_host)).collect();
        assert_eq!(seen, [("one", true, false), ("two", true, false)]);
        assert_eq!((found[0].user.as_str(), &found[1].worker), ("www", &worker));
        // Entries that are cut are none; what ends between two of them is a manifest of the first.
        let ends = (0..whole.len()).filter_map(|cut| Some((cut, read(&whole[..cut])?.len())));
        let ends: Vec<_> = ends.map(|(cut, count)| (cut == 0, count)).collect();
        assert_eq!(ends, [(true, 0), (false, 1)]);
    }
}
