// SPDX-License-Identifier: MIT OR Apache-2.0
//! The words of the command line: those of a directive, and where to listen.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use gangway::{
    config::{ApplicationConf, Engines, Parser},
    engine::INSTALLED,
    phases::{HandlerPlace, HandlerTerms},
};

use crate::listen::Address;

pub(crate) const USAGE: &str = "usage: gangway-host [--listen ADDRESS] [--engines DIR] [--drain SECONDS] [--check] INTERFACE TARGET [key=value ...]
  A FastCGI server that runs an application.
  ADDRESS    unix:/run/blog.sock, unix:/run/blog.sock,mode=0660 or 127.0.0.1:9000;
             without it the listening socket is descriptor 0 or comes from a .socket unit of systemd
  DIR        where the engines are, instead of beside this program or in /usr/lib/gangway
  SECONDS    how long running requests may take after SIGTERM, 30 without it
  --check    loads the application, says what is wrong with it, and ends
  INTERFACE  wsgi or asgi; handlers for those of mod_python; or native for a shared object that speaks gangway.h
  TARGET     what to run: blog.wsgi:application
  key=value  the options of gangway_wsgi: venv=, root=, threads=, queue=, timeout=, ...
  Example: gangway-host --listen unix:/run/blog.sock wsgi blog.wsgi:application venv=/srv/blog/.venv";

/// Without `--drain`.
const DRAIN: Duration = Duration::from_secs(30);
/// Without `timeout=`.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Command {
    Serve(Box<Serve>),
    /// Print this and end.
    Say(&'static str),
}

#[derive(Debug)]
pub(crate) struct Serve {
    pub(crate) address: Option<Address>,
    /// Processes are forked from this one.
    pub(crate) is_template: bool,
    /// It is only to be seen whether the application can be loaded.
    pub(crate) is_trial: bool,
    /// The web server is one of our modules.
    pub(crate) is_managed: bool,
    /// The account that a server of ours has started this for.
    pub(crate) account: Option<String>,
    pub(crate) drain: Duration,
    pub(crate) config: ApplicationConf,
    /// Handlers that stand in the place of an application.
    pub(crate) handlers: Option<HandlerPlace>,
}

/// Understands the words after the program's name.
///
/// # Errors
/// What is wrong, with the cure.
pub(crate) fn parse(words: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let mut words = words.peekable();
    let (mut address, mut engines, mut drain) = (None, None, DRAIN);
    let (mut is_template, mut is_trial, mut is_managed) = (false, false, false);
    let mut account = None;
    while let Some(option) = words.next_if(|word| word.as_bytes().starts_with(b"-")) {
        let option = option.to_string_lossy().into_owned();
        let (name, inline) =
            option.split_once('=').map_or((option.as_str(), None), |(name, value)| (name, Some(value)));
        let mut value = |example: &str| {
            let next = inline.map(OsString::from).or_else(|| words.next());
            next.ok_or_else(|| format!("{name} needs a value: {name} {example}"))
        };
        match name {
            "--listen" => {
                let word = value("unix:/run/blog.sock")?;
                address =
                    Some(Address::parse(&word.to_string_lossy()).map_err(|why| format!("--listen {why}"))?);
            }
            "--engines" => engines = Some(PathBuf::from(value("/usr/lib/gangway")?)),
            "--drain" => drain = seconds(&value("30")?)?,
            // Not for people: the server modules and gangway-spawn say these.
            "--managed" => is_managed = true,
            "--account" => account = Some(value("blog")?.to_string_lossy().into_owned()),
            "--template" => is_template = true,
            "--check" => is_trial = true,
            "-h" | "--help" => return Ok(Command::Say(USAGE)),
            "-V" | "--version" => {
                return Ok(Command::Say(concat!("gangway-host ", env!("CARGO_PKG_VERSION"))));
            }
            _ => {
                return Err(format!(
                    "unknown option {option}: known are --listen, --engines, --drain, --check, --help and --version, in front of INTERFACE"
                ));
            }
        }
    }
    let words: Vec<OsString> = words.collect();
    let (config, handlers) = application(&words, engines)?;
    Ok(Command::Serve(Box::new(Serve {
        address,
        is_template,
        is_trial,
        is_managed,
        account,
        drain,
        config,
        handlers,
    })))
}

