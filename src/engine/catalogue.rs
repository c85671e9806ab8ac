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

/// What a search of the directory has found. Made while a configuration is read, when a directive needs an engine.
#[derive(Debug)]
pub struct Catalogue {
    directory: PathBuf,
    engines: Vec<(Arc<Path>, Vec<Interface>)>,
    refused: Vec<EngineError>,
    unreadable: Option<io::Error>,
}

impl Catalogue {
    /// Opens every engine of the directory, that of the server module itself without another one: it runs nothing, as
    /// gangway.h demands of an engine that only states what it has.
    #[must_use]
    pub fn search(directory: Option<&Path>) -> Self {
        // Before any code of an engine.
        sys::umask::note();
        let directory =
            directory.map(Path::to_path_buf).or_else(own_directory).unwrap_or_else(|| PathBuf::from("."));
        let mut found = Self { directory, engines: Vec::new(), refused: Vec::new(), unreadable: None };
        let mut files = match std::fs::read_dir(&found.directory) {
            Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
            Err(error) => {
                found.unreadable = Some(error);
                Vec::new()
            }
        };
        files.retain(|path| is_engine(path));
        // The order of the file system is none.
        files.sort();
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
        let directory = self.directory.display();
        let cause = match &self.unreadable {
            Some(error) => format!("the directory cannot be read ({error})"),
            None if self.engines.is_empty() => "there is no file gangway_*.so".to_owned(),
            None => "none of the files gangway_*.so has it".to_owned(),
        };
        let text = format!(
            "no engine in {directory} has the interface \"{name}\": {cause}; install the engine there or name its directory"
        );
        EngineError::Interface { code: ENGINE_MISSING, text }
    }

    /// A line for each engine that was refused, whether or not it is needed.
    pub fn refusals(&self) -> impl Iterator<Item = String> {
        self.refused.iter().map(|error| format!("{} {error}", error.code()))
    }
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
    use super::is_engine;
    use std::path::Path;

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
}
