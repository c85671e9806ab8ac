// SPDX-License-Identifier: MIT OR Apache-2.0
//! `python=` and the system's Python: from a version, a prefix, a program or a library to an installation.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use crate::{
    access,
    libpython::{Install, Version, canonical, install, is_elf},
    spec::Refusal,
};

/// Where programs are when PATH does not say: a server started at boot often has none.
const USUAL_BINS: [&str; 5] =
    ["/usr/local/bin", "/usr/bin", "/bin", "/opt/python/bin", "/usr/local/opt/python/bin"];

/// What `python=` names.
pub(crate) fn named(word: &Path) -> Result<Install, Refusal> {
    let text = word.to_string_lossy();
    if !text.contains('/') {
        return match Version::parse(&text).filter(|version| version.to_string() == text) {
            Some(version) => by_version(version.check()?),
            None if text == "3" => system(),
            None => Err(wrong_word(&text)),
        };
    }
    match fs::metadata(word) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(format!("python={text} cannot be reached: {}", access::advice(word, &error)))
        }
        Err(error) => {
            Err(format!("python={text}: {error}; give a version such as 3.12, a prefix, or a libpython"))
        }
        Ok(found) if found.is_dir() => by_prefix(word),
        Ok(_) if file_name(word).starts_with("libpython") => by_library(word),
        Ok(_) if file_name(word).starts_with("python") => by_program(word),
        Ok(_) => Err(wrong_word(&text)),
    }
}

/// The Python that a shell would start as `python3`.
pub(crate) fn system() -> Result<Install, Refusal> {
    search("python3").unwrap_or_else(|| {
        Err("there is no python3 on this machine's PATH; install Python, or name one with venv= or python=".to_owned())
    })
}

fn wrong_word(text: &str) -> Refusal {
    format!(
        "python={text} is neither a version such as 3.12, nor the prefix of an installation, nor the path of a \
         libpython or of a python program"
    )
}

fn by_version(version: Version) -> Result<Install, Refusal> {
    let program = format!("python{version}");
    let miss = match search(&program) {
        Some(Ok(found)) if found.version == version => return Ok(found),
        Some(Err(refusal)) => Some(refusal),
        _ => None,
    };
    if let Some(found) = version_folders().iter().find_map(|folder| in_version_folder(folder, version)) {
        return Ok(found);
    }
    Err(miss.unwrap_or_else(|| {
        format!(
            "Python {version} is not installed where it was looked for (PATH, /usr/bin, /usr/local/bin); \
                 give its prefix, such as python=/opt/python{version}"
        )
    }))
}

/// The first installation that has `program`; else why the first candidate is none; `None` if there is no
/// candidate.
fn search(program: &str) -> Option<Result<Install, Refusal>> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut miss = None;
    for bin in env::split_paths(&path).chain(USUAL_BINS.map(PathBuf::from)) {
        let candidate = bin.join(program);
        // Shims are scripts that choose at run time; what they choose among is in version_folders().
        if !is_elf(&candidate).unwrap_or(false) {
            continue;
        }
        match by_program(&candidate) {
            Ok(found) => return Some(Ok(found)),
            Err(refusal) => {
                miss.get_or_insert(refusal);
            }
        }
    }
    miss.map(Err)
}

/// Folders with one installation per version below them, as pyenv and uv keep them.
fn version_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    folders.extend(env::var_os("PYENV_ROOT").map(|root| Path::new(&root).join("versions")));
    folders.extend(env::var_os("UV_PYTHON_INSTALL_DIR").map(PathBuf::from));
    for bin in env::split_paths(&env::var_os("PATH").unwrap_or_default()) {
        if bin.ends_with("shims") {
            folders.extend(bin.parent().map(|root| root.join("versions")));
        }
    }
    if let Some(home) = env::var_os("HOME") {
        folders.push(Path::new(&home).join(".pyenv/versions"));
        folders.push(Path::new(&home).join(".local/share/uv/python"));
    }
    folders
}

