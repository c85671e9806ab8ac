// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the server's parent says of an application to the supervisor, and what a worker says.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    config::Life,
    sys::spawner::tree::{Composer, Parts},
};

/// An application, as the supervisor knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub(super) name: String,
    pub(super) threads: u32,
    /// Processes are forked from one that has loaded the application.
    pub(super) preload: bool,
    /// It is no host of ours that runs it.
    pub(super) is_program: bool,
    pub(super) life: Life,
    pub(super) owner: AppOwner,
    pub(super) files: AppFiles,
    /// The path that a process is asked for before it gets requests.
    pub(super) warmup: Option<AppWarmup>,
    /// The control group of its processes.
    pub(super) cgroup: Option<PathBuf>,
}

/// A request before all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AppWarmup {
    pub(super) path: String,
    /// Where a program finds the file of that path, if it runs files.
    pub(super) directory: Option<String>,
}

/// What is looked at to see that processes are to be replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AppFiles {
    /// What it is made of, as far as its words say.
    pub(super) code: Vec<PathBuf>,
    /// Whether those are looked at without a reload of the server.
    pub(super) always: bool,
    /// A file that is there to be touched.
    pub(super) restart: Option<PathBuf>,
}

impl AppFiles {
    fn encode(&self, composer: Composer) -> Composer {
        let bytes = |path: &Path| path.as_os_str().as_bytes().to_owned();
        let mut composer = composer.number(self.always.into());
        composer = composer.bytes(&self.restart.as_deref().map(bytes).unwrap_or_default());
        composer = composer.number(self.code.len() as u64);
        for path in &self.code {
            composer = composer.bytes(&bytes(path));
        }
        composer
    }

    fn decode(parts: &mut Parts<'_>) -> Option<Self> {
        let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        let always = parts.number()? != 0;
        let restart = Some(parts.bytes()?).filter(|bytes| !bytes.is_empty()).map(path);
        let count: usize = parts.small()?;
        let code = (0..count).map(|_| parts.bytes().map(path)).collect::<Option<_>>()?;
        Some(Self { code, always, restart })
    }
}

/// The user who runs an application, for whom it may be controlled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AppOwner {
    pub(super) user: u32,
    pub(super) name: String,
}

impl About {
    pub(super) fn encode(&self) -> Vec<u8> {
        let life = &self.life;
        let time = |time: Option<Duration>| time.map_or(0, |time| time.as_millis() as u64);
        let composer = Composer::default()
            .bytes(self.name.as_bytes())
            .number(self.threads.into())
            .number(self.preload.into())
            .number(self.is_program.into())
            .number(life.least.into())
            .number(life.most.into())
            .number(time(life.idle))
            .number(life.max_requests.unwrap_or(0).into())
            .number(life.max_rss.unwrap_or(0))
            .number(time(life.lifetime))
            .number(time(life.boot_timeout))
            .number(time(life.drain_timeout))
            .number(self.owner.user.into())
            .bytes(self.owner.name.as_bytes());
        let composer = self.files.encode(composer);
        let path = self.warmup.as_ref().map(|warmup| warmup.path.as_str()).unwrap_or_default();
        let directory =
            self.warmup.as_ref().and_then(|warmup| warmup.directory.as_deref()).unwrap_or_default();
        let cgroup = self.cgroup.as_ref().map(|group| group.as_os_str().as_bytes()).unwrap_or_default();
        composer.bytes(path.as_bytes()).bytes(directory.as_bytes()).bytes(cgroup).finish()
    }

    pub(super) fn decode(message: &[u8]) -> Option<Self> {
        let mut parts = Parts::new(message);
        let name = String::from_utf8_lossy(parts.bytes()?).into_owned();
        let threads = parts.small()?;
        let (preload, is_program) = (parts.number()? != 0, parts.number()? != 0);
        let (least, most) = (parts.small()?, parts.small()?);
        let time = |parts: &mut Parts<'_>| {
            parts.number().map(|time| (time > 0).then(|| Duration::from_millis(time)))
        };
        let idle = time(&mut parts)?;
        let max_requests = Some(parts.small()?).filter(|most| *most > 0);
        let max_rss = Some(parts.number()?).filter(|most| *most > 0);
        let (lifetime, boot_timeout, drain_timeout) =
            (time(&mut parts)?, time(&mut parts)?, time(&mut parts)?);
        let life = Life { least, most, idle, max_requests, max_rss, lifetime, boot_timeout, drain_timeout };
        let user = parts.small()?;
        let owner = AppOwner { user, name: String::from_utf8_lossy(parts.bytes()?).into_owned() };
        let files = AppFiles::decode(&mut parts)?;
        let mut text = || parts.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let (path, directory) = (text()?, text()?);
        let directory = Some(directory).filter(|directory| !directory.is_empty());
        let warmup = (!path.is_empty()).then_some(AppWarmup { path, directory });
        let cgroup = Some(parts.bytes()?).filter(|path| !path.is_empty());
        let cgroup = cgroup.map(|path| PathBuf::from(OsStr::from_bytes(path)));
        Some(Self { name, threads, preload, is_program, life, owner, files, warmup, cgroup })
    }
}

