// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the shared library of a Python installation by looking at files; no Python is run for it.

use std::{
    fmt, fs, io,
    io::Read,
    path::{Path, PathBuf},
};

use crate::{access, spec::Refusal};

/// A Python version, major and minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u32, pub(crate) u32);

/// The oldest version whose stable ABI the runtime is made for.
pub(crate) const OLDEST: Version = Version(3, 9);

/// An installation with a shared library that can be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Install {
    pub(crate) version: Version,
    /// Where `bin/` and `lib/pythonX.Y/` are.
    pub(crate) prefix: PathBuf,
    /// Canonical, so that two ways to write it are one library.
    pub(crate) libpython: PathBuf,
}

impl Version {
    /// The first two numbers of `3.12`, `3.12.1` or `3.12.1.final.0`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('.');
        let major = parts.next()?.parse().ok()?;
        let minor: String = parts.next()?.chars().take_while(char::is_ascii_digit).collect();
        Some(Self(major, minor.parse().ok()?))
    }

    /// The version in a file name that begins with `stem`: `python3.12`, `libpython3.12.so.1.0`.
    pub(crate) fn in_name(path: &Path, stem: &str) -> Option<Self> {
        Self::parse(path.file_name()?.to_str()?.strip_prefix(stem)?)
    }

    pub(crate) fn check(self) -> Result<Self, Refusal> {
        if self < OLDEST {
            return Err(format!(
                "Python {self} is too old; the Python engine needs {OLDEST} or later, so make the virtual environment \
                 with a newer Python"
            ));
        }
        Ok(self)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The installation below `prefix`, if its library is there and can be read.
pub(crate) fn install(prefix: &Path, version: Version) -> Result<Install, Refusal> {
    version.check()?;
    let mut unreadable = None;
    for folder in library_folders(prefix, version) {
        for suffix in ["so.1.0", "so.1", "so"] {
            let path = folder.join(format!("libpython{version}.{suffix}"));
            match is_elf(&path) {
                Ok(true) => {
                    check_stdlib(prefix, version)?;
                    return Ok(Install { version, prefix: prefix.to_owned(), libpython: canonical(&path) });
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    unreadable.get_or_insert((path, error));
                }
                Ok(false) | Err(_) => {}
            }
        }
    }
    if let Some((path, error)) = unreadable {
        return Err(format!("cannot read {}: {error}; {}", path.display(), access::advice(&path, &error)));
    }
    if let Some(folder) = access::closed(&prefix.join("lib")) {
        return Err(format!(
            "Python {version} in {} cannot be reached: {}",
            prefix.display(),
            access::cure(&folder)
        ));
    }
    Err(format!(
        "Python {version} in {} has no shared library libpython{version}.so; install the package \
         libpython{version} (Debian) or build Python with --enable-shared",
        prefix.display()
    ))
}

/// An interpreter that cannot read its standard library ends the whole process, so this is found out before.
fn check_stdlib(prefix: &Path, version: Version) -> Result<(), Refusal> {
    let places =
        ["lib", "lib64"].map(|lib| prefix.join(lib).join(format!("python{version}/encodings/__init__.py")));
    let zip = prefix.join(format!("lib/python{}{}.zip", version.0, version.1));
    let mut reason = None;
    for place in places.iter().chain([&zip]) {
        match fs::File::open(place) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => reason = Some((place, error)),
            Err(_) => {}
        }
    }
    Err(match reason {
        Some((place, error)) => {
            format!("cannot read {}: {error}; {}", place.display(), access::advice(place, &error))
        }
        None => format!(
            "Python {version} in {0} has no standard library at {0}/lib/python{version}; repair that installation \
             or choose another one with python=",
            prefix.display()
        ),
    })
}

/// Where the library of an installation may be, most likely first.
fn library_folders(prefix: &Path, version: Version) -> Vec<PathBuf> {
    let mut folders = vec![prefix.join("lib"), prefix.join("lib64")];
    folders.extend(multiarch(&prefix.join("lib")));
    folders.extend(configured_libdir(prefix, version));
    // A distribution may put the library of /usr anywhere that the dynamic linker looks.
    if [Path::new("/usr"), Path::new("/usr/local")].contains(&prefix) {
        folders.extend(["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from));
        folders.extend(multiarch(Path::new("/lib")));
        folders.extend(linker_folders(Path::new("/etc/ld.so.conf"), 0));
    }
    folders
}

/// Debian's `lib/x86_64-linux-gnu` and its like.
fn multiarch(lib: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(lib) else { return Vec::new() };
    let mut found: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().contains("-linux-"))
        .map(|entry| entry.path())
        .collect();
    // A machine may have libraries of several architectures; its own comes first.
    found.sort_by_key(|path| !path.to_string_lossy().contains(std::env::consts::ARCH));
    found
}

/// LIBDIR of the build, from the text of `_sysconfigdata_*.py`.
fn configured_libdir(prefix: &Path, version: Version) -> Option<PathBuf> {
    let stdlib = prefix.join(format!("lib/python{version}"));
    let data = fs::read_dir(stdlib).ok()?.flatten().find(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("_sysconfigdata_") && name.ends_with(".py")
    })?;
    let text = fs::read_to_string(data.path()).ok()?;
    let value = text.split_once("'LIBDIR':")?.1.trim_start();
    let quote = value.chars().next().filter(|char| matches!(char, '\'' | '"'))?;
    let (value, _) = value[1..].split_once(quote)?;
    Some(PathBuf::from(value)).filter(|path| path.is_absolute())
}

/// The folders of ld.so.conf and of what it includes.
fn linker_folders(conf: &Path, depth: u32) -> Vec<PathBuf> {
    let Ok(text) = fs::read_to_string(conf) else { return Vec::new() };
    let mut folders = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(pattern) = line.strip_prefix("include ").map(str::trim) {
            let Some(folder) = Path::new(pattern).parent().filter(|_| depth < 4) else { continue };
            let mut files: Vec<_> =
                fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
            files.sort();
            files.retain(|file| file.extension().is_some_and(|extension| extension == "conf"));
            folders.extend(files.iter().flat_map(|file| linker_folders(file, depth + 1)));
        } else if line.starts_with('/') {
            folders.push(PathBuf::from(line));
        }
    }
    folders
}

/// Whether the file begins as a shared library does: a linker script named libpython3.12.so does not.
pub(crate) fn is_elf(path: &Path) -> io::Result<bool> {
    let mut magic = Vec::new();
    fs::File::open(path)?.take(4).read_to_end(&mut magic)?;
    Ok(magic == b"\x7fELF")
}

/// `path` without symbolic links; as it is where it cannot be resolved.
pub(crate) fn canonical(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
