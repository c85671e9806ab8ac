// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file of nginx's error log, to which processes write that are not nginx's: which one it is, and when it is opened anew.

use std::{
    fs::{File, OpenOptions},
    os::{
        fd::BorrowedFd,
        unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    },
    path::Path,
    sync::Mutex,
};

use gangway::{engine::fence, sys::lock};
use nginx_sys::{NGX_PROCESS_MASTER, NGX_PROCESS_SINGLE, ngx_log_t, ngx_open_file_t, ngx_process};

use super::{Cycle, str_bytes};

type FlushFn = unsafe extern "C" fn(*mut ngx_open_file_t, *mut ngx_log_t);

/// A file that is looked after, from [`Cycle::when_log_reopens`] to the end of its cycle.
#[derive(Clone, Copy)]
struct WatchedLog {
    /// The address of nginx's structure, which no other has meanwhile.
    file: usize,
    /// What is done.
    then: fn(&File),
    /// What the file's other user wants to be done.
    other: Option<FlushFn>,
}

static WATCHED: Mutex<Vec<WatchedLog>> = Mutex::new(Vec::new());

/// Ends with the cycle of a file that is looked after.
struct WatchEnd(usize);

impl Drop for WatchEnd {
    fn drop(&mut self) {
        lock(&WATCHED).retain(|watched| watched.file != self.0);
    }
}

/// Whether this process forks the workers, or is the only one.
pub(crate) fn is_parent() -> bool {
    // SAFETY: a plain number of nginx's one thread.
    [NGX_PROCESS_SINGLE, NGX_PROCESS_MASTER].contains(&(unsafe { ngx_process } as u32))
}

/// Whether nginx runs already, with a master, and has read its configuration once more.
pub(crate) fn is_reload() -> bool {
    // SAFETY: a plain number of nginx's one thread.
    unsafe { ngx_process as u32 == NGX_PROCESS_MASTER }
}

impl<'c> Cycle<'c> {
    /// nginx has one in every configuration.
    fn log_file(&self) -> Option<*mut ngx_open_file_t> {
        let mut log = self.raw().log;
        // SAFETY: the logs of a live cycle, each with the next one or NULL; the file of one is the cycle's own.
        while let Some(found) = unsafe { log.as_ref() } {
            if !found.file.is_null() {
                return Some(found.file);
            }
            log = found.next;
        }
        None
    }

    /// The file of the error log.
    pub(crate) fn log(&self) -> Option<BorrowedFd<'c>> {
        let file = self.log_file()?;
        // SAFETY: nginx has opened the files of a complete configuration, and closes them with the cycle.
        unsafe { (*file).fd >= 0 }.then(|| unsafe { BorrowedFd::borrow_raw((*file).fd) })
    }

    /// Has `then` called in the process that forks workers when nginx opens its error log anew, with the new file.
    pub(crate) fn when_log_reopens(&self, then: fn(&File)) {
        let Some(file) = self.log_file() else { return };
        if let Some(known) = lock(&WATCHED).iter_mut().find(|watched| watched.file == file.addr()) {
            known.then = then;
            return;
        }
        // SAFETY: a file of a live cycle, which nginx's one thread uses.
        let other = unsafe { (*file).flush };
        lock(&WATCHED).push(WatchedLog { file: file.addr(), then, other });
        self.own(WatchEnd(file.addr()));
        // Without memory it has ended already.
        if watched(file).is_some() {
            // SAFETY: a file of a live cycle, which nginx's one thread uses; what is called looks for it in the list.
            unsafe { (*file).flush = Some(reopens) };
        }
    }
}

fn watched(file: *const ngx_open_file_t) -> Option<WatchedLog> {
    lock(&WATCHED).iter().find(|watched| watched.file == file.addr()).copied()
}

/// What nginx calls before it opens a log anew, and at the end of a process. The file is opened as nginx does it next.
unsafe extern "C" fn reopens(file: *mut ngx_open_file_t, log: *mut ngx_log_t) {
    fence("reopens", (), || {
        let Some(WatchedLog { then, other, .. }) = watched(file) else { return };
        if let Some(other) = other {
            // SAFETY: what has stood at this place of the file is called as nginx would.
            unsafe { other(file, log) };
        }
        // SAFETY: nginx calls this with a live file of its cycle.
        let name = unsafe { str_bytes(&(*file).name) };
        if !is_parent() || name.is_empty() {
            return;
        }
        let path = Path::new(std::ffi::OsStr::from_bytes(name));
        if let Ok(opened) = OpenOptions::new().append(true).create(true).mode(0o644).open(path) {
            then(&opened);
        }
    });
}
