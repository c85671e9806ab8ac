// SPDX-License-Identifier: MIT OR Apache-2.0
//! The words, one after the other.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::{
        ApplicationConf, ConfigError, Parser,
        application::{known, text},
        options::{
            APPLICATION_OPTIONS, HOST_OPTIONS, MANAGED_OPTIONS, OptionTables, PROGRAM_OPTIONS, SOCKET_OPTIONS,
        },
        param::check_param_name,
        terms::RequestTerms,
        values,
    },
    Command, HELD_MOST, Launch, Life, Managed, Placed, Reload, Replay,
};
use crate::{
    engine::{Engine, Interface, OptionDef, Value},
    error::{BAD_OPTION, BAD_TARGET, BAD_VALUE},
    rights::Limits,
    sys::{cgroup, spawner},
};

/// Processes of one application.
const MOST_PROCESSES: u32 = 500;
/// The variable by which an engine is asked to say which files an application has.
const REPORT_FILES: &str = "GANGWAY_REPORT_FILES";
/// The mode mask of shells.
const DEFAULT_UMASK: u32 = 0o022;
const NOT_FORKED: &str = "this engine cannot be forked, or not with an event loop; remove it";
const FORM: &str = "/path/program [ARGUMENT ...] [option=value ...]";

impl Parser<'_> {
    /// Parses the words after a directive that runs a FastCGI program: the program, its arguments, options.
    ///
    /// # Errors
    /// The first word that is wrong, with the cure.
    pub fn program(&self, words: &[&[u8]]) -> Result<Managed, ConfigError> {
        let wrong = |why: String| ConfigError::new(BAD_TARGET, why);
        let (program, words) =
            words.split_first().ok_or_else(|| wrong(format!("needs what to run: {FORM}")))?;
        let program = text(program)?;
        let options = OptionTables::new(HOST_OPTIONS, MANAGED_OPTIONS).and(PROGRAM_OPTIONS);
        if program.split_once('=').is_some_and(|(key, _)| options.find(key).is_some()) {
            return Err(wrong(format!(
                "\"{program}\" stands where the program must stand, which comes first: use {FORM}"
            )));
        }
        let file = values::existing(program, self.base, false)
            .map_err(|why| wrong(format!("\"{program}\" cannot be run: {why}")))?;
        let mut argv = vec![file.display().to_string()];
        let first_option = words.iter().position(|word| is_option(options, word)).unwrap_or(words.len());
        let (arguments, rest) = words.split_at(first_option);
        for argument in arguments {
            argv.push(text(argument)?.to_owned());
        }
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut making = Making::new(
            self,
            Managed {
                name,
                named: false,
                launch: launch(Command::Program { argv }),
                life: Life::default(),
                reload: Reload::default(),
                warmup: None,
                replay: Replay::default(),
                threads: 1,
                terms: RequestTerms::new(self.timeout),
                misses_sockets: false,
            },
        );
        for word in rest {
            let (option, value) = options.split(text(word)?)?;
            making.add(option, value)?;
        }
        making.finish()
    }

    /// Parses the words after the name of a directive that runs applications of an interface of an engine, in the worker
    /// processes or, with `processes=` or `user=`, in their own.
    ///
    /// # Errors
    /// The first word that is wrong, with the cure.
    pub fn placed(
        &self,
        engine: &Arc<Path>,
        interface: &Interface,
        words: &[&[u8]],
    ) -> Result<Placed, ConfigError> {
        let engines = known(engine, interface)?;
        self.place(words, Some(engines), |words| self.application(engine, interface, words))
    }

    /// As [`Parser::placed`], for a handler whose file is named. One that does not state its options has `processes=` and
    /// `user=` no more, and the others of that kind not beside these.
    ///
    /// # Errors
    /// The first word that is wrong, with the cure, or why the file is no handler.
    pub fn placed_native(&self, words: &[&[u8]]) -> Result<Placed, ConfigError> {
        let interface = self.stated(words);
        let engines = interface.as_ref().and_then(|(file, stated)| known(file, stated).ok());
        if engines.is_none() && !words.iter().skip(1).any(|word| asks(word)) {
            return self.native(words).map(Placed::InProcess);
        }
        self.place(words, engines, |words| self.native(words))
    }

    /// Parts the words of an application's place from its own. What the engine states is the engine's, whatever it is called.
    pub(in crate::config) fn place(
        &self,
        words: &[&[u8]],
        engines: Option<OptionTables<'_>>,
        application: impl FnOnce(&[&[u8]]) -> Result<ApplicationConf, ConfigError>,
    ) -> Result<Placed, ConfigError> {
        let own = OptionTables::new(APPLICATION_OPTIONS, MANAGED_OPTIONS);
        let is_known = |key: &str| engines.is_some_and(|known| known.find(key).is_some());
        let is_elsewhere = words.iter().skip(1).any(|word| asks(word) && !key(word).is_some_and(is_known));
        // That one is said of an application in either place.
        let is_engines = |key: &str| is_known(key) && !(is_elsewhere && key == "drain_timeout");
        let found = |word: &[u8]| key(word).filter(|key| !is_engines(key)).and_then(|key| own.find(key));
        let (target, rest) = words.split_at(words.len().min(1));
        let (managed, others): (Vec<&[u8]>, Vec<&[u8]>) = rest.iter().partition(|word| found(word).is_some());
        if let Some(engines) = engines {
            // What is meant to be one of either is told the name that it is most like.
            let all = engines.and(MANAGED_OPTIONS);
            for word in others.iter().filter(|word| key(word).is_some()) {
                all.split(text(word)?)?;
            }
        }
        let application = application(&[target, &others].concat())?;
        let Some(first) = managed.first() else { return Ok(Placed::InProcess(application)) };
        if !is_elsewhere {
            return Err(ConfigError::new(
                BAD_OPTION,
                format!(
                    "\"{}\" is for an application in processes of its own: add processes=N or user=NAME, or remove it",
                    text(first)?
                ),
            ));
        }
        others.iter().try_for_each(|word| check_sockets(word))?;
        let mut making = Making::new(self, Managed::hosted(&application));
        for word in managed {
            let (option, value) = own.split(text(word)?)?;
            making.add(option, value)?;
        }
        making.finish().map(|managed| Placed::Managed(Box::new(managed)))
    }
}

