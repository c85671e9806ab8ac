// SPDX-License-Identifier: MIT OR Apache-2.0
//! The words of a CGI directive.

use std::time::Duration;

use super::{
    ConfigError, Parser,
    application::text,
    options::{CGI_OPTIONS, OptionTables},
    param::check_param_name,
    terms::{RequestTerms, tell_terms},
    values,
};
use crate::{
    engine::{OptionDef, Value},
    error::{BAD_OPTION, BAD_VALUE},
    log::Level,
    rights::{Identity, Limits},
    sys::spawner,
};

/// How programs of a location are run. Equal ones share their places and their queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cgi {
    index: Vec<String>,
    /// Suffix with its dot, and the interpreter's path.
    interpreters: Vec<(String, String)>,
    args: bool,
    environment: Vec<(String, String)>,
    terms: RequestTerms,
    processes: u32,
    limits: Limits,
    user: Option<Identity>,
    abort: bool,
    head_size: usize,
    stderr_level: Option<Level>,
    any_symlinks: Option<bool>,
    refuse_shellshock: bool,
}

/// As nginx's and httpd's own time limits.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
const DEFAULT_PROCESSES: u32 = 32;
const DEFAULT_HEAD: usize = 64 * 1024;
/// More would only help somebody who wants to fill the memory.
const LARGEST_HEAD: u64 = 16 * 1024 * 1024;

impl Default for Cgi {
    fn default() -> Self {
        Self {
            index: Vec::new(),
            interpreters: Vec::new(),
            args: false,
            environment: Vec::new(),
            terms: RequestTerms::new(Some(DEFAULT_TIMEOUT)),
            processes: DEFAULT_PROCESSES,
            limits: Limits::default(),
            user: None,
            abort: true,
            head_size: DEFAULT_HEAD,
            stderr_level: Some(Level::Error),
            any_symlinks: None,
            refuse_shellshock: true,
        }
    }
}

tell_terms!(Cgi);

impl Cgi {
    /// File names for a path that leads to a directory.
    #[must_use]
    pub fn index(&self) -> &[String] {
        &self.index
    }

    /// The interpreter of a file, by its suffix, byte for byte.
    #[must_use]
    pub fn interpreter(&self, file: &[u8]) -> Option<&[u8]> {
        let found = self.interpreters.iter().find(|(suffix, _)| file.ends_with(suffix.as_bytes()));
        found.map(|(_, interpreter)| interpreter.as_bytes())
    }

    /// Whether a query without `=` becomes words (RFC 3875 §4.4).
    #[must_use]
    pub fn args(&self) -> bool {
        self.args
    }

    /// The variables of `env=` and `pass_env=`.
    #[must_use]
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// Scripts at a time.
    #[must_use]
    pub fn processes(&self) -> usize {
        self.processes as usize
    }

    /// Limits of each script.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Who runs it, if not the server's own user.
    #[must_use]
    pub fn user(&self) -> Option<&Identity> {
        self.user.as_ref()
    }

    /// Whether a client that leaves ends the script.
    #[must_use]
    pub fn abort(&self) -> bool {
        self.abort
    }

    /// The longest response head, in bytes.
    #[must_use]
    pub fn head_size(&self) -> usize {
        self.head_size
    }

    /// The level of lines from standard error; `None` drops them.
    #[must_use]
    pub fn stderr_level(&self) -> Option<Level> {
        self.stderr_level
    }

    /// What `symlinks=` says, if it says something.
    #[must_use]
    pub fn any_symlinks(&self) -> Option<bool> {
        self.any_symlinks
    }

    /// Whether values that look like a function of bash are refused.
    #[must_use]
    pub fn refuse_shellshock(&self) -> bool {
        self.refuse_shellshock
    }

