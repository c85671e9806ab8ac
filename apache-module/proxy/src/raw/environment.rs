// SPDX-License-Identifier: MIT OR Apache-2.0
//! The variables of a request, as httpd makes them: mod_proxy_fcgi, mod_proxy_scgi and mod_proxy_uwsgi send what
//! `ap_add_common_vars` and `ap_add_cgi_vars` say, and so do we, because sites and their tests rely on it. Those
//! functions drop `Proxy` and names that are not letters, digits and `-`, and obey CGIPassAuth.

use std::{
    ffi::{CStr, c_char, c_int},
    ptr,
};

use gangway::{
    error::SERVER_FAILED,
    log::{self},
    report,
};

use gangway_httpd::parts::OF_ONE_REQUEST;

use super::{
    INTERNAL_SERVER_ERROR, Request,
    conf::SetEnvIf,
    notes::{is_mounted, script_path},
    sys, text,
};
use crate::script;

/// Takes out what a part of a page has inherited and what is the page's alone.
pub(crate) fn forget_variables_of_page(request: Request<'_>) {
    if request.is_subrequest() {
        OF_ONE_REQUEST.iter().for_each(|name| request.unset_variable(name));
    }
}

/// Fills the request's table of variables, with SCRIPT_FILENAME from the URL without what no backend expects.
pub(crate) fn add_variables(request: Request<'_>, is_fastcgi: bool) {
    let raw = request.as_ptr();
    // SAFETY: a `Request` is live on this thread; its file name is a C string in its pool, which is put back.
    unsafe {
        let url = (*raw).filename;
        if is_fastcgi {
            if let Some(path) = script_path(request) {
                find_script(request, url, path);
            }
            if (*raw).filename == url {
                strip_url(request);
            }
        }
        let is_empty = (*sys::apr_table_elts((*raw).subprocess_env)).nelts == 0;
        add_common(request);
        if is_mounted(request) {
            add_mounted(request, is_empty);
        } else {
            sys::ap_add_cgi_vars(raw);
        }
        (*raw).filename = url;
    }
}

/// What httpd says of every request. Into a table that is empty it writes at once; otherwise it makes another one and merges
/// them, which costs more than the variables. mod_proxy's note on connections without a worker of their own is no reason.
fn add_common(request: Request<'_>) {
    const NOTE: &CStr = c"proxy-nokeepalive";
    let raw = request.as_ptr();
    // SAFETY: a `Request` is live on this thread, and httpd makes its table with it; the value lives as long.
    unsafe {
        let table = (*raw).subprocess_env;
        let note = sys::apr_table_get(table, NOTE.as_ptr());
        if note.is_null() {
            sys::ap_add_common_vars(raw);
        } else {
            sys::apr_table_unset(table, NOTE.as_ptr());
            sys::ap_add_common_vars(raw);
            sys::apr_table_setn(table, NOTE.as_ptr(), note);
        }
    }
}

/// The variables of an application that is mounted at a path. httpd would look for PATH_TRANSLATED with a subrequest, which
/// costs as much as a third of a small request; no file is meant here, so it is what RFC 3875 section 4.1.6 describes. If nobody
/// had set a variable before, nothing is looked for that could be replaced.
fn add_mounted(request: Request<'_>, was_empty: bool) {
    let set = if was_empty { sys::apr_table_addn } else { sys::apr_table_setn };
    let raw = request.as_ptr();
    // SAFETY: a `Request` is live on this thread; the path is put back, and all values are in its pool.
    unsafe {
        let path_info = std::mem::replace(&mut (*raw).path_info, ptr::null_mut());
        sys::ap_add_cgi_vars(raw);
        (*raw).path_info = path_info;
        let info = text(path_info);
        if info.is_empty() {
            return;
        }
        let name = request.uri().strip_suffix(info).unwrap_or_else(|| request.uri());
        let translated = request.pool().join(&[request.document_root(), info]);
        let table = (*raw).subprocess_env;
        sys::apr_table_setn(table, c"SCRIPT_NAME".as_ptr(), request.pool().keep(name));
        set(table, c"PATH_INFO".as_ptr(), path_info);
        set(table, c"PATH_TRANSLATED".as_ptr(), translated);
    }
}

