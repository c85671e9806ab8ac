// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which script a request names, and whether it may be sent.

use std::{
    cell::RefCell,
    collections::HashMap,
    ffi::OsStr,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use gangway::{
    cgi::script::{Entry, Resolution, resolve},
    error::{SCRIPT_MISSING, SERVER_FAILED},
    log::escape,
    protocol::Role,
    report,
};
use nginx_sys::ngx_int_t;

use super::INTERNAL_SERVER_ERROR;
use crate::{
    conf::{ConfParam, LocationConf, Pass, Scheme, ScriptCheck, UpstreamConf},
    raw::{NOT_FOUND, PoolText, Request},
};

/// How long a script that was found counts as there. A backend finds by itself that a file is gone; what this saves is
/// a walk through the folders for each request.
const FRESH: Duration = Duration::from_secs(1);

/// How many scripts are remembered.
const REMEMBERED: usize = 4096;

thread_local! {
    /// Scripts that were found a moment ago, by their path.
    static FOUND: RefCell<HashMap<Vec<u8>, Seen>> = RefCell::new(HashMap::new());
}

/// When and how a script was found. What one location may run, another may not: the same answer is for the same
/// question.
struct Seen {
    since: Instant,
    /// The length of the root, with which the path begins wherever it matters.
    root: usize,
    check: ScriptCheck,
}

/// What of a path is the script's, and what is its own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ScriptPath {
    path: PoolText,
    /// Where the script's name ends.
    split: usize,
    /// The administrator's SCRIPT_FILENAME for this request, if it has been looked at.
    filename: Option<PoolText>,
    pub(super) role: Role,
    /// The application is mounted at a location: there is no script that the path names.
    pub(super) is_mounted: bool,
    /// It wants to know which file the path is: its handlers see the request.
    pub(super) is_mapped: bool,
}

impl ScriptPath {
    /// In memory of its own or, if they are its path, the request's. `None` when nginx has no memory.
    fn new(request: Request, script_name: &[u8], path_info: &[u8]) -> Option<Self> {
        let (uri, split) = (request.uri(), script_name.len());
        let is_start = script_name.as_ptr() == uri.as_ptr();
        let is_rest = path_info.is_empty() || path_info.as_ptr_range().end == uri.as_ptr_range().end;
        let is_uri = is_start && is_rest && split + path_info.len() == uri.len();
        let path = if is_uri { request.pool_uri() } else { request.pool_text(&[script_name, path_info])? };
        Some(Self { path, split, ..Self::default() })
    }

    /// An application that is mounted at `mount`. `None` when nginx has no memory.
    pub(super) fn mounted(request: Request, mount: &[u8]) -> Option<Self> {
        let (script_name, path_info) = gangway::cgi::split_mount(mount, request.uri());
        Some(Self { is_mounted: true, ..Self::new(request, script_name, path_info)? })
    }

    /// No script: the authorizer decides about the request as a whole.
    pub(super) fn of_authorizer() -> Self {
        Self { role: Role::Authorizer, ..Self::default() }
    }

    pub(crate) fn script_name(&self) -> &[u8] {
        self.path().get(..self.split).unwrap_or_default()
    }

    pub(crate) fn path_info(&self) -> &[u8] {
        self.path().get(self.split..).unwrap_or_default()
    }

    /// Both together.
    pub(super) fn path(&self) -> &[u8] {
        self.path.bytes()
    }

    /// Whether it names a script of PHP by its suffix.
    pub(super) fn is_script(&self, suffixes: &[Vec<u8>]) -> bool {
        let name = self.filename().unwrap_or_else(|| self.script_name());
        let Some(dot) = name.iter().rposition(|byte| *byte == b'.') else { return false };
        let suffix = name.get(dot + 1..).unwrap_or_default();
        suffixes.iter().any(|known| known == suffix)
    }

    pub(super) fn filename(&self) -> Option<&[u8]> {
        self.filename.as_ref().map(PoolText::bytes)
    }
}

