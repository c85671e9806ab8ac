// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which applications can share a process: it has one interpreter, one `sys.path`, one `sys.modules` and one
//! `os.environ`.

use std::path::{Path, PathBuf};

use crate::{
    env_file,
    libpython::canonical,
    spec::{Refusal, Spec},
    venv::{Environment, environment},
};

/// A specification with everything that follows from it.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) spec: Spec,
    pub(crate) environment: Environment,
    /// Of `env_file=` and `env=`, in this order; the last word on a name counts.
    pub(crate) variables: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The environments of several specifications. To find one takes hundreds of looks at the file system, and all
/// applications of a process have the same.
#[derive(Default)]
pub(crate) struct Environments(Vec<(Option<PathBuf>, Option<PathBuf>, Environment)>);

impl Environments {
    fn of(&mut self, spec: &Spec) -> Result<Environment, Refusal> {
        let Spec { venv, python, .. } = spec;
        if let Some((.., known)) = self.0.iter().find(|known| known.0 == *venv && known.1 == *python) {
            return Ok(known.clone());
        }
        let found = environment(venv.as_deref(), python.as_deref())?;
        self.0.push((venv.clone(), python.clone(), found.clone()));
        Ok(found)
    }
}

impl Plan {
    /// Looks at the files that the specification names.
    pub(crate) fn make(spec: Spec, known: &mut Environments) -> Result<Self, Refusal> {
        let environment = known.of(&spec)?;
        let mut variables = Vec::new();
        let of_file = match &spec.env_file {
            Some(path) => env_file::read(path)?,
            None => Vec::new(),
        };
        for (name, value) in of_file.iter().chain(&spec.env) {
            variables.retain(|(known, _)| known != name);
            variables.push((name.clone(), value.clone()));
        }
        Ok(Self { spec, environment, variables })
    }

    /// Refuses two specifications that cannot share a process.
    pub(crate) fn check_sharing(&self, other: &Self) -> Result<(), Refusal> {
        self.check_environment(other)?;
        self.check_modules(other)?;
        self.check_variables(other)
    }

    fn check_environment(&self, other: &Self) -> Result<(), Refusal> {
        let (own, theirs) = (&self.environment, &other.environment);
        let names = (&self.spec.name, &other.spec.name);
        if own.install.libpython != theirs.install.libpython {
            return Err(format!(
                "\"{}\" needs Python {} ({}) but \"{}\" in the same server needs Python {} ({}); one server process \
                 runs one Python, so give both the same venv= or python=",
                names.0,
                own.install.version,
                own.install.libpython.display(),
                names.1,
                theirs.install.version,
                theirs.install.libpython.display()
            ));
        }
        if own.venv != theirs.venv {
            let shown = |environment: &Environment| match &environment.venv {
                Some(venv) => format!("venv={}", venv.display()),
                None => "no venv=".to_owned(),
            };
            return Err(format!(
                "\"{}\" has {} but \"{}\" in the same server has {}; one server process has one set of packages, so \
                 give both the same venv=",
                names.0,
                shown(own),
                names.1,
                shown(theirs)
            ));
        }
        Ok(())
    }

    fn check_modules(&self, other: &Self) -> Result<(), Refusal> {
        let (Some(own), Some(theirs)) = (self.spec.top_module(), other.spec.top_module()) else {
            return Ok(());
        };
        let roots = (self.spec.search_root().map(canonical), other.spec.search_root().map(canonical));
        if own != theirs || roots.0 == roots.1 {
            return Ok(());
        }
        let shown = |root: Option<&Path>| {
            root.map_or_else(|| "no root=".to_owned(), |root| root.display().to_string())
        };
        Err(format!(
            "\"{}\" ({}) and \"{}\" ({}) both have a module \"{own}\", and one server process has one module of a \
             name; rename one of the two",
            self.spec.name,
            shown(self.spec.search_root()),
            other.spec.name,
            shown(other.spec.search_root())
        ))
    }

    fn check_variables(&self, other: &Self) -> Result<(), Refusal> {
        for (name, value) in &self.variables {
            if other.variables.iter().any(|(theirs, different)| theirs == name && different != value) {
                return Err(format!(
                    "\"{}\" and \"{}\" set the environment variable {} to different values, and one server process \
                     has one environment; give both the same value",
                    self.spec.name,
                    other.spec.name,
                    String::from_utf8_lossy(name)
                ));
            }
        }
        Ok(())
    }
}