/// FastCGI, which is spoken with processes of an application's own, has no WebSockets.
fn check_sockets(word: &[u8]) -> Result<(), ConfigError> {
    let is_of_sockets = |key: &str| SOCKET_OPTIONS.iter().any(|option| option.name == key);
    if !key(word).is_some_and(is_of_sockets) {
        return Ok(());
    }
    let text = format!(
        "\"{}\" is about WebSockets, which an application in processes of its own does not get: remove it, or processes= and user=",
        text(word)?
    );
    Err(ConfigError::new(BAD_OPTION, text))
}

impl Managed {
    /// An application of an engine in processes of its own, as far as the words that every application has say it.
    #[must_use]
    pub fn hosted(application: &ApplicationConf) -> Self {
        let engine: Arc<Path> = application.engine().into();
        let spec = application.spec();
        let opened = Engine::open(&engine);
        let is_async = opened.as_ref().is_ok_and(|engine| engine.is_async(spec.interface));
        let preload = !is_async && opened.is_ok_and(|engine| engine.can_fork());
        let in_flight = is_async.then(|| application.in_flight());
        let (timeout, handlers) = (application.timeout(), Vec::new());
        let command = Command::Host { engine, spec: spec.clone(), timeout, in_flight, preload, handlers };
        Self {
            name: spec.name.clone(),
            named: false,
            threads: in_flight.map_or(spec.threads, |most| most.min(HELD_MOST) as u32),
            terms: application.terms().clone(),
            misses_sockets: application.sockets().is_some(),
            launch: launch(command),
            life: Life::default(),
            reload: Reload::default(),
            warmup: None,
            replay: Replay::default(),
        }
    }
}

/// Whether a word takes an application out of the workers.
fn asks(word: &[u8]) -> bool {
    matches!(key(word), Some("processes" | "user"))
}

/// What stands before `=`.
fn key(word: &[u8]) -> Option<&str> {
    std::str::from_utf8(word).ok()?.split_once('=').map(|(key, _)| key)
}

