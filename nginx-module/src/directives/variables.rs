// SPDX-License-Identifier: MIT OR Apache-2.0
//! The variables of nginx that this module adds: `$gangway_script_name` and `$gangway_path_info` as their `fastcgi_`
//! namesakes, `$gangway_host`, what was counted of a request, `$gangway_variable_NAME` of an authorizer, and
//! `$gangway_env_NAME` of handlers.

use std::time::Duration;

use gangway::engine::fence;
use nginx_sys::{
    NGX_HTTP_VAR_NOCACHEABLE, NGX_HTTP_VAR_NOHASH, NGX_HTTP_VAR_PREFIX, ngx_conf_t, ngx_http_add_variable,
    ngx_http_get_variable_pt, ngx_http_request_t, ngx_http_variable_value_t, ngx_int_t, ngx_str_t,
};

use crate::{
    conf::LocationConf,
    raw::{Request, add_memo, str_bytes},
    serve::{
        counting,
        memo::{self, CountNote},
    },
    upstream,
};

/// Adds the variables; nginx calls it before it reads the http block.
pub(crate) unsafe extern "C" fn add_variables(cf: *mut ngx_conf_t) -> ngx_int_t {
    let variables: [(&'static [u8], ngx_http_get_variable_pt); 7] = [
        (b"gangway_script_name", Some(script_name)),
        (b"gangway_path_info", Some(path_info)),
        (b"gangway_host", Some(host)),
        (COUNTS[0], Some(application)),
        (COUNTS[1], Some(queue_time)),
        (COUNTS[2], Some(app_time)),
        (COUNTS[3], Some(process)),
    ];
    for (name, handler) in variables {
        let mut name = ngx_str_t { len: name.len(), data: name.as_ptr().cast_mut() };
        let flags = NGX_HTTP_VAR_NOCACHEABLE | NGX_HTTP_VAR_NOHASH;
        // SAFETY: nginx calls this in a configuration phase, and copies the name.
        let variable = unsafe { ngx_http_add_variable(cf, &raw mut name, flags as usize).as_mut() };
        let Some(variable) = variable else { return -1 };
        variable.get_handler = handler;
    }
    let prefixes: [(&'static [u8], ngx_http_get_variable_pt); 2] =
        [(PREFIX, Some(authorized)), (ENVIRONMENT, Some(environment))];
    for (name, handler) in prefixes {
        let mut name = ngx_str_t { len: name.len(), data: name.as_ptr().cast_mut() };
        let flags = NGX_HTTP_VAR_NOCACHEABLE | NGX_HTTP_VAR_NOHASH | NGX_HTTP_VAR_PREFIX;
        // SAFETY: nginx calls this in a configuration phase, and copies the name.
        match unsafe { ngx_http_add_variable(cf, &raw mut name, flags as usize).as_mut() } {
            Some(variable) => variable.get_handler = handler,
            None => return -1,
        }
    }
    // SAFETY: nginx calls this in a configuration phase, which is live.
    unsafe { add_memo(cf) }.map_or(-1, |()| 0)
}

/// What was counted of a request.
pub(super) const COUNTS: [&[u8]; 4] =
    [b"gangway_application", b"gangway_queue_time", b"gangway_app_time", b"gangway_process"];

/// `$gangway_variable_NAME`: what the authorizer has said in `Variable-NAME`.
const PREFIX: &[u8] = b"gangway_variable_";

/// `$gangway_env_NAME`: what handlers of phases have put into the environment.
const ENVIRONMENT: &[u8] = b"gangway_env_";

unsafe extern "C" fn environment(
    r: *mut ngx_http_request_t,
    value: *mut ngx_http_variable_value_t,
    name: usize,
) -> ngx_int_t {
    fence("environment", -1, || {
        // SAFETY: nginx asks for a variable of a live request; for a prefix the data is the variable's whole name.
        let (request, value, name) = unsafe {
            let name = std::ptr::with_exposed_provenance::<ngx_str_t>(name);
            (Request::from_raw(r), &mut *value, str_bytes(&*name))
        };
        // nginx has it in lower case.
        let wanted = name.get(ENVIRONMENT.len()..).unwrap_or_default();
        let known = memo::environment(request);
        match known.iter().find(|(known, _)| known.eq_ignore_ascii_case(wanted)) {
            Some((_, text)) => set(request, value, text),
            None => {
                value.set_not_found(1);
                0
            }
        }
    })
}

unsafe extern "C" fn authorized(
    r: *mut ngx_http_request_t,
    value: *mut ngx_http_variable_value_t,
    name: usize,
) -> ngx_int_t {
    fence("authorized", -1, || {
        // SAFETY: nginx asks for a variable of a live request; for a prefix the data is the variable's whole name.
        let (request, value, name) = unsafe {
            let name = std::ptr::with_exposed_provenance::<ngx_str_t>(name);
            (Request::from_raw(r), &mut *value, str_bytes(&*name))
        };
        let wanted = name.get(PREFIX.len()..).unwrap_or_default();
        let same = |known: &[u8]| {
            known.len() == wanted.len()
                && known.iter().zip(wanted).all(|(a, b)| match a {
                    b'-' => *b == b'_',
                    _ => a.eq_ignore_ascii_case(b),
                })
        };
        let authorization = memo::authorization(request);
        let mut variables = authorization.iter().flat_map(|answer| answer.variables());
        match variables.find(|(known, _)| same(known)) {
            Some((_, text)) => set(request, value, text),
            None => {
                value.set_not_found(1);
                0
            }
        }
    })
}

unsafe extern "C" fn script_name(
    r: *mut ngx_http_request_t,
    value: *mut ngx_http_variable_value_t,
    _: usize,
) -> ngx_int_t {
    fence("script_name", -1, || {
        // SAFETY: nginx asks for a variable of a live request and gives room for its value.
        let (request, value) = unsafe { (Request::from_raw(r), &mut *value) };
        upstream::names(request, &request.location::<LocationConf>().upstream)
            .map_or(-1, |place| set(request, value, place.script_name()))
    })
}

unsafe extern "C" fn path_info(
    r: *mut ngx_http_request_t,
    value: *mut ngx_http_variable_value_t,
    _: usize,
) -> ngx_int_t {
    fence("path_info", -1, || {
        // SAFETY: nginx asks for a variable of a live request and gives room for its value.
        let (request, value) = unsafe { (Request::from_raw(r), &mut *value) };
        upstream::names(request, &request.location::<LocationConf>().upstream)
            .map_or(-1, |place| set(request, value, place.path_info()))
    })
}

/// `$gangway_host`: HTTP_HOST, or what an application makes of SERVER_NAME and SERVER_PORT without it.
unsafe extern "C" fn host(
    r: *mut ngx_http_request_t,
    value: *mut ngx_http_variable_value_t,
    _: usize,
) -> ngx_int_t {
    fence("host", -1, || {
        // SAFETY: nginx asks for a variable of a live request and gives room for its value.
        let (request, value) = unsafe { (Request::from_raw(r), &mut *value) };
        if let Some(told) = request.told_host() {
            return set(request, value, told);
        }
        let port = request.server_port().to_string();
        set(request, value, &[request.server_name(), b":", port.as_bytes()].concat())
    })
}

/// A variable of what was counted: its text, if the request has come to an application.
macro_rules! count_variable {
    ($name:ident, $text:expr) => {
        unsafe extern "C" fn $name(
            r: *mut ngx_http_request_t,
            value: *mut ngx_http_variable_value_t,
            _: usize,
        ) -> ngx_int_t {
            fence(stringify!($name), -1, || {
                // SAFETY: nginx asks for a variable of a live request and gives room for its value.
                let (request, value) = unsafe { (Request::from_raw(r), &mut *value) };
                let text: fn(CountNote) -> Option<String> = $text;
                match memo::counts(request).and_then(text) {
                    Some(text) => set(request, value, text.as_bytes()),
                    None => {
                        value.set_not_found(1);
                        0
                    }
                }
            })
        }
    };
}

count_variable!(application, |note| counting::name(note.number));
count_variable!(queue_time, |note| note.queue.map(seconds));
count_variable!(app_time, |note| note.run.map(seconds));
count_variable!(process, |note| note.process.map(|pid| pid.to_string()));

fn seconds(time: Duration) -> String {
    format!("{:.6}", time.as_secs_f64())
}

/// Gives nginx a copy that lives as long as the request.
fn set(request: Request, value: &mut ngx_http_variable_value_t, bytes: &[u8]) -> ngx_int_t {
    let (Ok(len), Some(text)) = (u32::try_from(bytes.len()), request.text(bytes)) else { return -1 };
    value.set_len(len);
    value.set_valid(1);
    value.set_no_cacheable(0);
    value.set_not_found(0);
    value.data = text.data;
    0
}
