// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway check`: whether the applications of a configuration can be loaded, as their users, before a server is told of it. What
//! the applications are says the server's own test of its configuration, which reads it as the server would.

use std::{
    env, fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use gangway::{
    log::escape,
    supervise::manifest::{self, ManifestEntry},
};

use crate::{End, Trouble, words::CheckWords};

/// How long an application may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Servers that are looked for, and how each tests a configuration: that of the distribution, or another one.
const SERVERS: [(&str, &[&str], &str); 4] = [
    ("nginx", &["-t"], "-c"),
    ("apache2ctl", &["-t"], "-f"),
    ("apachectl", &["-t"], "-f"),
    ("httpd", &["-t"], "-f"),
];
const PLACES: [&str; 6] =
    ["/usr/sbin", "/usr/local/sbin", "/usr/local/nginx/sbin", "/usr/bin", "/usr/local/bin", "/opt/bin"];
const HOST: &str = "gangway-host";

/// A file for the server to write to, that nobody else can have put there.
struct Answer {
    folder: PathBuf,
    file: PathBuf,
}

impl Answer {
    fn new() -> std::io::Result<Self> {
        let folder = env::temp_dir().join(format!("gangway-check-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let file = folder.join("applications");
        let answer = Self { folder, file };
        fs::File::create_new(&answer.file)?;
        fs::set_permissions(&answer.file, fs::Permissions::from_mode(0o600))?;
        Ok(answer)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Tests a configuration and loads its applications.
pub(crate) fn check(words: &CheckWords, out: &mut dyn Write) -> Result<End, Trouble> {
    let servers = match &words.server {
        Some(program) => vec![program.clone()],
        None => found(),
    };
    if servers.is_empty() {
        let text = "no server is found: --server PROGRAM names one, such as /usr/sbin/nginx or apache2ctl";
        return Err((End::NoServer, text.to_owned()));
    }
    let mut end = End::Done;
    let mut count = 0;
    for server in servers {
        let entries = read(&server, words.config.as_deref())?;
        for entry in &entries {
            count += 1;
            if !load(entry, out) {
                end = End::Failed;
            }
        }
    }
    if count == 0 {
        let _ = writeln!(out, "the configuration has no applications");
    }
    Ok(end)
}

/// Each server of this machine, once.
fn found() -> Vec<PathBuf> {
    let there =
        |name: &str| PLACES.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists());
    let nginx = there("nginx");
    let httpd = SERVERS.iter().skip(1).find_map(|(name, ..)| there(name));
    nginx.into_iter().chain(httpd).collect()
}

/// The applications of a configuration, by the server's own test.
fn read(server: &Path, config: Option<&Path>) -> Result<Vec<ManifestEntry>, Trouble> {
    let failed = |text: String| (End::Failed, format!("{}: {text}", server.display()));
    let name = server.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // Any program of the family of httpd, whatever it is called.
    let (_, test, option) = SERVERS
        .iter()
        .find(|(known, ..)| *known == name)
        .unwrap_or_else(|| if name.contains("nginx") { &SERVERS[0] } else { &SERVERS[3] });
    let answer = Answer::new().map_err(|error| failed(format!("no temporary file can be made: {error}")))?;
    let mut command = Command::new(server);
    command.args(*test).env(manifest::ASKED, &answer.file);
    if let Some(config) = config {
        command.arg(option).arg(config);
    }
    let output = command.output().map_err(|error| failed(format!("it cannot be run: {error}")))?;
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(failed(format!("its test of the configuration fails\n{}", said.trim_end())));
    }
    let bytes = fs::read(&answer.file).map_err(|error| failed(error.to_string()))?;
    manifest::read(&bytes)
        .ok_or_else(|| failed("its Gangway is of another version than this program".to_owned()))
}

/// Loads one. Answers whether nothing is wrong with it.
fn load(entry: &ManifestEntry, out: &mut dyn Write) -> bool {
    let (name, user) = (escape(entry.name.as_bytes()), escape(entry.user.as_bytes()));
    if entry.is_program {
        let _ = writeln!(out, "{name}: a program, which loads nothing before it serves (user {user})");
        return true;
    }
    let host = host();
    let (is_whole, said) = match entry.load(&host, PATIENCE) {
        Ok(loaded) => loaded,
        Err(why) => (false, format!("{why}\n")),
    };
    let _ = writeln!(out, "{name}: {} (user {user})", if is_whole { "ok" } else { "failed" });
    for line in said.lines().filter(|line| !is_whole || is_warning(line)) {
        // What a supervisor would have taken.
        if !line.starts_with('\u{1}') {
            let _ = writeln!(out, "  {}", escape(line.as_bytes()));
        }
    }
    is_whole
}

fn is_warning(line: &str) -> bool {
    line.starts_with("[warn] ") || line.starts_with("[error] ")
}

/// The program that runs applications: beside this one, or where it is installed.
fn host() -> PathBuf {
    let beside = env::current_exe().ok().map(|own| own.with_file_name(HOST)).filter(|path| path.exists());
    beside.unwrap_or_else(|| Path::new(gangway::engine::INSTALLED).join(HOST))
}