/// Arguments end where an option begins, or what is meant to be one.
fn is_option(options: OptionTables<'_>, word: &[u8]) -> bool {
    key(word).is_some_and(|key| options.find(key).is_some() || options.nearest(key).is_some())
}

fn launch(command: Command) -> Launch {
    Launch {
        command,
        user: None,
        directory: "/".to_owned(),
        limits: Limits::default(),
        umask: DEFAULT_UMASK,
        nice: 0,
        cgroup: None,
        environment: Vec::new(),
    }
}

/// A half-read directive.
struct Making<'p> {
    parser: &'p Parser<'p>,
    managed: Managed,
    seen: Vec<&'static str>,
    user: Option<String>,
    group: Option<String>,
    /// The control group that its own is to be made in.
    cgroup: Option<PathBuf>,
}

impl<'p> Making<'p> {
    fn new(parser: &'p Parser<'p>, managed: Managed) -> Self {
        Self { parser, managed, seen: Vec::new(), user: None, group: None, cgroup: None }
    }

    fn add(&mut self, option: &OptionDef, value: &str) -> Result<(), ConfigError> {
        if self.seen.contains(&option.name) && !option.repeats {
            return Err(ConfigError::new(BAD_OPTION, format!("\"{}=\" stands twice; keep one", option.name)));
        }
        self.seen.push(option.name);
        let applied = if value.is_empty() { Err("it is empty".into()) } else { self.apply(option, value) };
        applied.map_err(|why| unusable(option.name, value, &why))
    }

    fn apply(&mut self, option: &OptionDef, value: &str) -> Result<(), String> {
        let (launch, life) = (&mut self.managed.launch, &mut self.managed.life);
        match option.value {
            Value::Count(least, most) => {
                let number = values::count(value, least, most)?;
                match option.name {
                    "files" => launch.limits.files = u64::from(number),
                    "nice" => launch.nice = number,
                    "max_requests" => life.max_requests = Some(number),
                    "queue" => self.managed.terms.queue = number,
                    _ => self.managed.threads = number,
                }
            }
            Value::Time => {
                let time = values::time(value)?;
                match option.name {
                    "idle" => life.idle = time,
                    "lifetime" => life.lifetime = time,
                    "boot_timeout" => life.boot_timeout = time,
                    "drain_timeout" => life.drain_timeout = time,
                    "cpu" => launch.limits.cpu = time.map_or(0, |time| time.as_secs().max(1)),
                    _ => self.managed.terms.timeout = time,
                }
            }
            Value::Size => {
                let size = values::size(value)?;
                match option.name {
                    "max_rss" => life.max_rss = Some(size),
                    _ => launch.limits.memory = size,
                }
            }
            Value::Directory => {
                let directory = values::existing(value, self.parser.base, true)?;
                launch.directory = directory.display().to_string();
            }
            Value::Switch => {
                let is_on = match value {
                    "on" => true,
                    "off" => false,
                    _ => return Err("it must be on or off".into()),
                };
                match (option.name, &mut launch.command) {
                    ("preload", Command::Host { preload, .. }) => {
                        if is_on && !*preload {
                            return Err(NOT_FORKED.into());
                        }
                        *preload = is_on;
                    }
                    _ => self.managed.terms.pass_authorization = is_on,
                }
            }
            Value::Assignment => {
                values::assignment(value)?;
                let (name, value) = value.split_once('=').unwrap_or_default();
                launch.set(name, value.to_owned());
            }
            Value::Text | Value::Word(_) | Value::File => self.text(option.name, value)?,
        }
        Ok(())
    }

