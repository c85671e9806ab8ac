// SPDX-License-Identifier: MIT OR Apache-2.0
//! The engines of a directory, and which of them has the interface that a directive needs.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    library::{Engine, EngineError, own_directory},
    statement::Interface,
};
use crate::{
    error::{ENGINE_MISSING, ENGINE_TWICE},
    sys,
};

/// Where packages install engines, which serve the modules of all servers.
pub const INSTALLED: &str = "/usr/lib/gangway";

/// What a search of the directories has found. Made while a configuration is read, when a directive needs an engine.
#[derive(Debug)]
pub struct Catalogue {
    directories: Vec<PathBuf>,
    engines: Vec<(Arc<Path>, Vec<Interface>)>,
    refused: Vec<EngineError>,
    unreadable: Option<io::Error>,
}

impl Catalogue {
    /// Opens every engine of the directory. Without one: of that of the server module itself, and then of [`INSTALLED`], of
    /// which a file counts whose name the first one does not have. It runs nothing, as gangway.h demands of an engine that
    /// only states what it has.
    #[must_use]
    pub fn search(directory: Option<&Path>) -> Self {
        let directories = match directory {
            Some(directory) => vec![directory.to_path_buf()],
            None => places(own_directory(), Path::new(INSTALLED)),
        };
        Self::search_all(directories)
    }

    fn search_all(directories: Vec<PathBuf>) -> Self {
        // Before any code of an engine.
        sys::umask::note();
        let (mut files, mut unreadable) = (Vec::<PathBuf>::new(), None);
        for directory in &directories {
            match engines_in(directory) {
                Ok(found) => {
                    let known: Vec<_> =
                        files.iter().filter_map(|file| file.file_name().map(ToOwned::to_owned)).collect();
                    let is_new = |file: &PathBuf| !known.iter().any(|name| file.file_name() == Some(name));
                    files.extend(found.into_iter().filter(is_new));
                }
                Err(error) => unreadable = Some(error),
            }
        }
        let mut found = Self { directories, engines: Vec::new(), refused: Vec::new(), unreadable };
        for file in files {
            match Engine::open(&file) {
                Ok(engine) => found.engines.push((file.into(), engine.interfaces().to_vec())),
                Err(error) => found.refused.push(error),
            }
        }
        found
    }

    /// The engine that has the interface.
    ///
    /// # Errors
    /// When there is none, with the reasons of those that were refused, or more than one.
    pub fn interface(&self, name: &str) -> Result<(&Arc<Path>, &Interface), EngineError> {
        let mut matching = self.engines.iter().filter_map(|(file, interfaces)| {
            Some((file, interfaces.iter().find(|interface| interface.name == name)?))
        });
        let Some((file, interface)) = matching.next() else { return Err(self.missing(name)) };
        if let Some((other, _)) = matching.next() {
            let text = format!(
                "both {} and {} have the interface \"{name}\"; remove one of them",
                file.display(),
                other.display()
            );
            return Err(EngineError::Interface { code: ENGINE_TWICE, text });
        }
        Ok((file, interface))
    }

    fn missing(&self, name: &str) -> EngineError {
        let mut refused = self.refused.iter();
        if let Some(first) = refused.next() {
            let more: String = refused.map(|error| format!("; {error}")).collect();
            let text = format!("{first}{more}; no other engine has the interface \"{name}\"");
            return EngineError::Interface { code: first.code(), text };
        }
        let places: Vec<_> =
            self.directories.iter().map(|directory| directory.display().to_string()).collect();
        let places = places.join(" or ");
        let cause = match &self.unreadable {
            _ if !self.engines.is_empty() => "none of the files gangway_*.so has it".to_owned(),
            Some(error) => format!("the directory cannot be read ({error})"),
            None => "there is no file gangway_*.so".to_owned(),
        };
        let text = format!(
            "no engine in {places} has the interface \"{name}\": {cause}; install the engine there or name its directory"
        );
        EngineError::Interface { code: ENGINE_MISSING, text }
    }

    /// A line for each engine that was refused, whether or not it is needed.
    pub fn refusals(&self) -> impl Iterator<Item = String> {
        self.refused.iter().map(|error| format!("{} {error}", error.code()))
    }
}

/// Where engines are if nobody says it. The second place may be missing, and may be the first one.
fn places(own: Option<PathBuf>, installed: &Path) -> Vec<PathBuf> {
    let mut places = vec![own.unwrap_or_else(|| PathBuf::from("."))];
    if installed.is_dir() && !places.iter().any(|place| place == installed) {
        places.push(installed.to_path_buf());
    }
    places
}

/// The files of engines in a directory, in the order of their names: that of the file system is none.
fn engines_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory)?;
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| is_engine(path));
    files.sort();
    Ok(files)
}

/// `gangway_NAME.so`. What has a further `_`, as `gangway_NAME_PART.so`, is a part of an engine, which opens it itself.
fn is_engine(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = name.strip_prefix("gangway_").and_then(|name| name.strip_suffix(".so"));
    name.is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_known_by_their_names() {
        for (name, expected) in [
            ("gangway_python.so", true),
            ("gangway_php8.so", true),
            ("gangway_python_abi3.so", false),
            ("gangway_.so", false),
            ("gangway_python.so.new", false),
            ("ngx_http_gangway_module.so", false),
            ("mod_gangway.so", false),
        ] {
            assert_eq!(is_engine(&Path::new("/usr/lib").join(name)), expected, "{name}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "dlopen(3), and the umask of a real process")]
    fn what_packages_install_is_the_second_place() {
        let (own, installed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (own, installed) = (own.path(), installed.path());
        assert_eq!(places(Some(own.into()), installed), [own, installed]);
        assert_eq!(places(Some(own.into()), own), [own]);
        assert_eq!(places(Some(own.into()), &own.join("none")), [own]);
        for file in [own.join("gangway_a.so"), installed.join("gangway_a.so"), installed.join("gangway_b.so")]
        {
            std::fs::write(file, "no engine").unwrap();
        }
        // What is refused has been looked at.
        let found = Catalogue::search_all(vec![own.into(), installed.into()]);
        let refused: Vec<_> = found.refusals().collect();
        assert_eq!(refused.len(), 2, "{refused:?}");
        assert!(refused[0].contains(own.join("gangway_a.so").to_str().unwrap()), "{refused:?}");
        assert!(refused[1].contains(installed.join("gangway_b.so").to_str().unwrap()), "{refused:?}");
        let error = found.interface("wsgi").unwrap_err().to_string();
        assert!(error.contains("no other engine has the interface"), "{error}");
    }

    #[test]
    #[cfg_attr(miri, ignore = "dlopen(3), and the umask of a real process")]
    fn a_missing_engine_is_told_with_every_place() {
        let (own, installed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let found = Catalogue::search_all(vec![own.path().into(), installed.path().into()]);
        let error = found.interface("wsgi").unwrap_err().to_string();
        let places = format!("no engine in {} or {} has", own.path().display(), installed.path().display());
        assert!(error.contains(&places) && error.contains("there is no file gangway_*.so"), "{error}");
    }
}