    fn apply(&mut self, parser: &Parser<'_>, option: &OptionDef, value: &str) -> Result<(), String> {
        match option.value {
            Value::Count(least, most) => {
                let number = values::count(value, least, most)?;
                match option.name {
                    "processes" => self.processes = number,
                    "queue" => self.terms.queue = number,
                    _ => self.limits.files = u64::from(number),
                }
            }
            Value::Time if option.name == "cpu" => {
                let time = values::time(value)?;
                self.limits.cpu = time.map_or(0, |time| time.as_secs().max(1));
            }
            Value::Time => self.terms.timeout = values::time(value)?,
            Value::Switch => self.switch(option.name, value)?,
            Value::Size => self.size(option.name, values::size(value)?)?,
            Value::Word(words) => {
                if !words.contains(&value) {
                    return Err(format!("it must be one of {}", words.join(", ")));
                }
                match option.name {
                    "symlinks" => self.any_symlinks = Some(value == "any"),
                    _ => self.stderr_level = level(value),
                }
            }
            Value::Assignment => {
                values::assignment(value)
                    .map_err(|_| "it must be NAME=VALUE, for example env=PATH=/usr/bin:/bin".to_owned())?;
                let (name, value) = value.split_once('=').unwrap_or_default();
                self.set(name, value.to_owned());
            }
            Value::Text | Value::Directory | Value::File => self.text(parser, option.name, value)?,
        }
        Ok(())
    }

    fn switch(&mut self, name: &str, value: &str) -> Result<(), String> {
        let on = match value {
            "on" => true,
            "off" => false,
            _ => return Err("it must be on or off".into()),
        };
        match name {
            "args" => self.args = on,
            "abort" => self.abort = on,
            "refuse_shellshock" => self.refuse_shellshock = on,
            _ => self.terms.pass_authorization = on,
        }
        Ok(())
    }

    fn size(&mut self, name: &str, bytes: u64) -> Result<(), String> {
        if name == "memory" {
            self.limits.memory = bytes;
            return Ok(());
        }
        let size = usize::try_from(bytes).ok().filter(|_| (1024..=LARGEST_HEAD).contains(&bytes));
        self.head_size = size.ok_or("it must be from 1k to 16m")?;
        Ok(())
    }