fn seconds(word: &OsStr) -> Result<Duration, String> {
    let number = word
        .to_str()
        .and_then(|text| text.parse::<u32>().ok())
        .filter(|seconds| (1..=86_400).contains(seconds));
    number
        .map(|seconds| Duration::from_secs(seconds.into()))
        .ok_or_else(|| format!("--drain {} is no number of seconds from 1 to 86400", word.to_string_lossy()))
}

/// The words of the one engine that has such handlers.
const TERMS: HandlerTerms = HandlerTerms {
    switches: &[("debug", "PythonDebug"), ("autoreload", "PythonAutoReload")],
    application: &["venv", "python", "env", "env_file", "path", "import"],
    target: b"mod_python",
    refusal: |_| None,
};

/// What handlers of requests have in the place of an interface.
const HANDLERS: &str = "handlers";

fn application(
    words: &[OsString],
    directory: Option<PathBuf>,
) -> Result<(ApplicationConf, Option<HandlerPlace>), String> {
    let (interface, rest) = words.split_first().ok_or_else(|| format!("needs what to run\n{USAGE}"))?;
    let interface = interface.to_string_lossy();
    let rest: Vec<&[u8]> = rest.iter().map(|word| word.as_bytes()).collect();
    let base = env::current_dir()
        .map_err(|error| format!("the working directory cannot be used: {error}; change it"))?;
    let parser = Parser { base: &base, timeout: Some(TIMEOUT) };
    if interface == "native" {
        return parser.native(&rest).map(|found| (found, None)).map_err(|error| error.to_string());
    }
    if interface.contains([':', '=', '/']) {
        return Err(format!(
            "\"{interface}\" stands where the interface must stand, which comes first: wsgi {interface}"
        ));
    }
    let mut engines = Engines::new();
    let directory = directory.or_else(found_engines).unwrap_or_else(|| INSTALLED.into());
    engines
        .name_directory(&base, directory.as_os_str().as_bytes())
        .map_err(|why| format!("--engines {why}"))?;
    let found = match &*interface {
        HANDLERS => {
            parser.hosted_handlers(&mut engines, &rest, &TERMS).map(|(found, place)| (found, Some(place)))
        }
        _ => parser.interface(&mut engines, &interface, &rest).map(|found| (found, None)),
    };
    found.map_err(|error| error.to_string())
}

/// The folder of this program, if engines are there.
fn found_engines() -> Option<PathBuf> {
    let folder = env::current_exe().ok()?.parent().map(Path::to_path_buf)?;
    let is_engine =
        |name: &OsStr| name.as_bytes().starts_with(b"gangway_") && name.as_bytes().ends_with(b".so");
    let mut entries = std::fs::read_dir(&folder).ok()?.filter_map(Result::ok);
    entries.any(|entry| is_engine(&entry.file_name())).then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(words: &[&str]) -> String {
        match parse(words.iter().map(OsString::from)) {
            Err(error) => error,
            Ok(command) => panic!("{words:?} is {command:?}"),
        }
    }

    #[test]
    fn each_mistake_has_its_cure() {
        for (words, cure) in [
            (&[][..], "usage: gangway-host"),
            (&["--listen"], "--listen needs a value: --listen unix:/run/blog.sock"),
            (&["--listen", "9000", "wsgi", "a:b"], "127.0.0.1:9000"),
            (&["--liste=x", "wsgi", "a:b"], "unknown option --liste=x"),
            (&["--drain=0", "wsgi", "a:b"], "from 1 to 86400"),
            (&["--engines", "/no/such", "wsgi", "a:b"], "create it or correct the path"),
            (&["blog.wsgi:application"], "wsgi blog.wsgi:application"),
            (&["--engines=/usr", "wsgi", "a:b"], "no engine in /usr"),
            (&["native"], "/path/handler.so"),
            (&["native", "/etc/passwd"], "GW0201"),
        ] {
            let error = error_of(words);
            assert!(error.contains(cure), "{words:?}: {error}");
        }
    }

    #[test]
    fn help_and_version_are_said() {
        for word in ["-h", "--help", "-V", "--version"] {
            assert!(matches!(parse([word].iter().map(OsString::from)), Ok(Command::Say(_))), "{word}");
        }
    }
}
