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
    log::{Level, escape},
    protocol::Role,
};
use nginx_sys::ngx_int_t;

use super::{
    INTERNAL_SERVER_ERROR,
    conf::{Pass, Scheme, ScriptCheck, UpstreamConf, split_path},
};
use crate::{conf::MainConf, module, raw::Request};

const NOT_FOUND: ngx_int_t = nginx_sys::NGX_HTTP_NOT_FOUND as ngx_int_t;

/// How long a script that was found counts as there. A backend finds by itself that a file is gone; what this saves is
/// a walk through the folders for each request.
const FRESH: Duration = Duration::from_secs(1);

/// How many scripts are remembered.
const REMEMBERED: usize = 4096;

thread_local! {
    /// Scripts that were found a moment ago, by the path below their root.
    static FOUND: RefCell<HashMap<Vec<u8>, Instant>> = RefCell::new(HashMap::new());
}

/// What of a path is the script's, and what is its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    pub(super) script_name: Vec<u8>,
    pub(super) path_info: Vec<u8>,
    pub(super) role: Role,
}

impl Place {
    /// Both together.
    pub(super) fn path(&self) -> Vec<u8> {
        [self.script_name.as_slice(), &self.path_info].concat()
    }
}

/// The place of a request.
///
/// # Errors
/// 404 for a script that is not there; 500 when nginx fails.
pub(super) fn place(request: Request, conf: &UpstreamConf) -> Result<Place, ngx_int_t> {
    // As the stock modules: a FastCGI application is a script that the path names; the applications behind SCGI and
    // uwsgi are mounted at the location.
    let mounted = match conf.pass {
        Some(Pass::Group(scheme) | Pass::Address(scheme, _)) => scheme != Scheme::FastCgi,
        Some(Pass::Url(_)) | None => false,
    };
    if mounted {
        let mount = request.location_path();
        let (script_name, path_info) = gangway::cgi::split_mount(mount, request.uri());
        return Ok(Place {
            script_name: script_name.to_vec(),
            path_info: path_info.to_vec(),
            role: Role::Responder,
        });
    }
    let (script_name, path_info) = split_path(&request, conf).ok_or(INTERNAL_SERVER_ERROR)?;
    let mut place =
        Place { script_name: script_name.to_vec(), path_info: path_info.to_vec(), role: Role::Responder };
    if place.script_name.ends_with(b"/") {
        place.script_name.extend_from_slice(conf.index());
    }
    match conf.script_check() {
        ScriptCheck::Off => Ok(place),
        check => checked(request, conf, check, place),
    }
}

fn checked(
    request: Request,
    conf: &UpstreamConf,
    check: ScriptCheck,
    place: Place,
) -> Result<Place, ngx_int_t> {
    // SAFETY: the http block's configuration outlives its requests.
    let main: &MainConf = unsafe { &*request.main_conf(module()) };
    let root = request.document_root(main).ok_or(INTERNAL_SERVER_ERROR)?;
    let path = place.path();
    let found = resolve(&path, conf.suffixes(), |name| look(request, root, name, check));
    match found {
        Resolution::NotScript => Ok(place),
        Resolution::Script { script_name, path_info } => {
            Ok(Place { script_name: script_name.to_vec(), path_info: path_info.to_vec(), role: place.role })
        }
        Resolution::NotFound => {
            let line = format!(
                "{SCRIPT_MISSING} \"{}\" names no regular file below the root \"{}\"; if the scripts are on another machine, set gangway_script_check off",
                escape(&path),
                escape(root)
            );
            request.log(Level::Error, &line);
            Err(NOT_FOUND)
        }
    }
}

/// What stands at a path below the root.
fn look(request: Request, root: &[u8], name: &[u8], check: ScriptCheck) -> Entry {
    let file = [root, name].concat();
    let now = Instant::now();
    let known =
        FOUND.with_borrow(|found| found.get(&file).is_some_and(|since| now.duration_since(*since) < FRESH));
    if known {
        return Entry::File;
    }
    let entry = match kind(root, &file, check) {
        Ok(entry) => entry,
        Err(error) => {
            if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
                request.log(Level::Error, &format!("{SERVER_FAILED} \"{}\": {error}", escape(&file)));
            }
            Entry::Nothing
        }
    };
    if entry == Entry::File {
        FOUND.with_borrow_mut(|found| {
            if found.len() >= REMEMBERED {
                found.clear();
            }
            found.insert(file, now);
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
