// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which file a request runs.

use gangway::{
    error::CGI_REFUSED,
    log::{Level, escape},
    report_at,
    run::{LEADS_OUT, MappedPath, Resolved, resolve},
    sys::files::{Kind, lies_below},
};
use nginx_sys::ngx_int_t;

use super::programs::Programs;
use crate::raw::{ALIAS_OF_ALL, FORBIDDEN, INTERNAL_SERVER_ERROR, MOVED, NOT_FOUND, Request};

/// A script that a request names.
pub(super) struct ScriptTarget {
    pub(super) file: Vec<u8>,
    pub(super) executable: bool,
    pub(super) script_name: Vec<u8>,
    pub(super) path_info: Vec<u8>,
    /// The folder of the scripts, where it is not `$document_root`.
    pub(super) root: Option<Vec<u8>>,
}

/// The path in the file system that a request is mapped to.
struct Mapped {
    path: Vec<u8>,
    /// How much of it is the root.
    root: usize,
    /// The root is not `$document_root`, which is the whole path.
    captured: bool,
}

impl Mapped {
    fn of(request: Request, programs: &Programs) -> Option<Self> {
        let (path, root) = request.map_to_path()?;
        let mut path = path.to_vec();
        let alias = request.alias();
        if let Some(Some(text)) = programs.root.get().copied()
            && alias == ALIAS_OF_ALL
        {
            let folder = request.evaluate(text)?;
            let root = if path.starts_with(folder) { folder.len() } else { 0 };
            return Some(Self { path, root, captured: true });
        }
        // `location /x/ { alias /srv/program; }`: the slash belongs to what follows the program, and nginx has taken it away.
        let took_slash = alias != ALIAS_OF_ALL
            && alias.checked_sub(1).and_then(|last| request.uri().get(last)) == Some(&b'/')
            && path.get(..root).is_some_and(|root| !root.ends_with(b"/"));
        if took_slash && path.get(..root).is_some_and(|root| matches!(Kind::at(root), Kind::File { .. })) {
            path.insert(root, b'/');
        }
        Some(Self { path, root, captured: false })
    }

    fn root(&self) -> &[u8] {
        self.path.get(..self.root).unwrap_or_default()
    }
}

impl ScriptTarget {
    /// The script of a request.
    ///
    /// # Errors
    /// The status that answers it.
    pub(super) fn of(request: Request, programs: &Programs) -> Result<Self, ngx_int_t> {
        let cgi = &programs.settings;
        let mapped = Mapped::of(request, programs).ok_or(INTERNAL_SERVER_ERROR)?;
        let log = |level, why: &str| {
            report_at!(request, level, CGI_REFUSED, "{}: {why}", escape(&mapped.path));
        };
        let uri = request.uri();
        match resolve(&MappedPath { path: &mapped.path, root: mapped.root, index: cgi.index() }, Kind::at) {
            Resolved::Script { file, executable, info, index } => {
                let root = mapped.root();
                // The administrator may name the script itself; what lies below a root may not lead out of it.
                let below = file.len() > root.len();
                if below && cgi.any_symlinks() != Some(true) && !lies_below(&file, root) {
                    log(Level::Error, LEADS_OUT);
                    return Err(FORBIDDEN);
                }
                let path_info = mapped.path.get(mapped.path.len().saturating_sub(info)..).unwrap_or_default();
                // Captures may stand in another order than in the path: then the whole path is the name.
                let name = uri.strip_suffix(path_info).unwrap_or(uri);
                Ok(Self {
                    executable,
                    script_name: [name, &index].concat(),
                    path_info: path_info.to_vec(),
                    root: mapped.captured.then(|| root.to_vec()),
                    file,
                })
            }
            Resolved::NeedsSlash => {
                let location = [uri, b"/"].concat();
                request.set_location(&location).ok_or(INTERNAL_SERVER_ERROR)?;
                Err(MOVED)
            }
            Resolved::Missing => {
                // As nginx's own files: log_not_found.
                let level = if request.logs_not_found() { Level::Error } else { Level::Info };
                log(level, "there is no such file");
                Err(NOT_FOUND)
            }
            Resolved::Forbidden => {
                log(Level::Error, "it is no plain file, or a directory without index=");
                Err(FORBIDDEN)
            }
        }
    }
}