fn in_version_folder(folder: &Path, version: Version) -> Option<Install> {
    let mut prefixes: Vec<_> = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    // The newest patch release first: 3.12.10 is newer than 3.12.9.
    prefixes.sort_by_key(|path| std::cmp::Reverse(patch_release(path)));
    prefixes.iter().find_map(|prefix| install(prefix, version).ok())
}

fn patch_release(prefix: &Path) -> u32 {
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
    file_name(prefix).split('.').nth(2).and_then(|patch| digits(patch).parse().ok()).unwrap_or(0)
}

fn by_prefix(prefix: &Path) -> Result<Install, Refusal> {
    if prefix.join("pyvenv.cfg").exists() {
        return Err(format!("python={0} is a virtual environment; write venv={0}", prefix.display()));
    }
    install(prefix, version_of_prefix(prefix)?)
}

/// The version of an installation: what its `bin/python3` is, or the only one that it has.
pub(crate) fn version_of_prefix(prefix: &Path) -> Result<Version, Refusal> {
    for program in ["bin/python3", "bin/python"] {
        let real = canonical(&prefix.join(program));
        if let Some(version) = Version::in_name(&real, "python") {
            return version.check();
        }
    }
    if let Some(folder) = access::first_closed([prefix.join("bin").as_path(), prefix.join("lib").as_path()]) {
        return Err(format!("Python in {} cannot be reached: {}", prefix.display(), access::cure(&folder)));
    }
    let mut versions = Vec::new();
    for lib in ["lib", "lib64"] {
        for entry in fs::read_dir(prefix.join(lib)).into_iter().flatten().flatten() {
            let path = entry.path();
            let version = Version::in_name(&path, "python").filter(|_| path.join("os.py").exists());
            versions.extend(version.filter(|version| !versions.contains(version)));
        }
    }
    match versions.as_slice() {
        [version] => version.check(),
        [] => Err(format!(
            "there is no Python in {0}: neither {0}/bin/python3 nor {0}/lib/python3.x exists; give the prefix of \
             an installation",
            prefix.display()
        )),
        _ => Err(format!(
            "{} holds several Pythons; give the path of the libpython or of the program instead",
            prefix.display()
        )),
    }
}

fn by_program(program: &Path) -> Result<Install, Refusal> {
    let real = canonical(program);
    let (prefix, version) = prefix_and_version(&real).ok_or_else(|| {
        format!("cannot tell the version of {}; name its libpython with python=", program.display())
    })?;
    install(&prefix, version)
}

/// From `/usr/bin/python3.11` to `/usr` and 3.11.
pub(crate) fn prefix_and_version(program: &Path) -> Option<(PathBuf, Version)> {
    let prefix = program.parent()?.parent()?;
    let version = Version::in_name(program, "python").or_else(|| version_of_prefix(prefix).ok())?;
    Some((prefix.to_owned(), version))
}

fn by_library(library: &Path) -> Result<Install, Refusal> {
    let path = library.display();
    if !is_elf(library).map_err(|error| format!("cannot read {path}: {error}; check its permissions"))? {
        return Err(format!("{path} is not a shared library"));
    }
    let real = canonical(library);
    let version = Version::in_name(&real, "libpython").ok_or_else(|| {
        format!("{path} has no version in its name; give the file that is called libpython3.x.so.1.0")
    })?;
    if file_name(&real).contains(&format!("{version}t.")) {
        return Err(format!(
            "{path} is a free-threaded build, which the stable ABI does not cover; use libpython{version}.so"
        ));
    }
    version.check()?;
    let home = real.ancestors().skip(1).find(|folder| {
        ["lib", "lib64"].iter().any(|lib| folder.join(lib).join(format!("python{version}")).is_dir())
    });
    let prefix = home.ok_or_else(|| {
        format!("{path} has no lib/python{version} in a folder above it; name the prefix of its installation instead")
    })?;
    Ok(Install { version, prefix: prefix.to_owned(), libpython: real })
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