/// What of the path of a request is its script's.
///
/// # Errors
/// 404 for a script that is not there; 500 when nginx fails.
pub(super) fn path_of(request: Request, location: &LocationConf) -> Result<ScriptPath, ngx_int_t> {
    let conf = &location.upstream;
    // As the stock modules: a FastCGI application is a script that the path names; the applications behind SCGI and
    // uwsgi are mounted at the location.
    if let Some(Pass::Group(scheme) | Pass::Address(scheme, _)) = conf.pass
        && scheme != Scheme::FastCgi
    {
        let (script_name, path_info) = gangway::cgi::split_mount(request.location_path(), request.uri());
        return ScriptPath::new(request, script_name, path_info).ok_or(INTERNAL_SERVER_ERROR);
    }
    let named = named(request, conf)?;
    if conf.script_check() == ScriptCheck::Off {
        return Ok(named.unwrap_or_else(|missing| missing));
    }
    let mut params = location.params.iter().flatten().rev();
    match params.find(|param| param.name == b"SCRIPT_FILENAME") {
        Some(param) => own_filename(request, conf, param, named.unwrap_or_else(|missing| missing)),
        None => named.map_err(|missing| refuse(request, missing.path())),
    }
}

/// Script name and path info of a request, whether or not the script is there.
pub(crate) fn names(request: Request, conf: &UpstreamConf) -> Option<ScriptPath> {
    Some(named(request, conf).ok()?.unwrap_or_else(|missing| missing))
}

/// Whether a request leads to something else than a script, by the suffix of what would be run.
pub(crate) fn is_no_script(request: Request, location: &LocationConf) -> bool {
    let conf = &location.upstream;
    let is_script = |script: ScriptPath| script.is_script(conf.suffixes());
    let mut params = location.params.iter().flatten().rev();
    match params.find(|param| param.name == b"SCRIPT_FILENAME") {
        // One file for all requests is the administrator's word.
        Some(param) if param.value.is_constant() => false,
        Some(param) => {
            let Some(filename) = request.evaluate(param.value) else { return false };
            let root = Files::of(&request).map(|files| files.root).unwrap_or_default();
            let look_at = |file: &[u8]| look(request, root, file, ScriptCheck::Symlinks);
            resolve(filename, conf.suffixes(), look_at) == Resolution::NotScript
        }
        // A script that is not there is the handler's to refuse.
        None => matches!(named(request, conf), Ok(Ok(script)) if !is_script(script)),
    }
}

/// Script name (without `gangway_index`) and path info of the request's path. `None` when the pattern failed, which
/// has been logged.
fn split_path<'r>(request: &'r Request, conf: &UpstreamConf) -> Option<(&'r [u8], &'r [u8])> {
    let path = request.uri();
    match conf.split {
        None => Some((path, b"")),
        Some(split) => split.apply(request, path),
    }
}

/// What the path names; the inner error is that of a script that is not there.
fn named(request: Request, conf: &UpstreamConf) -> Result<Result<ScriptPath, ScriptPath>, ngx_int_t> {
    let (script_name, path_info) = split_path(&request, conf).ok_or(INTERNAL_SERVER_ERROR)?;
    let script = if script_name.ends_with(b"/") && !conf.index().is_empty() {
        let path = request.pool_text(&[script_name, conf.index(), path_info]);
        let split = script_name.len() + conf.index().len();
        path.map(|path| ScriptPath { path, split, ..ScriptPath::default() })
    } else {
        ScriptPath::new(request, script_name, path_info)
    };
    let script = script.ok_or(INTERNAL_SERVER_ERROR)?;
    let check = conf.script_check();
    if check == ScriptCheck::Off || !may_name_script(&script, conf.suffixes()) {
        return Ok(Ok(script));
    }
    let files = Files::of(&request).ok_or(INTERNAL_SERVER_ERROR)?;
    let look_at = |name: &[u8]| look(request, files.root, &files.file(name).concat(), check);
    Ok(match resolve(script.path(), conf.suffixes(), look_at) {
        Resolution::NotScript => Ok(script),
        Resolution::Script { script_name, .. } => Ok(ScriptPath { split: script_name.len(), ..script }),
        Resolution::NotFound => Err(script),
    })
}

/// Whether a suffix stands anywhere in the path: most requests for other applications are told from scripts by this alone.
fn may_name_script(script: &ScriptPath, suffixes: &[Vec<u8>]) -> bool {
    let path = script.path();
    path.contains(&b'.')
        && suffixes.iter().any(|suffix| {
            !suffix.is_empty() && path.windows(suffix.len()).any(|window| window == suffix.as_slice())
        })
}