    fn text(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "name" => {
                let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
                if !value.bytes().all(plain) || value.len() > 64 {
                    return Err("it must be at most 64 letters, digits and marks without \"/\"".into());
                }
                (self.managed.name, self.managed.named) = (value.to_owned(), true);
            }
            "processes" => (self.managed.life.least, self.managed.life.most) = processes(value)?,
            "umask" => {
                let mask = u32::from_str_radix(value, 8).ok().filter(|mask| *mask <= 0o777);
                let digits = value.bytes().all(|byte| byte.is_ascii_digit());
                self.managed.launch.umask =
                    mask.filter(|_| digits).ok_or("it must be an octal number such as 022 or 007")?;
            }
            "user" => {
                if !spawner::is_root() {
                    return Err(
                        "only a server that is started as root can run an application as another user; start it as \
                         root or remove the option"
                            .into(),
                    );
                }
                self.user = Some(value.to_owned());
            }
            "cgroup" => {
                let parent = self.parser.base.join(value);
                cgroup::check(&parent)?;
                self.cgroup = Some(parent);
            }
            "warmup" => {
                let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
                if !value.starts_with('/') || !value.bytes().all(plain) {
                    return Err("it must be a path as clients write it, such as /health?deep=1".into());
                }
                self.managed.warmup = Some(value.to_owned());
            }
            "replay" => {
                self.managed.replay = match value {
                    "on" => Replay::Idempotent,
                    "off" => Replay::Off,
                    "all" => Replay::All,
                    _ => return Err("it must be on, off or all".into()),
                }
            }
            "reload" => self.managed.reload = reload(value, self.parser.base)?,
            "group" => self.group = Some(value.to_owned()),
            _ => {
                check_param_name(value).map_err(|_| "it must be the name of a variable".to_owned())?;
                if let Ok(found) = std::env::var(value) {
                    self.managed.launch.set(value, found);
                }
            }
        }
        Ok(())
    }

    /// What only all words together say.
    fn finish(mut self) -> Result<Managed, ConfigError> {
        let named = |user: &str, group: &Option<String>| match group {
            Some(group) => format!("{user}:{group}"),
            None => user.to_owned(),
        };
        match (&self.user, &self.group) {
            (None, Some(group)) => {
                let why = "it is the group of user=, which is missing; add user=NAME or remove it";
                return Err(unusable("group", group, why));
            }
            (Some(user), Some(group)) if user.contains(':') => {
                return Err(unusable("group", group, "user= names a group already; keep one"));
            }
            (Some(user), group) => {
                let found =
                    spawner::lookup(&named(user, group)).map_err(|why| unusable("user", user, &why))?;
                self.managed.launch.user = Some(found);
            }
            (None, None) => {}
        }
        if let Some(parent) = &self.cgroup {
            self.managed.launch.cgroup = Some(cgroup::group_of(parent, &self.managed.name));
        }
        self.watch();
        let life = &self.managed.life;
        if life.least == life.most && self.seen.contains(&"idle") {
            let why = "\"idle=\" ends processes above the least: it needs a range such as processes=0-4";
            return Err(ConfigError::new(BAD_OPTION, why));
        }
        Ok(self.managed)
    }
}

impl Making<'_> {
    /// An engine knows which files an application has, and is asked to say so: a reload of the server looks at them, whatever `reload=`
    /// says.
    fn watch(&mut self) {
        if matches!(self.managed.launch.command, Command::Host { .. }) {
            self.managed.launch.set(REPORT_FILES, "1".to_owned());
        }
    }
}

impl Launch {
    pub(super) fn set(&mut self, name: &str, value: String) {
        match self.environment.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.environment.push((name.to_owned(), value)),
        }
    }
}

fn unusable(name: &str, value: &str, why: &str) -> ConfigError {
    ConfigError::new(BAD_VALUE, format!("\"{name}={value}\" is not usable: {why}"))
}

/// `on`, `off`, or a file that need not be there.
fn reload(text: &str, base: &Path) -> Result<Reload, String> {
    match text {
        "on" => Ok(Reload::On),
        "off" => Ok(Reload::Off),
        _ if !text.contains('/') => Err("it must be on, off or the path of a file".into()),
        _ => match base.join(text) {
            path if path.is_dir() => Err(format!("\"{}\" is a directory; name a file in it", path.display())),
            path => Ok(Reload::File(path)),
        },
    }
}

/// `4`, or `1-4`.
fn processes(text: &str) -> Result<(u32, u32), String> {
    let wrong = || format!("it must be a number such as 4, or a range such as 0-4, at most {MOST_PROCESSES}");
    let number = |text: &str, least| values::count(text, least, MOST_PROCESSES).map_err(|_| wrong());
    match text.split_once('-') {
        None => number(text, 1).map(|count| (count, count)),
        Some((least, most)) => {
            let (least, most) = (number(least, 0)?, number(most, 1)?);
            if least > most { Err(wrong()) } else { Ok((least, most)) }
        }
    }
}
