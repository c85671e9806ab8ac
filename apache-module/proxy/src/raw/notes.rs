// SPDX-License-Identifier: MIT OR Apache-2.0
//! What we keep with a request from one hook to the next.

use std::{
    cell::Cell,
    ffi::{CStr, c_char},
    ptr,
};

use super::Request;

/// What a response asks for instead of itself: C strings in the request's pool, or NULL.
#[derive(Clone, Copy)]
struct Asked {
    target: *const c_char,
    is_file: bool,
}

/// Plain data in the request's pool.
struct Kept {
    /// The path to look for in the file system: a C string in the request's pool, or NULL.
    script_path: Cell<*mut c_char>,
    asked: Cell<Asked>,
    /// `GangwayPass` has made PATH_INFO the part below its mount.
    is_mounted: Cell<bool>,
}

/// What a response asks for instead of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instead<'r> {
    /// This file.
    File(&'r CStr),
    /// What a GET for this path gets.
    Path(&'r CStr),
}

/// What is kept with a request, if anything is.
fn kept(request: Request<'_>) -> Option<&Kept> {
    // SAFETY: the module's own place holds NULL or what `keep` has put there, in the request's pool.
    unsafe { (*request.place()).cast::<Kept>().as_ref() }
}

/// Changes what is kept with a request, made at its first use.
fn keep(request: Request<'_>, change: impl FnOnce(&Kept)) {
    if let Some(kept) = kept(request) {
        return change(kept);
    }
    let none = Asked { target: ptr::null(), is_file: false };
    let kept = Kept {
        script_path: Cell::new(ptr::null_mut()),
        asked: Cell::new(none),
        is_mounted: Cell::new(false),
    };
    let place: &Kept = request.pool().put(kept);
    // SAFETY: the module's own place in a live request, which lives as long as the request's pool.
    unsafe { *request.place() = ptr::from_ref(place).cast_mut().cast() }
    change(place);
}

/// Whether `GangwayPass` has mounted its application at a path.
pub(crate) fn is_mounted(request: Request<'_>) -> bool {
    kept(request).is_some_and(|kept| kept.is_mounted.get())
}

/// Notes that its application is mounted at a path, and which part of the path lies below.
pub(crate) fn set_mounted(request: Request<'_>, below: &[u8]) {
    request.set_path_info(below);
    keep(request, |kept| kept.is_mounted.set(true));
}

/// Notes a path to look for in the file system, for `proxy-fcgi-pathinfo` full.
pub(crate) fn look_for_script(request: Request<'_>, path: &[u8]) {
    let path = request.pool().keep(path);
    keep(request, |kept| kept.script_path.set(path));
}

/// The path that was noted: a C string in the request's pool.
pub(super) fn script_path(request: Request<'_>) -> Option<*mut c_char> {
    kept(request).map(|kept| kept.script_path.get()).filter(|path| !path.is_null())
}

/// Notes what a response asks for instead of itself.
pub(super) fn set_instead<'r>(request: Request<'r>, instead: Instead<'r>) {
    let (target, is_file) = match instead {
        Instead::File(file) => (file, true),
        Instead::Path(path) => (path, false),
    };
    // The request may be wrapped again in a later hook: then the text has to be the pool's.
    let target = request.pool().keep(target.to_bytes());
    keep(request, |kept| kept.asked.set(Asked { target, is_file }));
}

/// What a response has asked for, once.
pub(super) fn take_instead(request: Request<'_>) -> Option<Instead<'_>> {
    let none = Asked { target: ptr::null(), is_file: false };
    let asked = kept(request)?.asked.replace(none);
    if asked.target.is_null() {
        return None;
    }
    // SAFETY: `set_instead` has put a C string there that is in the request's pool.
    let target = unsafe { CStr::from_ptr(asked.target) };
    Some(if asked.is_file { Instead::File(target) } else { Instead::Path(target) })
}
