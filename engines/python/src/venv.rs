// SPDX-License-Identifier: MIT OR Apache-2.0
//! `venv=`: from a virtual environment, by its pyvenv.cfg, to the installation that it was made from.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    access,
    libpython::{Install, Version, canonical, install},
    python::{self, prefix_and_version, version_of_prefix},
    spec::Refusal,
};

/// What an application gets: a library to open and the program that it should believe to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Environment {
    pub(crate) install: Install,
    /// `sys.executable`; from it the interpreter finds `sys.prefix` and the packages.
    pub(crate) program: PathBuf,
    /// The virtual environment, canonical; `None` for an installation used as it is.
    pub(crate) venv: Option<PathBuf>,
}

/// The environment of a specification.
pub(crate) fn environment(venv: Option<&Path>, word: Option<&Path>) -> Result<Environment, Refusal> {
    let Some(venv) = venv else {
        let install = word.map_or_else(python::system, python::named)?;
        return Ok(plain(install));
    };
    let Some(config) = read_config(venv)? else {
        // conda and its kin call an environment what is a whole installation.
        return Ok(plain(install(venv, version_of_prefix(venv)?)?));
    };
    let version =
        config.version(venv)?.check().map_err(|refusal| format!("venv={}: {refusal}", venv.display()))?;
    let install = match word {
        Some(word) => {
            let found = python::named(word)?;
            if found.version != version {
                return Err(format!(
                    "python={} is Python {}, but venv={} was made for {version}; remove python= or make the virtual \
                     environment again",
                    word.display(),
                    found.version,
                    venv.display()
                ));
            }
            found
        }
        None => base_install(venv, &config, version)?,
    };
    Ok(Environment { install, program: venv_program(venv, version), venv: Some(canonical(venv)) })
}

fn plain(install: Install) -> Environment {
    let Version(major, _) = install.version;
    let bin = install.prefix.join("bin");
    let names = [format!("python{}", install.version), format!("python{major}"), "python".to_owned()];
    let program = names.iter().map(|name| bin.join(name)).find(|path| path.exists());
    Environment { program: program.unwrap_or_else(|| bin.join(&names[0])), install, venv: None }
}

/// The lines `key = value` of pyvenv.cfg that are of interest.
#[derive(Debug, Default)]
struct Config {
    home: Option<PathBuf>,
    version: Option<String>,
    implementation: Option<String>,
    /// Programs and prefixes of the base installation that tools other than `python -m venv` note down.
    programs: Vec<PathBuf>,
    prefixes: Vec<PathBuf>,
}

impl Config {
    fn parse(text: &str) -> Self {
        let mut config = Self::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            let value = value.trim();
            match key.trim().to_ascii_lowercase().as_str() {
                "home" => config.home = Some(value.into()),
                "version" | "version_info" => config.version = Some(value.to_owned()),
                "implementation" => config.implementation = Some(value.to_owned()),
                "executable" | "base-executable" => config.programs.push(value.into()),
                "base-prefix" | "base-exec-prefix" => config.prefixes.push(value.into()),
                _ => {}
            }
        }
        config
    }

    fn version(&self, venv: &Path) -> Result<Version, Refusal> {
        if let Some(other) = self.implementation.as_ref().filter(|name| !name.eq_ignore_ascii_case("cpython"))
        {
            return Err(format!(
                "venv={} is made for {other}; the Python engine runs CPython, so make it with python3 -m venv",
                venv.display()
            ));
        }
        let noted = self.version.as_deref().and_then(Version::parse);
        noted.map_or_else(|| version_of_prefix(venv), Ok)
    }
}

/// The file's content; `None` for an installation that has no such file and needs none.
fn read_config(venv: &Path) -> Result<Option<Config>, Refusal> {
    let path = venv.join("pyvenv.cfg");
    let shown = venv.display();
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(Config::parse(&text))),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("cannot read {}: {error}; {}", path.display(), access::advice(&path, &error)))
        }
        Err(_) if venv.join("conda-meta").is_dir() => Ok(None),
        Err(_) if venv.is_dir() => Err(format!(
            "venv={shown} is not a virtual environment, for it has no pyvenv.cfg; make one with: python3 -m venv {shown}"
        )),
        Err(_) => Err(format!(
            "venv={shown} does not exist; correct the path, or make it with: python3 -m venv {shown}"
        )),
    }
}

/// Where the base installation may be, in the order of how much each note is to be trusted.
fn base_install(venv: &Path, config: &Config, version: Version) -> Result<Install, Refusal> {
    let mut miss = None;
    for prefix in prefixes(venv, config, version) {
        match install(&prefix, version) {
            Ok(found) => return Ok(found),
            Err(refusal) => {
                miss.get_or_insert(refusal);
            }
        }
    }
    Err(without_base(venv, config, version, miss))
}

/// Where the installation may be, the likeliest first.
fn prefixes(venv: &Path, config: &Config, version: Version) -> Vec<PathBuf> {
    let mut prefixes: Vec<PathBuf> = Vec::new();
    let mut add = |prefix: Option<&Path>| {
        if let Some(prefix) = prefix.filter(|prefix| prefix.is_dir()) {
            prefixes.extend((!prefixes.iter().any(|known| known == prefix)).then(|| prefix.to_owned()));
        }
    };
    let links = ["bin/python", "bin/python3"].map(|program| canonical(&venv.join(program)));
    let inside = canonical(venv);
    let programs = links.iter().filter(|link| !link.starts_with(&inside)).chain(&config.programs);
    for program in programs {
        let real = canonical(program);
        add(prefix_and_version(&real)
            .filter(|found| found.1 == version)
            .as_ref()
            .map(|found| found.0.as_path()));
    }
    for prefix in &config.prefixes {
        add(Some(prefix));
    }
    if let Some(home) = &config.home {
        // `home` may itself be a folder of links to the installation.
        for name in [format!("python{version}"), "python3".to_owned()] {
            let real = canonical(&home.join(name));
            add(prefix_and_version(&real)
                .filter(|found| found.1 == version)
                .as_ref()
                .map(|found| found.0.as_path()));
        }
        add(home.parent());
    }
    prefixes
}

/// Why there is none; `miss` is what was wrong with the likeliest place.
fn without_base(venv: &Path, config: &Config, version: Version, miss: Option<Refusal>) -> Refusal {
    let shown = venv.display();
    let paths = ["bin/python", "bin/python3"].map(|program| venv.join(program));
    let noted = config.programs.iter().chain(&config.prefixes).chain(&config.home);
    if let Some(folder) = access::first_closed(paths.iter().chain(noted).map(PathBuf::as_path)) {
        return format!(
            "venv={shown} was made from Python {version}, which cannot be reached: {}, or make the virtual environment \
             from a Python elsewhere",
            access::cure(&folder)
        );
    }
    miss.map_or_else(
        || {
            let home = config.home.as_deref().unwrap_or_else(|| Path::new("(none)"));
            format!(
                "venv={shown} was made from Python {version} in {}, which is not there any more; make it again with: \
                 python3 -m venv --clear {shown}",
                home.display()
            )
        },
        |refusal| format!("venv={shown}: {refusal}"),
    )
}

fn venv_program(venv: &Path, version: Version) -> PathBuf {
    let bin = venv.join("bin");
    let names = ["python".to_owned(), "python3".to_owned(), format!("python{version}")];
    let found = names.iter().map(|name| bin.join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| bin.join("python"))
}
