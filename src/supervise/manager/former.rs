// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a manager leaves to the next one of the same process, for a server that unloads its modules when it reads its
//! configuration anew. The next one may be of another version of this program: words are compared as text.

use std::{
    ffi::OsString,
    io,
    os::{
        fd::AsFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    sync::{Arc, atomic},
};

use super::{KnownApplication, ManagedPool, Manager, STARTED, Setup, shape};
use crate::{
    config::Managed,
    supervise::segment::Segment,
    sys::{
        LeftOpen, run_directory,
        spawner::tree::{Composer, MessageSocket, Parts, Tree},
    },
};

/// An application of an earlier configuration, from before.
#[derive(Debug)]
pub(super) struct Former {
    name: String,
    /// All of its words, and those that its processes are made of.
    words: String,
    launch: String,
    version: u32,
    pool: ManagedPool,
    /// Its words are those of an application that is wanted.
    is_wanted: bool,
}

fn words_of(managed: &Managed) -> (String, String) {
    (format!("{managed:?}"), format!("{:?}", managed.launch()))
}

/// Looks which of those that were there before are wanted as they were.
pub(super) fn mark(formers: &mut [Former], wanted: &[Managed]) {
    if formers.is_empty() {
        return;
    }
    let words: std::collections::HashSet<_> = wanted.iter().map(|managed| format!("{managed:?}")).collect();
    formers.iter_mut().for_each(|former| former.is_wanted = words.contains(&former.words));
}

/// What is shared about one with these words.
pub(super) fn same(formers: &[Former], managed: &Managed) -> Option<ManagedPool> {
    let (words, _) = words_of(managed);
    formers.iter().find(|former| former.words == words).map(|former| former.pool.clone())
}

/// Whether somebody has stopped one of this name.
pub(super) fn is_stopped(formers: &[Former], managed: &Managed) -> bool {
    let mut same_name = formers.iter().filter(|former| former.name == managed.name());
    same_name.any(|former| former.pool.segment.is_stopped())
}

/// What is known of an application from before: the same words, or one of the same name that is to get other words.
pub(super) fn find(
    formers: &[Former],
    managed: &Managed,
    next: &[KnownApplication],
) -> Option<KnownApplication> {
    if formers.is_empty() {
        return None;
    }
    let (words, launch) = words_of(managed);
    let same = formers.iter().find(|former| former.words == words);
    let changed = || {
        formers.iter().find(|former| {
            !former.is_wanted
                && former.name == managed.name()
                && former.pool.segment.shape() == shape(managed)
                && !next.iter().any(|other| other.pool.app == former.pool.app)
        })
    };
    let former = same.or_else(changed)?;
    let version = former.version + u32::from(former.launch != launch);
    Some(KnownApplication { managed: managed.clone(), version, pool: former.pool.clone() })
}

impl Manager {
    /// Ends this manager without ending what it looks after: all of it is left open for [`Manager::resume`].
    ///
    /// # Errors
    /// When there is no descriptor or no memory left. Then everything ends with the last worker.
    pub fn suspend(self) -> io::Result<LeftOpen> {
        let put =
            |state: Composer, left: LeftOpen| left.to_numbers().into_iter().fold(state, Composer::number);
        let mut state = Composer::default().bytes(self.place.as_os_str().as_bytes());
        state = state.number(self.setup.worker.user.into());
        state = state.number(self.tree.guard().into());
        state = state.number(u64::from(STARTED.load(atomic::Ordering::Relaxed))).number(self.next.into());
        state = put(state, LeftOpen::leave(self.tree.as_fd())?);
        let known = self.known.iter().map(|known| {
            let (words, launch) = words_of(&known.managed);
            (known.managed.name().to_owned(), words, launch, known.version, &known.pool)
        });
        // Those that the last configuration could not tell are still those that run.
        let formers = self.former.iter().map(|former| {
            let (name, words, launch) = (former.name.clone(), former.words.clone(), former.launch.clone());
            (name, words, launch, former.version, &former.pool)
        });
        for (name, words, launch, version, pool) in known.chain(formers) {
            state = state
                .bytes(name.as_bytes())
                .bytes(pool.name.as_bytes())
                .bytes(words.as_bytes())
                .bytes(launch.as_bytes());
            state = state.number(version.into()).number(pool.app.into());
            state = put(state, LeftOpen::leave(pool.segment.as_fd())?);
        }
        LeftOpen::leave_bytes(&state.finish())
    }

    /// Goes on where a manager of this process was suspended.
    ///
    /// # Errors
    /// As [`Manager::start`]; `InvalidData` for what no manager has left.
    pub fn resume(setup: Setup, left: LeftOpen) -> io::Result<Self> {
        run_directory::prepare(&setup.run_directory, &setup.worker)?;
        let bytes = left.take_bytes()?;
        let mut parts = Parts::new(&bytes);
        Self::read(setup, &mut parts).unwrap_or_else(|| Err(io::ErrorKind::InvalidData.into()))
    }

    fn read(setup: Setup, parts: &mut Parts<'_>) -> Option<io::Result<Self>> {
        let place = OsString::from_vec(parts.bytes()?.to_vec()).into();
        let user: u32 = parts.small()?;
        let guard = parts.small()?;
        let started = parts.small()?;
        let next = parts.small()?;
        let tree = match left(parts)?.take() {
            Ok(socket) => Arc::new(Tree::of(MessageSocket::of(socket), guard)),
            Err(error) => return Some(Err(error)),
        };
        STARTED.fetch_max(started, atomic::Ordering::Relaxed);
        let mut former = Vec::new();
        while let Some(name) = parts.bytes() {
            let mut text = || Some(String::from_utf8_lossy(parts.bytes()?).into_owned());
            let (given, words, launch) = (text()?, text()?, text()?);
            let (version, app) = (parts.small()?, parts.small()?);
            let segment = left(parts)?.take().and_then(|memory| Segment::open(memory, setup.wake.clone()));
            // One whose memory is gone begins anew.
            let Ok(segment) = segment else { continue };
            let pool = ManagedPool { name: given.into(), app, segment: Arc::new(segment) };
            let name = String::from_utf8_lossy(name).into_owned();
            former.push(Former { name, words, launch, version, pool, is_wanted: false });
        }
        if user != setup.worker.user {
            // Nobody of the new ones could reach the processes that run. They end with the last worker that can.
            return Some(Err(io::Error::other("the user of the workers is another one")));
        }
        Some(Ok(Self { setup, tree, place, known: Vec::new(), former, next, figures: None }))
    }
}

fn left(parts: &mut Parts<'_>) -> Option<LeftOpen> {
    Some(LeftOpen::from_numbers([parts.number()?, parts.number()?, parts.number()?]))
}