const DEMAND: u64 = 1;
const TROUBLE: u64 = 2;
const MEASURE: u64 = 3;
/// The most that is said of a request that went wrong.
const LONGEST_TEXT: usize = 8 * 1024;

/// A request that was not answered in time, and what the application's host has said of it: where it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// The application.
    pub app: u32,
    /// The slot of the process, and its id.
    pub slot: u16,
    /// Of the process.
    pub pid: u32,
    /// Lines of the log.
    pub text: Vec<u8>,
}

/// What a worker says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WorkerMessage {
    /// Requests of this application wait.
    Demand(u32),
    /// Somebody wants to know how much memory its processes have.
    Measure(u32),
    Trouble(Trouble),
}

impl Trouble {
    pub(super) fn encode(&self) -> Vec<u8> {
        let text = self.text.get(..LONGEST_TEXT).unwrap_or(&self.text);
        let composer = Composer::default().number(TROUBLE).number(self.app.into()).number(self.slot.into());
        composer.number(self.pid.into()).bytes(text).finish()
    }
}

/// Requests of an application wait.
pub(super) fn demand(app: u32) -> Vec<u8> {
    Composer::default().number(DEMAND).number(app.into()).finish()
}

/// Somebody wants to know how much memory the processes of an application have.
pub(super) fn measure(app: u32) -> Vec<u8> {
    Composer::default().number(MEASURE).number(app.into()).finish()
}

/// Understands what a worker says.
pub(super) fn of_worker(message: &[u8]) -> Option<WorkerMessage> {
    let mut parts = Parts::new(message);
    match parts.number()? {
        DEMAND => parts.small().map(WorkerMessage::Demand),
        MEASURE => parts.small().map(WorkerMessage::Measure),
        TROUBLE => {
            let (app, slot, pid) = (parts.small()?, parts.small()?, parts.small()?);
            let text = parts.bytes()?.to_vec();
            Some(WorkerMessage::Trouble(Trouble { app, slot, pid, text }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let life = Life {
            least: 1,
            most: 4,
            max_requests: Some(7),
            max_rss: Some(9),
            lifetime: None,
            ..Life::default()
        };
        let owner = AppOwner { user: 33, name: "www-data".into() };
        let files =
            AppFiles { code: vec!["/a".into(), "/b".into()], always: true, restart: Some("/c".into()) };
        let warmup = Some(AppWarmup { path: "/up".into(), directory: Some("/srv".into()) });
        let cgroup = Some("/g".into());
        let about = About {
            name: "blog".into(),
            threads: 3,
            preload: true,
            is_program: true,
            life,
            owner,
            files,
            warmup,
            cgroup,
        };
        let message = about.encode();
        assert_eq!(About::decode(&message), Some(about));
        assert!((0..message.len()).all(|cut| About::decode(&message[..cut]).is_none()));
        assert_eq!((of_worker(&demand(9)), of_worker(b"")), (Some(WorkerMessage::Demand(9)), None));
        assert_eq!(of_worker(&measure(9)), Some(WorkerMessage::Measure(9)));
        let trouble = Trouble { app: 1, slot: 2, pid: 3, text: vec![b'x'; LONGEST_TEXT + 1] };
        let message = trouble.encode();
        let heard = Trouble { text: vec![b'x'; LONGEST_TEXT], ..trouble };
        assert_eq!(of_worker(&message), Some(WorkerMessage::Trouble(heard)));
        assert!((0..message.len()).all(|cut| of_worker(&message[..cut]).is_none()));
    }
}