    fn text(&mut self, parser: &Parser<'_>, name: &str, value: &str) -> Result<(), String> {
        match name {
            "index" => {
                let names: Vec<_> = value.split(',').map(str::to_owned).collect();
                if names
                    .iter()
                    .any(|name| name.is_empty() || name.contains(['/', '\0']) || name.starts_with(".."))
                {
                    return Err(
                        "it must be file names with commas between them, for example index.cgi,index.pl"
                            .into(),
                    );
                }
                self.index = names;
            }
            "interpreter" => {
                let wrong = "it must be .SUFFIX:FILE, for example interpreter=.php:/usr/bin/php-cgi";
                let (suffix, file) = value.split_once(':').ok_or(wrong)?;
                if suffix.len() < 2 || !suffix.starts_with('.') || suffix.contains('/') {
                    return Err(wrong.into());
                }
                if self.interpreters.iter().any(|(known, _)| known == suffix) {
                    return Err(format!("{suffix} has an interpreter already; keep one"));
                }
                let file = values::existing(file, parser.base, false)?;
                self.interpreters.push((suffix.to_owned(), file.display().to_string()));
            }
            "user" => {
                if !spawner::is_root() {
                    return Err(
                        "only a server that is started as root can run scripts as another user; start it as \
                                root or remove the option"
                            .into(),
                    );
                }
                self.user = Some(spawner::lookup(value)?);
            }
            _ => {
                check_param_name(value).map_err(|_| "it must be the name of a variable".to_owned())?;
                if let Ok(found) = std::env::var(value) {
                    self.set(value, found);
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: String) {
        match self.environment.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.environment.push((name.to_owned(), value)),
        }
    }
}

fn level(word: &str) -> Option<Level> {
    Some(match word {
        "off" => return None,
        "warn" => Level::Warn,
        "notice" => Level::Notice,
        "info" => Level::Info,
        "debug" => Level::Debug,
        _ => Level::Error,
    })
}

impl Parser<'_> {
    /// Parses the words after `on` in a CGI directive.
    ///
    /// # Errors
    /// The first word that is wrong, with the cure.
    pub fn cgi(&self, words: &[&[u8]]) -> Result<Cgi, ConfigError> {
        let mut cgi = Cgi::default();
        let mut seen: Vec<&str> = Vec::new();
        for word in words {
            let (option, value) = OptionTables::new(&[], CGI_OPTIONS).split(text(word)?)?;
            if seen.contains(&option.name) && !option.repeats {
                return Err(ConfigError::new(
                    BAD_OPTION,
                    format!("\"{}=\" stands twice; keep one", option.name),
                ));
            }
            seen.push(option.name);
            let applied =
                if value.is_empty() { Err("it is empty".into()) } else { cgi.apply(self, option, value) };
            applied.map_err(|why| {
                ConfigError::new(BAD_VALUE, format!("\"{}={value}\" is not usable: {why}", option.name))
            })?;
        }
        Ok(cgi)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(words: &[&str]) -> Result<Cgi, ConfigError> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        Parser { base: Path::new("/"), timeout: None }.cgi(&words)
    }

    #[test]
    fn no_word_is_needed() {
        let cgi = parse(&[]).unwrap();
        assert_eq!(cgi, Cgi::default());
        assert_eq!((cgi.processes(), cgi.queue(), cgi.timeout()), (32, 512, Some(Duration::from_secs(60))));
        assert!(cgi.abort() && cgi.refuse_shellshock() && !cgi.args() && !cgi.pass_authorization());
    }

    #[test]
    fn each_option_does_its_part() {
        let cgi = parse(&[
            "index=index.cgi,index.pl",
            "interpreter=.sh:/bin/sh",
            "interpreter=.tar.gz:bin/cat",
            "args=on",
            "env=A=1",
            "env=A=2",
            "timeout=off",
            "processes=3",
            "queue=0",
            "memory=64m",
            "cpu=1500ms",
            "files=20",
            "abort=off",
            "head_size=8k",
            "stderr_level=off",
            "symlinks=any",
            "refuse_shellshock=off",
            "pass_authorization=on",
        ])
        .unwrap();
        assert_eq!(cgi.index(), ["index.cgi", "index.pl"]);
        assert_eq!(cgi.interpreter(b"/a/b.sh"), Some(&b"/bin/sh"[..]));
        assert_eq!(cgi.interpreter(b"/a/b.tar.gz"), Some(&b"/bin/cat"[..]));
        assert_eq!(cgi.interpreter(b"/a/b.SH"), None);
        assert_eq!(cgi.environment(), [("A".to_owned(), "2".to_owned())]);
        assert_eq!((cgi.timeout(), cgi.processes(), cgi.queue()), (None, 3, 0));
        assert_eq!(cgi.limits(), Limits { memory: 64 << 20, cpu: 1, files: 20 });
        assert_eq!((cgi.head_size(), cgi.stderr_level(), cgi.any_symlinks()), (8192, None, Some(true)));
        assert!(!cgi.abort() && cgi.args() && !cgi.refuse_shellshock() && cgi.pass_authorization());
    }

    #[test]
    fn each_mistake_names_value_and_cure() {
        for (words, parts) in [
            (&["fast"][..], &["GW0101", "key=value"][..]),
            (&["proceses=3"], &["GW0101", "did you mean \"processes=\"?"]),
            (&["threads=3"], &["GW0101", "known are index, interpreter"]),
            (&["args"], &["GW0101", "args=VALUE"]),
            (&["args=on", "args=off"], &["GW0101", "stands twice"]),
            (&["args=yes"], &["GW0102", "on or off"]),
            (&["index=a/b"], &["GW0102", "index.cgi,index.pl"]),
            (&["index="], &["GW0102", "it is empty"]),
            (&["interpreter=php"], &["GW0102", ".SUFFIX:FILE"]),
            (&["interpreter=.php:/no/php-cgi"], &["GW0102", "/no/php-cgi", "create it or correct the path"]),
            (
                &["interpreter=.a:/bin/sh", "interpreter=.a:/bin/cat"],
                &["GW0102", ".a has an interpreter already"],
            ),
            (&["env=A"], &["GW0102", "NAME=VALUE"]),
            (&["pass_env=A=B"], &["GW0102", "name of a variable"]),
            (&["processes=0"], &["GW0102", "1 to 100000"]),
            (&["memory=lots"], &["GW0102", "64m"]),
            (&["cpu=1y"], &["GW0102", "30s"]),
            (&["head_size=12"], &["GW0102", "1k to 16m"]),
            (&["stderr_level=loud"], &["GW0102", "error, warn"]),
            (&["symlinks=on"], &["GW0102", "inside, any"]),
            (&["user=no-such-user"], &["GW0102", "\"user=no-such-user\""]),
        ] {
            let message = parse(words).unwrap_err().to_string();
            for part in parts {
                assert!(message.contains(part), "{words:?}: {message}");
            }
        }
    }
}
