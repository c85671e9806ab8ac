// SPDX-License-Identifier: MIT OR Apache-2.0
//! The variables of a request, as httpd makes them: mod_proxy_fcgi, mod_proxy_scgi and mod_proxy_uwsgi send what
//! `ap_add_common_vars` and `ap_add_cgi_vars` say, and so do we, because sites and their tests rely on it. Those
//! functions drop `Proxy` and names that are not letters, digits and `-`, and obey CGIPassAuth.

use std::{
    ffi::{c_char, c_int},
    ptr,
};

use gangway::{
    error::SERVER_FAILED,
    log::{self, Level},
};

use gangway_httpd::parts::OF_ONE_REQUEST;

use super::{INTERNAL_SERVER_ERROR, Request, conf::SetEnvIf, request_state::State, sys, text};
use crate::script;

impl Request<'_> {
    /// Notes a path to look for in the file system, for `proxy-fcgi-pathinfo` full.
    pub(crate) fn look_for_script(self, path: &[u8]) {
        State::of(self).script_path = self.keep(path);
    }

    /// Takes out what a part of a page has inherited and what is the page's alone.
    pub(crate) fn forget_variables_of_page(self) {
        if !self.is_subrequest() {
            return;
        }
        for name in OF_ONE_REQUEST {
            // SAFETY: a live request and its table.
            unsafe { sys::apr_table_unset((*self.as_ptr()).subprocess_env, name.as_ptr()) }
        }
    }

    /// Fills the request's table of variables, with SCRIPT_FILENAME from the URL without what no backend expects.
    pub(crate) fn add_variables(self, is_fastcgi: bool) {
        let request = self.as_ptr();
        // SAFETY: a live request; its file name is a C string in its pool.
        unsafe {
            let url = (*request).filename;
            if is_fastcgi {
                self.find_script(url);
                if (*request).filename == url {
                    self.strip_url(url);
                }
            }
            let is_empty = (*sys::apr_table_elts((*request).subprocess_env)).nelts == 0;
            self.add_common();
            if self.is_mounted() {
                self.add_mounted(is_empty);
            } else {
                sys::ap_add_cgi_vars(request);
            }
            (*request).filename = url;
        }
    }

    /// What httpd says of every request. Into a table that is empty it writes at once; otherwise it makes another one and merges
    /// them, which costs more than the variables. mod_proxy's note on connections without a worker of their own is no reason.
    fn add_common(self) {
        const NOTE: &std::ffi::CStr = c"proxy-nokeepalive";
        let request = self.as_ptr();
        // SAFETY: a live request and its table; the value lives as long.
        unsafe {
            let table = (*request).subprocess_env;
            let note = sys::apr_table_get(table, NOTE.as_ptr());
            if note.is_null() {
                sys::ap_add_common_vars(request);
            } else {
                sys::apr_table_unset(table, NOTE.as_ptr());
                sys::ap_add_common_vars(request);
                sys::apr_table_setn(table, NOTE.as_ptr(), note);
            }
        }
    }

    /// The variables of an application that is mounted at a path. httpd would look for PATH_TRANSLATED with a subrequest, which
    /// costs as much as a third of a small request; no file is meant here, so it is what RFC 3875 section 4.1.6 describes. If nobody
    /// had set a variable before, nothing is looked for that could be replaced.
    fn add_mounted(self, was_empty: bool) {
        let set = if was_empty { sys::apr_table_addn } else { sys::apr_table_setn };
        let request = self.as_ptr();
        // SAFETY: a live request; the path is put back, and all values are in its pool.
        unsafe {
            let path_info = std::mem::replace(&mut (*request).path_info, ptr::null_mut());
            sys::ap_add_cgi_vars(request);
            (*request).path_info = path_info;
            let info = text(path_info);
            if info.is_empty() {
                return;
            }
            let name = self.uri().strip_suffix(info).unwrap_or_else(|| self.uri());
            let translated = self.join(&[text(sys::ap_document_root(request)), info]);
            let table = (*request).subprocess_env;
            sys::apr_table_setn(table, c"SCRIPT_NAME".as_ptr(), self.keep(name));
            set(table, c"PATH_INFO".as_ptr(), path_info);
            set(table, c"PATH_TRANSLATED".as_ptr(), translated);
        }
    }

    /// Whether `GangwayPass` has mounted its application at a path.
    pub(crate) fn is_mounted(self) -> bool {
        State::if_any(self).is_some_and(|state| state.is_mounted)
    }

    /// Notes that its application is mounted at a path, and which part of the path lies below.
    pub(crate) fn set_mounted(self, below: &[u8]) {
        self.set_path_info(below);
        State::of(self).is_mounted = true;
    }

    /// Looks for the path that `look_for_script` has noted, without DocumentRoot before it and with it. When it
    /// leads to a file, file name and PATH_INFO are those of the file.
    ///
    /// # Safety
    /// `url` is the request's file name.
    unsafe fn find_script(self, url: *mut c_char) {
        let path = State::of(self).script_path;
        if path.is_null() {
            return;
        }
        let request = self.as_ptr();
        // SAFETY: a live request; what the walk changes is put back as mod_proxy_fcgi does.
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

    /// Gives SCRIPT_FILENAME the form that the backend expects.
    ///
    /// # Safety
    /// `url` is the request's file name.
    unsafe fn strip_url(self, url: *mut c_char) {
        // SAFETY: a C string in the request's pool.
        let name = unsafe { text(url) };
        let generic = self.conf().is_some_and(|conf| !conf.may_be_fpm());
        let Some(name) = script::script_filename(name, generic, self.args()) else { return };
        // SAFETY: a live request.
        unsafe { (*self.as_ptr()).filename = self.keep(&name) }
    }

    fn args(self) -> &'static [u8] {
        // SAFETY: NULL or a C string in the request's pool; not kept.
        unsafe { text((*self.as_ptr()).args) }
    }

    /// `ProxyFCGISetEnvIf`, in order.
    ///
    /// # Errors
    /// A status: a condition could not be evaluated.
    pub(crate) fn apply_set_env_if(self) -> Result<(), c_int> {
        let Some(conf) = self.conf() else { return Ok(()) };
        for entry in conf.set_env_if.as_slice() {
            self.apply(entry)?;
        }
        Ok(())
    }

    /// `GangwayParam`: what it says wins over all others.
    ///
    /// # Errors
    /// A status: an expression failed.
    pub(crate) fn apply_params(self) -> Result<(), c_int> {
        let Some(conf) = self.conf() else { return Ok(()) };
        for param in conf.params.as_slice() {
            let mut error: *const c_char = ptr::null();
            // SAFETY: a live request and its table; names, values and expressions live in the configuration's pool.
            unsafe {
                let value = if param.expr.is_null() {
                    param.value.as_c_str().as_ptr()
                } else {
                    sys::ap_expr_str_exec(self.as_ptr(), param.expr, &raw mut error)
                };
                if !error.is_null() {
                    self.log_expression("value", "GangwayParam", param.name.as_slice(), text(error));
                    return Err(INTERNAL_SERVER_ERROR);
                }
                if !param.if_not_empty || !text(value).is_empty() {
                    let name = param.name.as_c_str().as_ptr();
                    sys::apr_table_setn((*self.as_ptr()).subprocess_env, name, value);
                }
            }
        }
        Ok(())
    }

    fn apply(self, entry: &SetEnvIf) -> Result<(), c_int> {
        let mut matches = [sys::ap_regmatch_t { rm_so: -1, rm_eo: -1 }; sys::AP_MAX_REG_MATCH as usize];
        let (mut source, mut error): (*const c_char, *const c_char) = (ptr::null(), ptr::null());
        let request = self.as_ptr();
        // SAFETY: a live request; expressions and names live in the configuration's pool. The second call is given
        // what the first has matched.
        unsafe {
            let table = (*request).subprocess_env;
            let (most, found) = (matches.len(), matches.as_mut_ptr());
            let holds =
                sys::ap_expr_exec_re(request, entry.condition, most, found, &raw mut source, &raw mut error);
            if holds < 0 {
                self.log_expression("condition", "ProxyFCGISetEnvIf", entry.name.as_slice(), text(error));
                return Err(INTERNAL_SERVER_ERROR);
            }
            if holds == 0 {
                return Ok(());
            }
            let name = entry.name.as_c_str().as_ptr();
            if entry.value.is_null() {
                sys::apr_table_unset(table, name);
                return Ok(());
            }
            let value =
                sys::ap_expr_str_exec_re(request, entry.value, most, found, &raw mut source, &raw mut error);
            if error.is_null() {
                sys::apr_table_setn(table, name, value);
            } else {
                self.log_expression("value", "ProxyFCGISetEnvIf", entry.name.as_slice(), text(error));
            }
        }
        Ok(())
    }

    fn log_expression(self, what: &str, directive: &str, name: &[u8], why: &[u8]) {
        let (name, why) = (log::escape(name), log::escape(why));
        self.log(
            Level::Error,
            &format!("{SERVER_FAILED} the {what} of {directive} for {name} failed: {why}"),
        );
    }

    /// Whether `CGIPassAuth Off` stands in the configuration.
    pub(crate) fn hides_authorization(self) -> bool {
        self.core_conf().is_some_and(|conf| conf.cgi_pass_auth() == sys::AP_CGI_PASS_AUTH_OFF)
    }
}
