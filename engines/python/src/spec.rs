// SPDX-License-Identifier: MIT OR Apache-2.0
//! One application specification: what the administrator wrote, checked for form.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use gangway_abi::{
    bytes::{borrow, options},
    ffi::gw_app_spec,
};

/// A line that names the cause and the cure.
pub(crate) type Refusal = String;

/// The package that handlers of phases begin with, which is the engine's own.
const HANDLERS: &str = "mod_python";

/// What the administrator wrote for one application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) target: Target,
    pub(crate) root: Option<PathBuf>,
    pub(crate) venv: Option<PathBuf>,
    pub(crate) python: Option<PathBuf>,
    pub(crate) env: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) env_file: Option<PathBuf>,
    pub(crate) debug: bool,
    /// Which event loop, and whether it has a lifespan, for ASGI.
    pub(crate) event_loop: Option<&'static str>,
    pub(crate) lifespan: Option<&'static str>,
    /// Words for the runtime alone, with their names.
    pub(crate) words: Vec<(&'static [u8], Vec<u8>)>,
}

/// Where the callable is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// `package.module:callable`
    Module(String),
    /// `/path/file.py:callable`
    File(PathBuf),
}

impl Spec {
    /// An application of which nothing else was said.
    pub(crate) fn new(name: String, target: Target) -> Self {
        Self {
            name,
            target,
            root: None,
            venv: None,
            python: None,
            env: Vec::new(),
            env_file: None,
            debug: false,
            event_loop: None,
            lifespan: None,
            words: Vec::new(),
        }
    }

    /// # Safety
    /// `raw` is a specification as include/gangway.h describes it.
    pub(crate) unsafe fn read(raw: &gw_app_spec) -> Result<Self, Refusal> {
        if raw.struct_size < size_of::<gw_app_spec>() {
            return Err("the server module's specification is shorter than that of ABI 1.0".to_owned());
        }
        // SAFETY: the caller guarantees the fields of the specification.
        let (interface, target, name) =
            unsafe { (borrow(raw.interface_name), borrow(raw.target), borrow(raw.name)) };
        let target = match interface {
            b"wsgi" | b"asgi" => Target::parse(target)?,
            b"handlers" => Target::Module(HANDLERS.to_owned()),
            other => {
                return Err(format!(
                    "the Python engine has no interface \"{}\"; it has \"wsgi\", \"asgi\" and \"handlers\"",
                    String::from_utf8_lossy(other)
                ));
            }
        };
        let mut spec = Self::new(String::from_utf8_lossy(name).into_owned(), target);
        if interface == b"asgi" {
            (spec.event_loop, spec.lifespan) = (Some("auto"), Some("auto"));
        }
        // SAFETY: the caller guarantees the options.
        for (key, value) in unsafe { options(raw) } {
            spec.set(key, value)?;
        }
        Ok(spec)
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), Refusal> {
        let path = || Some(PathBuf::from(OsStr::from_bytes(value)));
        let slot = match key {
            b"root" => &mut self.root,
            b"venv" => &mut self.venv,
            b"python" => &mut self.python,
            b"env_file" => &mut self.env_file,
            b"env" => {
                self.env.push(variable(value)?);
                return Ok(());
            }
            b"path" | b"import" | b"handler" if self.target == Target::Module(HANDLERS.to_owned()) => {
                let word: &'static [u8] = match key {
                    b"path" => b"path",
                    b"import" => b"import",
                    _ => b"handler",
                };
                self.words.push((word, value.to_vec()));
                return Ok(());
            }
            b"debug" => {
                self.debug = switch(value)?;
                return Ok(());
            }
            b"loop" if self.event_loop.is_some() => {
                self.event_loop = Some(one_of("loop", value, &["auto", "asyncio", "uvloop"])?);
                return Ok(());
            }
            b"lifespan" if self.lifespan.is_some() => {
                self.lifespan = Some(one_of("lifespan", value, &["auto", "on", "off"])?);
                return Ok(());
            }
            b"startup_timeout" | b"disconnect_timeout" if self.lifespan.is_some() => {
                let is_startup = key == b"startup_timeout";
                let word: &'static [u8] = if is_startup { b"startup_timeout" } else { b"disconnect_timeout" };
                self.words.push((word, value.to_vec()));
                return Ok(());
            }
            _ => {
                return Err(format!(
                    "unknown option \"{}\"; the Python engine knows root, venv, python, env, env_file and debug",
                    String::from_utf8_lossy(key)
                ));
            }
        };
        let word = String::from_utf8_lossy(key);
        if value.is_empty() {
            return Err(format!("{word}= is empty; give it a value or leave it out"));
        }
        if slot.is_some() {
            return Err(format!("{word}= is given twice; keep one"));
        }
        *slot = path();
        Ok(())
    }

    /// The folder that this application adds to `sys.path`.
    pub(crate) fn search_root(&self) -> Option<&Path> {
        match (&self.root, &self.target) {
            (Some(root), _) => Some(root),
            (None, Target::File(file)) => file.parent(),
            (None, Target::Module(_)) => None,
        }
    }

    /// The name in `sys.modules` that this application's module has, up to the first dot; `None` for a file that
    /// `import` would never find.
    pub(crate) fn top_module(&self) -> Option<&str> {
        match &self.target {
            Target::Module(module) => module.split('.').next(),
            Target::File(file) if file.extension() == Some(OsStr::new("py")) => {
                (file.parent() == self.search_root()).then(|| file.file_stem()?.to_str()).flatten()
            }
            Target::File(_) => None,
        }
    }
}