/// Looks for the path that `proxy-fcgi-pathinfo` full has noted, without DocumentRoot before it and with it. When it
/// leads to a file, file name and PATH_INFO are those of the file.
///
/// # Safety
/// `url` is the request's file name, and `path` a C string in the request's pool.
unsafe fn find_script(request: Request<'_>, url: *mut c_char, path: *mut c_char) {
    let request = request.as_ptr();
    // SAFETY: a `Request` is live on this thread; what the walk changes is put back as mod_proxy_fcgi does, and the caller promises
    // that both strings live as long.
    unsafe {
        let (uri, path_info) = ((*request).uri, (*request).path_info);
        let (canonical, kind) = ((*request).canonical_filename, (*request).finfo.filetype);
        (*request).proxyreq = sys::PROXYREQ_NONE as c_int;
        for below_root in [false, true] {
            (*request).path_info = ptr::null_mut();
            (*request).finfo.filetype = sys::APR_NOFILE;
            (*request).uri = path;
            (*request).filename = path;
            (*request).canonical_filename = path;
            if !below_root || sys::ap_core_translate(request) == 0 {
                sys::ap_directory_walk(request);
            }
            if (*request).finfo.filetype == sys::APR_REG {
                break;
            }
        }
        (*request).proxyreq = sys::PROXYREQ_REVERSE as c_int;
        if (*request).finfo.filetype != sys::APR_REG {
            (*request).filename = url;
            (*request).canonical_filename = canonical;
            (*request).finfo.filetype = kind;
            (*request).path_info = path_info;
        }
        (*request).uri = uri;
    }
}

/// Gives SCRIPT_FILENAME, which httpd makes of the file name, the form that the backend expects.
fn strip_url(request: Request<'_>) {
    let generic = request.conf().is_some_and(|conf| !conf.may_be_fpm());
    let Some(name) = script::script_filename(request.filename(), generic, request.query()) else { return };
    request.set_filename(&[&name]);
}

/// `ProxyFCGISetEnvIf`, in order.
///
/// # Errors
/// A status: a condition could not be evaluated.
pub(crate) fn apply_set_env_if(request: Request<'_>) -> Result<(), c_int> {
    let Some(conf) = request.conf() else { return Ok(()) };
    conf.set_env_if.iter().try_for_each(|entry| apply(request, entry))
}

/// `GangwayParam`: what it says wins over all others.
///
/// # Errors
/// A status: an expression failed.
pub(crate) fn apply_params(request: Request<'_>) -> Result<(), c_int> {
    let Some(conf) = request.conf() else { return Ok(()) };
    for param in conf.params {
        let mut error: *const c_char = ptr::null();
        // SAFETY: a `Request` is live on this thread, and httpd makes its table with it; names, values and expressions live in the pool
        // of the configuration, which lives as long, and what an expression gives in the request's own.
        unsafe {
            let value = match param.expression {
                None => param.value.as_ptr(),
                Some(expression) => {
                    sys::ap_expr_str_exec(request.as_ptr(), expression.as_ptr(), &raw mut error)
                }
            };
            if !error.is_null() {
                log_expression(request, "value", "GangwayParam", param.name, text(error));
                return Err(INTERNAL_SERVER_ERROR);
            }
            if !param.if_not_empty || !text(value).is_empty() {
                sys::apr_table_setn((*request.as_ptr()).subprocess_env, param.name.as_ptr(), value);
            }
        }
    }
    Ok(())
}

fn apply(request: Request<'_>, entry: &SetEnvIf<'_>) -> Result<(), c_int> {
    let mut matches = [sys::ap_regmatch_t { rm_so: -1, rm_eo: -1 }; sys::AP_MAX_REG_MATCH as usize];
    let (mut source, mut error): (*const c_char, *const c_char) = (ptr::null(), ptr::null());
    let (raw, condition) = (request.as_ptr(), entry.condition.as_ptr());
    // SAFETY: a `Request` is live on this thread, and httpd makes its table with it; expressions and names live in the pool of the
    // configuration. The second call is given what the first has matched.
    unsafe {
        let table = (*raw).subprocess_env;
        let (most, found) = (matches.len(), matches.as_mut_ptr());
        let holds = sys::ap_expr_exec_re(raw, condition, most, found, &raw mut source, &raw mut error);
        if holds < 0 {
            log_expression(request, "condition", "ProxyFCGISetEnvIf", entry.name, text(error));
            return Err(INTERNAL_SERVER_ERROR);
        }
        if holds == 0 {
            return Ok(());
        }
        let Some(value) = entry.value else {
            request.unset_variable(entry.name);
            return Ok(());
        };
        let value =
            sys::ap_expr_str_exec_re(raw, value.as_ptr(), most, found, &raw mut source, &raw mut error);
        if error.is_null() {
            sys::apr_table_setn(table, entry.name.as_ptr(), value);
        } else {
            log_expression(request, "value", "ProxyFCGISetEnvIf", entry.name, text(error));
        }
    }
    Ok(())
}

fn log_expression(request: Request<'_>, what: &str, directive: &str, name: &CStr, why: &[u8]) {
    let (name, why) = (log::escape(name.to_bytes()), log::escape(why));
    report!(request, Error, SERVER_FAILED, "the {what} of {directive} for {name} failed: {why}");
}
