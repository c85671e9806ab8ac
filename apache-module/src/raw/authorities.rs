// SPDX-License-Identifier: MIT OR Apache-2.0
//! Providers of httpd's modules for authentication and authorization, whose answers are a script's.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    sync::OnceLock,
};

use gangway::engine::fence;
use gangway_httpd::text;

use super::{
    Request, is_loaded,
    sys::{self, apr_pool_t, authn_status, authz_status, request_rec},
};

/// What a script says of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Granted,
    Denied,
    /// It is not the script's to say.
    Unknown,
    /// The script has failed, and lets nobody in.
    Failed,
}

/// The hash of a user, or why there is none.
pub(crate) type RealmHash = Result<Vec<u8>, Verdict>;

/// Who asks the scripts.
#[derive(Clone, Copy)]
pub(crate) struct AuthScripts {
    /// Whether a user has this password.
    pub(crate) password: fn(Request<'_>, &[u8], &[u8]) -> Verdict,
    /// The hash of user, realm and password, or why there is none.
    pub(crate) hash: fn(Request<'_>, &[u8], &[u8]) -> RealmHash,
    /// Whether the user of the request is in one of these groups.
    pub(crate) groups: fn(Request<'_>, &[&[u8]]) -> Verdict,
}

static SCRIPTS: OnceLock<AuthScripts> = OnceLock::new();

static USERS: sys::authn_provider =
    sys::authn_provider { check_password: Some(check_password), get_realm_hash: Some(get_realm_hash) };
static GROUPS: sys::authz_provider =
    sys::authz_provider { check_authorization: Some(check_groups), parse_require_line: None };

/// Registers the providers `gangway` and `gangway-group`, and without mod_wsgi those that it has.
///
/// # Safety
/// httpd registers hooks, with this pool.
pub(crate) unsafe fn register_authorities(pool: *mut apr_pool_t, scripts: AuthScripts) {
    let _set_already = SCRIPTS.set(scripts);
    let users = (&raw const USERS).cast();
    let groups = (&raw const GROUPS).cast();
    // SAFETY: the caller's pool is that of the configuration; names and providers live for the process.
    unsafe {
        register(pool, c"authn", c"gangway", users);
        register(pool, c"authz", c"gangway-group", groups);
        if !is_loaded(c"mod_wsgi.c") {
            register(pool, c"authn", c"wsgi", users);
            register(pool, c"authz", c"wsgi-group", groups);
        }
    }
}

/// # Safety
/// `pool` is that of the configuration, and `provider` one of its group that lives for the process.
unsafe fn register(pool: *mut apr_pool_t, group: &CStr, name: &CStr, provider: *const c_void) {
    // SAFETY: the caller's promises; both groups have had this one version.
    unsafe {
        sys::ap_register_auth_provider(
            pool,
            group.as_ptr(),
            name.as_ptr(),
            c"0".as_ptr(),
            provider,
            sys::AP_AUTH_INTERNAL_PER_CONF as c_int,
        );
    }
}

/// Asks a script on behalf of httpd's modules. What cannot be asked has failed.
///
/// # Safety
/// `r` is a live request of this thread.
unsafe fn ask(
    name: &'static str,
    r: *mut request_rec,
    body: impl FnOnce(&AuthScripts, Request<'_>) -> Verdict,
) -> Verdict {
    fence(name, Verdict::Failed, || {
        // SAFETY: the caller promises a live request of this thread.
        let request = unsafe { Request::from_raw(r) };
        SCRIPTS.get().zip(request).map_or(Verdict::Failed, |(scripts, request)| body(scripts, request))
    })
}

unsafe extern "C" fn check_password(
    r: *mut request_rec,
    user: *const c_char,
    password: *const c_char,
) -> authn_status {
    // SAFETY: httpd's module calls this with a live request of this thread and two C strings.
    let verdict = unsafe {
        ask("check_password", r, |scripts, request| (scripts.password)(request, text(user), text(password)))
    };
    match verdict {
        Verdict::Granted => sys::AUTH_GRANTED,
        Verdict::Denied => sys::AUTH_DENIED,
        Verdict::Unknown => sys::AUTH_USER_NOT_FOUND,
        Verdict::Failed => sys::AUTH_GENERAL_ERROR,
    }
}

unsafe extern "C" fn get_realm_hash(
    r: *mut request_rec,
    user: *const c_char,
    realm: *const c_char,
    hash: *mut *mut c_char,
) -> authn_status {
    // SAFETY: httpd's module calls this with a live request of this thread, two C strings and the place of the answer, which lives as
    // long as the request.
    let verdict = unsafe {
        ask("get_realm_hash", r, |scripts, request| match (scripts.hash)(request, text(user), text(realm)) {
            Ok(value) => {
                *hash = request.pool().keep(&value);
                Verdict::Granted
            }
            Err(verdict) => verdict,
        })
    };
    match verdict {
        Verdict::Granted => sys::AUTH_USER_FOUND,
        Verdict::Denied | Verdict::Unknown => sys::AUTH_USER_NOT_FOUND,
        Verdict::Failed => sys::AUTH_GENERAL_ERROR,
    }
}

unsafe extern "C" fn check_groups(
    r: *mut request_rec,
    names: *const c_char,
    _parsed: *const c_void,
) -> authz_status {
    // SAFETY: httpd's module calls this with a live request of this thread, whose user is NULL or a C string.
    if unsafe { (*r).user.is_null() } {
        return sys::AUTHZ_DENIED_NO_USER;
    }
    // SAFETY: httpd's module calls this with a live request of this thread and the C string behind the provider's name.
    let verdict = unsafe {
        ask("check_groups", r, |scripts, request| (scripts.groups)(request, &words(request, names)))
    };
    match verdict {
        Verdict::Granted => sys::AUTHZ_GRANTED,
        Verdict::Denied | Verdict::Unknown => sys::AUTHZ_DENIED,
        Verdict::Failed => sys::AUTHZ_GENERAL_ERROR,
    }
}

/// The words of a line, by httpd's rules for quotes.
///
/// # Safety
/// `line` is NULL or a C string.
unsafe fn words<'r>(request: Request<'r>, line: *const c_char) -> Vec<&'r [u8]> {
    let mut rest = line;
    let mut words = Vec::new();
    // SAFETY: the caller's promise; ap_getword_conf moves `rest` along the string and answers C strings in the request's pool.
    unsafe {
        while !rest.is_null() && *rest != 0 {
            words.push(text(sys::ap_getword_conf(request.pool().as_ptr(), &raw mut rest)));
        }
    }
    words
}