impl Target {
    fn parse(raw: &[u8]) -> Result<Self, Refusal> {
        let text =
            str::from_utf8(raw).map_err(|_| format!("\"{}\" is not UTF-8", String::from_utf8_lossy(raw)))?;
        let form = "write MODULE:CALLABLE, such as blog.wsgi:application, or /path/file.py:CALLABLE";
        let Some((place, callable)) = text.rsplit_once(':') else {
            return Err(if text.starts_with('/') {
                format!("\"{text}\" names no callable; write {text}:application")
            } else if dotted(text) {
                format!(
                    "\"{text}\" names no callable; write {text}:application, or whatever it is called there"
                )
            } else {
                format!("\"{text}\" is not a target; {form}")
            });
        };
        if !dotted(callable) {
            return Err(format!("\"{callable}\" in \"{text}\" is not the name of a callable; {form}"));
        }
        if place.starts_with('/') {
            return Ok(Self::File(PathBuf::from(place)));
        }
        if dotted(place) {
            return Ok(Self::Module(place.to_owned()));
        }
        Err(match place.strip_suffix(".py") {
            Some(stem) if place.contains('/') => {
                let module = stem.trim_start_matches("./").replace('/', ".");
                format!(
                    "\"{place}\" is a relative path; write its full path, or the module {module}:{callable} with root="
                )
            }
            _ => format!("\"{place}\" in \"{text}\" is not the name of a module; {form}"),
        })
    }
}

/// Whether `text` is identifiers with dots between them.
fn dotted(text: &str) -> bool {
    text.split('.').all(|part| {
        let mut chars = part.chars();
        chars.next().is_some_and(|first| first == '_' || first.is_alphabetic())
            && chars.all(|char| char == '_' || char.is_alphanumeric())
    })
}

/// `NAME=VALUE` of `env=`.
pub(crate) fn variable(text: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Refusal> {
    let split = text.iter().position(|byte| *byte == b'=').filter(|at| *at > 0);
    let Some(at) = split.filter(|_| !text.contains(&0)) else {
        return Err(format!("env={} is not of the form env=NAME=VALUE", String::from_utf8_lossy(text)));
    };
    Ok((text[..at].to_vec(), text[at + 1..].to_vec()))
}

fn one_of(key: &str, value: &[u8], words: &[&'static str]) -> Result<&'static str, Refusal> {
    let known = words.iter().find(|word| word.as_bytes() == value);
    known
        .copied()
        .ok_or_else(|| format!("{key}={} is none of {}", String::from_utf8_lossy(value), words.join(", ")))
}

fn switch(value: &[u8]) -> Result<bool, Refusal> {
    match value {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(format!("debug={} is neither on nor off", String::from_utf8_lossy(value))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Result<Target, Refusal> {
        Target::parse(text.as_bytes())
    }

    #[test]
    fn modules_and_files_are_targets() {
        assert_eq!(target("app:app"), Ok(Target::Module("app".into())));
        assert_eq!(target("blog.wsgi:site.application"), Ok(Target::Module("blog.wsgi".into())));
        assert_eq!(target("/srv/a.b/app.py:app"), Ok(Target::File("/srv/a.b/app.py".into())));
        assert_eq!(target("/srv/x:y/app.wsgi:app"), Ok(Target::File("/srv/x:y/app.wsgi".into())));
        assert_eq!(target("h\u{e9}:app"), Ok(Target::Module("h\u{e9}".into())));
    }

    #[test]
    fn a_wrong_target_is_told_the_right_form() {
        for (wrong, hint) in [
            ("app", "write app:application"),
            ("/srv/app.py", "write /srv/app.py:application"),
            ("app:", "not the name of a callable"),
            (":app", "not the name of a module"),
            ("a..b:app", "not the name of a module"),
            ("1app:app", "not the name of a module"),
            ("app:app()", "not the name of a callable"),
            ("./blog/wsgi.py:app", "the module blog.wsgi:app with root="),
            ("a b", "is not a target"),
        ] {
            let refusal = target(wrong).expect_err(wrong);
            assert!(refusal.contains(hint), "{wrong}: {refusal}");
        }
        assert!(Target::parse(b"\xff:app").is_err());
    }

    #[test]
    fn variables_need_a_name() {
        assert_eq!(variable(b"A=b=c"), Ok((b"A".to_vec(), b"b=c".to_vec())));
        assert_eq!(variable(b"A="), Ok((b"A".to_vec(), Vec::new())));
        assert!(variable(b"=b").is_err());
        assert!(variable(b"A").is_err());
        assert!(variable(b"A=\0").is_err());
    }

    #[test]
    fn the_top_module_of_a_file_is_what_import_would_call_it() {
        let mut spec = Spec::new(String::new(), Target::File("/srv/a/app.py".into()));
        assert_eq!(spec.top_module(), Some("app"));
        spec.root = Some("/srv".into());
        assert_eq!(spec.top_module(), None, "/srv/a is not on the search path");
        spec.target = Target::File("/srv/app.wsgi".into());
        assert_eq!(spec.top_module(), None);
        spec.target = Target::Module("blog.wsgi".into());
        assert_eq!(spec.top_module(), Some("blog"));
    }
}