fn refuse(request: Request, path: &[u8]) -> ngx_int_t {
    report!(
        request,
        Error,
        SCRIPT_MISSING,
        "\"{}\" names no regular file below the root \"{}\"; if a symbolic link leads out of the root to it, \
         set gangway_script_check symlinks; if the scripts are on another machine, off",
        escape(path),
        escape(Files::of(&request).map(|files| files.root).unwrap_or_default()),
    );
    NOT_FOUND
}

/// SCRIPT_FILENAME by the administrator is what the backend runs, so it is looked at as well, when the request has a say
/// in it.
fn own_filename(
    request: Request,
    conf: &UpstreamConf,
    param: &ConfParam,
    mut script: ScriptPath,
) -> Result<ScriptPath, ngx_int_t> {
    if param.value.is_constant() {
        return Ok(script);
    }
    let filename = request.evaluate(param.value).ok_or(INTERNAL_SERVER_ERROR)?;
    let keep = |bytes: &[u8]| request.pool_text(&[bytes]).ok_or(INTERNAL_SERVER_ERROR);
    let root = Files::of(&request).ok_or(INTERNAL_SERVER_ERROR)?.root;
    // Below the root the root's rule holds; elsewhere the administrator has chosen another place.
    let check = if filename.starts_with(root) { conf.script_check() } else { ScriptCheck::Symlinks };
    match resolve(filename, conf.suffixes(), |file| look(request, root, file, check)) {
        Resolution::NotScript => script.filename = Some(keep(filename)?),
        Resolution::Script { script_name, path_info } => {
            script.filename = Some(keep(script_name)?);
            if script.path_info().is_empty() && script.path().ends_with(path_info) {
                script.split -= path_info.len();
            }
        }
        Resolution::NotFound => return Err(refuse(request, filename)),
    }
    Ok(script)
}

/// Where the files of a request are.
pub(super) struct Files<'r> {
    /// `$document_root`: the value of `root` or `alias`.
    pub(super) root: &'r [u8],
    /// How much of a path `alias` stands for.
    alias: usize,
}

impl<'r> Files<'r> {
    pub(super) fn of(request: &'r Request) -> Option<Self> {
        Some(Self { root: request.document_root()?, alias: request.alias() })
    }

    /// The file of a path, as ngx_http_map_uri_to_path(), in two parts.
    pub(super) fn file<'p>(&self, path: &'p [u8]) -> [&'p [u8]; 2]
    where
        'r: 'p,
    {
        // An alias with a pattern is the whole name of the file.
        [self.root, path.get(self.alias..).unwrap_or_default()]
    }
}

/// What stands at a path below the root.
fn look(request: Request, root: &[u8], file: &[u8], check: ScriptCheck) -> Entry {
    let now = Instant::now();
    let is_fresh = |seen: &Seen| {
        (seen.root, seen.check) == (root.len(), check) && now.duration_since(seen.since) < FRESH
    };
    if FOUND.with_borrow(|found| found.get(file).is_some_and(is_fresh)) {
        return Entry::File;
    }
    let entry = match kind(root, file, check) {
        Ok(entry) => entry,
        Err(error) => {
            if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
                report!(request, Error, SERVER_FAILED, "\"{}\": {error}", escape(file));
            }
            Entry::Nothing
        }
    };
    if entry == Entry::File {
        FOUND.with_borrow_mut(|found| {
            if found.len() >= REMEMBERED {
                found.clear();
            }
            found.insert(file.to_vec(), Seen { since: now, root: root.len(), check });
        });
    }
    entry
}

fn kind(root: &[u8], file: &[u8], check: ScriptCheck) -> io::Result<Entry> {
    let path = Path::new(OsStr::from_bytes(file));
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Ok(Entry::Directory);
    }
    if !metadata.is_file() {
        return Ok(Entry::Nothing);
    }
    if check == ScriptCheck::On {
        let root: PathBuf = fs::canonicalize(OsStr::from_bytes(root))?;
        if !fs::canonicalize(path)?.starts_with(root) {
            return Ok(Entry::Nothing);
        }
    }
    Ok(Entry::File)
}
