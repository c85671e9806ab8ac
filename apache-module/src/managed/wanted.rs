// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the configuration says of applications in processes of their own.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use gangway::{config::Managed, rights::Identity, runtime};

use crate::config;

/// Every one, each once, with the directive and the place of that, in order.
#[derive(Default)]
pub(crate) struct Wanted {
    all: Vec<(Managed, String)>,
    /// The file of `gangway-host`, if one of them needs it.
    host: Option<Arc<Path>>,
}

impl Wanted {
    /// Answers the number of an application. The same words are one.
    pub(crate) fn add(&mut self, managed: Managed, place: String, host: Option<Arc<Path>>) -> usize {
        self.host = host.or_else(|| self.host.take());
        let known = self.all.iter().position(|(known, _)| *known == managed);
        known.unwrap_or_else(|| {
            self.all.push((managed, place));
            self.all.len() - 1
        })
    }
}

/// All of them, by number.
pub(crate) fn all() -> Vec<Managed> {
    config::kept(|wanted: &mut Wanted| wanted.all.iter().map(|(managed, _)| managed.clone()).collect())
}

/// The file of `gangway-host`; empty where no application needs it.
pub(crate) fn host() -> PathBuf {
    config::kept(|wanted: &mut Wanted| wanted.host.as_deref().map(Path::to_path_buf)).unwrap_or_default()
}

/// Asks the engines about each of them.
///
/// # Errors
/// The place of the first directive that is wrong, and why it is.
pub(crate) fn check() -> Result<(), String> {
    config::kept(|wanted: &mut Wanted| {
        let check = |managed| runtime::check_managed(managed);
        wanted
            .all
            .iter()
            .try_for_each(|(managed, place)| check(managed).map_err(|reason| format!("{place}: {reason}")))
    })
}

/// What their users may not read, as the configuration test of root does not see by itself.
pub(crate) fn warnings(worker: &Identity) -> Vec<String> {
    runtime::check_managed_as(&all(), worker)
}
