// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the engines of a configuration are: `gangway_engine_dir` and `GangwayEngineDir`, and what is found there.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{ApplicationConf, ConfigError, Parser, Placed};
use crate::{
    engine::{Catalogue, INSTALLED, Interface, own_directory},
    error::HOST_MISSING,
};

/// The program that runs an application of an engine in a process of its own.
const HOST: &str = "gangway-host";

/// The engines of a configuration that is being read. They are looked for when the first directive needs one.
#[derive(Debug, Default)]
pub struct Engines {
    directory: Option<PathBuf>,
    found: Option<Catalogue>,
    /// Lines about engines that were refused, until somebody prints them.
    refusals: Vec<String>,
    host: Option<Arc<Path>>,
}

impl Engines {
    /// None yet; where they are if nobody says it, [`Catalogue::search`] knows.
    #[must_use]
    pub const fn new() -> Self {
        Self { directory: None, found: None, refusals: Vec::new(), host: None }
    }

    /// Says where they are. Options of applications cannot be read without their engine, so this comes first.
    ///
    /// # Errors
    /// What is wrong, with the cure.
    pub fn name_directory(&mut self, base: &Path, word: &[u8]) -> Result<(), String> {
        if self.directory.is_some() {
            return Err("stands twice; keep one".into());
        }
        if self.found.is_some() {
            return Err("must stand before the first application: move it up".into());
        }
        let directory = base.join(OsStr::from_bytes(word));
        if !directory.is_dir() {
            let shown = directory.display();
            return Err(format!(
                "names \"{shown}\", which is not a directory; create it or correct the path"
            ));
        }
        self.directory = Some(directory);
        Ok(())
    }

    /// The engine that has an interface, and the interface.
    pub(super) fn interface(&mut self, name: &str) -> Result<(&Arc<Path>, &Interface), ConfigError> {
        let (directory, refusals) = (self.directory.as_deref(), &mut self.refusals);
        let found = self.found.get_or_insert_with(|| {
            let found = Catalogue::search(directory);
            refusals.extend(found.refusals());
            found
        });
        Ok(found.interface(name)?)
    }

    /// The file of `gangway-host`, which runs applications in processes of their own: beside the server module, beside the
    /// engines, or where it is installed.
    ///
    /// # Errors
    /// That it is at none of these places.
    pub fn host(&mut self) -> Result<Arc<Path>, ConfigError> {
        if let Some(known) = &self.host {
            return Ok(Arc::clone(known));
        }
        let mut folders: Vec<PathBuf> = own_directory().into_iter().chain(self.directory.clone()).collect();
        folders.push(INSTALLED.into());
        folders.dedup();
        let found = folders.iter().map(|folder| folder.join(HOST)).find(|file| file.is_file());
        let found: Arc<Path> = found.map(Into::into).ok_or_else(|| {
            let places: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
            let text = format!(
                "processes= and user= need the program {HOST}, which is not in {}; install it into one of them",
                places.join(" or ")
            );
            ConfigError::new(HOST_MISSING, text)
        })?;
        self.host = Some(Arc::clone(&found));
        Ok(found)
    }

    /// Lines about engines that were refused although nothing needs them: once, for the configuration test to show.
    pub fn take_refusals(&mut self) -> Vec<String> {
        std::mem::take(&mut self.refusals)
    }
}

impl Parser<'_> {
    /// Parses the words after the name of a directive that runs applications of this interface.
    ///
    /// # Errors
    /// That no engine has the interface, or the first word that is wrong, with the cure.
    pub fn interface(
        &self,
        engines: &mut Engines,
        interface: &str,
        words: &[&[u8]],
    ) -> Result<ApplicationConf, ConfigError> {
        let (engine, interface) = engines.interface(interface)?;
        self.application(engine, interface, words)
    }

    /// As [`Parser::interface`], for a server that can run applications in processes of their own.
    ///
    /// # Errors
    /// That no engine has the interface, or the first word that is wrong, with the cure.
    pub fn placed_interface(
        &self,
        engines: &mut Engines,
        interface: &str,
        words: &[&[u8]],
    ) -> Result<Placed, ConfigError> {
        let (engine, interface) = engines.interface(interface)?;
        self.placed(engine, interface, words)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_host_is_beside_the_engines_and_a_missing_one_is_named_with_the_places() {
        let folder = tempfile::tempdir().unwrap();
        let mut engines = Engines::new();
        engines.name_directory(folder.path(), b".").unwrap();
        let places: Vec<_> =
            [own_directory().unwrap(), INSTALLED.into()].map(|place: PathBuf| place.join(HOST)).into();
        if !places.iter().any(|place| place.exists()) {
            let error = engines.host().unwrap_err().to_string();
            for part in ["GW0109", HOST, INSTALLED, &folder.path().display().to_string()] {
                assert!(error.contains(part), "{part}: {error}");
            }
        }
        fs::write(folder.path().join(HOST), "").unwrap();
        if !places.iter().any(|place| place.exists()) {
            assert_eq!(engines.host().unwrap().as_ref(), folder.path().join(".").join(HOST));
        }
    }
}
