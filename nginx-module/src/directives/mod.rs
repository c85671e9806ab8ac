// SPDX-License-Identifier: MIT OR Apache-2.0
//! The directives: their table, what sets them, what an inner block inherits, and what is done when all are read.
//!
//! ```text
//! wsgi, native, cgi, managed, upstream/   a kind of handler and its settings
//! status                 gangway_status
//! python                 gangway_python_handler
//! scripts                gangway_access and its kin, which are handlers in other words
//! param                  gangway_param
//! variables              the variables that this module adds to nginx
//! ```
//! It names everything below it. A kind of handler is a line in [`KINDS`] and one in the table.

mod asgi;
mod cgi;
mod managed;
mod native;
mod param;
mod python;
mod scripts;
mod status;
mod upstream;
mod variables;
mod wsgi;

use std::{
    any::Any,
    ffi::{c_char, c_void},
    ptr,
};

use gangway::{
    config::{Engines, PerKind},
    engine::fence,
    error::TWO_HANDLERS,
};
use nginx_sys::{
    NGX_CONF_1MORE, NGX_CONF_NOARGS, NGX_CONF_TAKE1, NGX_CONF_TAKE23, NGX_HTTP_LIF_CONF, NGX_HTTP_LOC_CONF,
    NGX_HTTP_LOC_CONF_OFFSET, NGX_HTTP_MAIN_CONF, NGX_HTTP_MAIN_CONF_OFFSET, NGX_HTTP_SRV_CONF,
    ngx_command_t, ngx_conf_t, ngx_int_t,
};

use crate::{
    Shared,
    conf::{
        Handler, HandlerKind, HandlersConf, LocationConf, MainConf, UpstreamConf, UpstreamMain,
        VariableIndexes,
    },
    raw::{Conf, Phase, command, error_text},
    serve::accel,
};

pub(crate) use variables::add_variables;

const LOCATION: u32 = NGX_HTTP_LOC_CONF | NGX_HTTP_LIF_CONF;
const ANYWHERE: u32 = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | LOCATION;

/// Directives of this file.
const OWN: [ngx_command_t; 12] = [
    command(c"gangway_wsgi", LOCATION | NGX_CONF_1MORE, wsgi::set_wsgi, NGX_HTTP_LOC_CONF_OFFSET),
    command(c"gangway_asgi", LOCATION | NGX_CONF_1MORE, asgi::set_asgi, NGX_HTTP_LOC_CONF_OFFSET),
    command(c"gangway_native", LOCATION | NGX_CONF_1MORE, native::set_native, NGX_HTTP_LOC_CONF_OFFSET),
    command(c"gangway_cgi", LOCATION | NGX_CONF_1MORE, cgi::set_cgi, NGX_HTTP_LOC_CONF_OFFSET),
    command(c"gangway_spawn", LOCATION | NGX_CONF_1MORE, managed::set_spawn, NGX_HTTP_LOC_CONF_OFFSET),
    command(
        c"gangway_status",
        LOCATION | NGX_CONF_NOARGS | NGX_CONF_TAKE1,
        status::set_status,
        NGX_HTTP_LOC_CONF_OFFSET,
    ),
    command(
        c"gangway_python_handler",
        ANYWHERE | NGX_CONF_1MORE,
        python::set_python_handler,
        NGX_HTTP_LOC_CONF_OFFSET,
    ),
    command(c"gangway_access", ANYWHERE | NGX_CONF_1MORE, scripts::set_access, NGX_HTTP_LOC_CONF_OFFSET),
    command(
        c"gangway_authn_provider",
        ANYWHERE | NGX_CONF_1MORE,
        scripts::set_authn_provider,
        NGX_HTTP_LOC_CONF_OFFSET,
    ),
    command(
        c"gangway_authz_provider",
        ANYWHERE | NGX_CONF_1MORE,
        scripts::set_authz_provider,
        NGX_HTTP_LOC_CONF_OFFSET,
    ),
    command(c"gangway_param", ANYWHERE | NGX_CONF_TAKE23, param::set_param, NGX_HTTP_LOC_CONF_OFFSET),
    command(
        c"gangway_engine_dir",
        NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
        wsgi::set_engine_dir,
        NGX_HTTP_MAIN_CONF_OFFSET,
    ),
];

/// The table of directives: these, those of `gangway_pass`, and the end.
pub(crate) static COMMANDS: Shared<[ngx_command_t; OWN.len() + upstream::COUNT + 1]> =
    Shared(upstream::after(OWN));

/// The kinds of handlers, in the order in which they end with a process: that of applications may leave it at once.
pub(crate) const KINDS: [&HandlerKind; 5] =
    [&status::KIND, &cgi::KIND, &upstream::KIND, &managed::KIND, &wsgi::KIND];

/// Gives a location its handler, with the settings that its requests will find.
fn set_handler<T: Any>(
    cf: &Conf,
    location: &mut LocationConf,
    directive: &'static str,
    kind: &'static HandlerKind,
    settings: T,
) {
    location.handler = Some(Handler::new(directive, kind, settings));
    cf.set_content_handler(kind.content_handler);
}

/// Refuses a second handler for a location.
fn check_is_first(directive: &str, location: &LocationConf) -> Result<(), String> {
    match &location.handler {
        None => Ok(()),
        Some(known) if known.directive == directive => Err("is duplicate".into()),
        Some(known) => Err(format!(
            "{TWO_HANDLERS} cannot stand beside \"{}\" in one location: give each a location of its own",
            known.directive
        )),
    }
}

/// `if` and `limit_except` have the handler of their location.
fn inherit_handler(cf: &Conf, outer: &LocationConf, inner: &mut LocationConf) {
    // Another module's handler in an `if` is its own.
    if cf.is_nameless_block() && inner.handler.is_none() && !cf.has_content_handler() {
        inner.handler.clone_from(&outer.handler);
        inner.upstream.pass = outer.upstream.pass;
        inner.upstream.conf.upstream = outer.upstream.conf.upstream;
    }
    if let Some(handler) = &inner.handler {
        cf.set_limit_except_handler(handler.kind.content_handler);
    }
}

const OK: *mut c_char = ptr::null_mut();

fn answer(conf: &Conf, result: Result<(), String>) -> *mut c_char {
    match result {
        Ok(()) => OK,
        Err(text) => error_text(conf, &text),
    }
}

/// A setter: five lines around a safe function, which gets the configuration of the location, or none.
macro_rules! setter {
    ($name:ident, $body:expr) => {
        $crate::directives::setter!(@ $name, |cf, _| $body(cf));
    };
    ($name:ident, LocationConf, $body:expr) => {
        $crate::directives::setter!(@ $name, |cf, conf: *mut std::ffi::c_void| {
            // SAFETY: nginx calls a setter of a location with the configuration that create_location made.
            $body(cf, unsafe { &mut *conf.cast::<$crate::conf::LocationConf>() })
        });
    };
    (@ $name:ident, $body:expr) => {
        pub(in crate::directives) unsafe extern "C" fn $name(
            cf: *mut nginx_sys::ngx_conf_t,
            _: *mut nginx_sys::ngx_command_t,
            conf: *mut std::ffi::c_void,
        ) -> *mut std::ffi::c_char {
            gangway::engine::fence(stringify!($name), std::ptr::without_provenance_mut(usize::MAX), || {
                // SAFETY: nginx calls a setter with the live phase.
                let cf = unsafe { $crate::raw::Conf::from_raw(cf) };
                let set: fn(&$crate::raw::Conf, *mut std::ffi::c_void) -> Result<(), String> = $body;
                $crate::directives::answer(&cf, set(&cf, conf))
            })
        }
    };
}
use setter;

pub(crate) unsafe extern "C" fn create_main(cf: *mut ngx_conf_t) -> *mut c_void {
    // SAFETY: nginx calls this with the live phase.
    let cf = unsafe { Conf::from_raw(cf) };
    fence("create_main", ptr::null_mut(), || {
        let Some(upstream) = UpstreamMain::new(&cf) else { return ptr::null_mut() };
        let main = MainConf {
            engines: Engines::new(),
            kinds: PerKind::new(),
            variables: None,
            memo: None,
            notes_counts: false,
            upstream,
            balancers: Vec::new(),
        };
        cf.own(main).cast()
    })
}

pub(crate) unsafe extern "C" fn create_location(cf: *mut ngx_conf_t) -> *mut c_void {
    // SAFETY: nginx calls this with the live phase.
    let cf = unsafe { Conf::from_raw(cf) };
    fence("create_location", ptr::null_mut(), || {
        let (handlers, upstream) = (HandlersConf::default(), UpstreamConf::unset());
        cf.own(LocationConf { handler: None, params: None, handlers, upstream }).cast()
    })
}

pub(crate) unsafe extern "C" fn merge_location(
    cf: *mut ngx_conf_t,
    outer: *mut c_void,
    inner: *mut c_void,
) -> *mut c_char {
    fence("merge_location", ptr::without_provenance_mut(usize::MAX), || {
        // SAFETY: a live phase, and two configurations that create_location made.
        let (cf, outer, inner) = unsafe {
            (Conf::from_raw(cf), &mut *outer.cast::<LocationConf>(), &mut *inner.cast::<LocationConf>())
        };
        // As fastcgi_param: inherited only when there are none at this level.
        if inner.params.is_none() {
            inner.params.clone_from(&outer.params);
        }
        inherit_handler(&cf, outer, inner);
        let merged = python::merge(&cf, outer, inner)
            .and_then(|()| upstream::merge(&cf, &mut outer.upstream, &mut inner.upstream));
        match merged {
            Ok(()) => {
                let LocationConf { handler, upstream, .. } = inner;
                let settle = |handler: &Handler| (handler.kind.settle)(&cf, handler, upstream);
                answer(&cf, handler.as_ref().map_or(Ok(()), settle))
            }
            Err(text) => {
                cf.fail(&text);
                ptr::without_provenance_mut(usize::MAX)
            }
        }
    })
}

pub(crate) unsafe extern "C" fn postconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
    fence("postconfiguration", -1, || {
        // SAFETY: nginx calls this with the live phase, in the http block.
        let cf = unsafe { Conf::from_raw(cf) };
        let is_complete = cf.change_http(|main: &mut MainConf| {
            main.variables = variable_indexes(&cf);
            main.memo = cf.memo();
            main.notes_counts = variables::COUNTS.iter().any(|name| cf.uses_variable(name));
            crate::upstream::install_peers(&cf, &mut main.balancers);
            main.variables.is_some() && main.memo.is_some() && main.upstream.find_variables(&cf)
        });
        let (leaves_files, has_hosted) = cf.change_http(|main: &mut MainConf| {
            let services = main.kinds.entry::<crate::managed::Services>();
            (services.run_any_file(), services.has_hosted())
        });
        if has_hosted {
            crate::upstream::install_conditions();
        }
        let has_phases = python::install(&cf).unwrap_or_else(|text| {
            cf.fail(&text);
            false
        });
        if is_complete
            && has_phases
            && cf.add_phase_handler(Phase::Access, crate::upstream::access_handler)
            && (!leaves_files || cf.add_phase_handler(Phase::Precontent, crate::managed::leave_files))
        {
            accel::install(&cf)
        } else {
            -1
        }
    })
}

/// The postconfiguration of the second module, which has a place of its own among the filters.
pub(crate) unsafe extern "C" fn install_filters(cf: *mut ngx_conf_t) -> ngx_int_t {
    fence("install_filters", -1, || {
        // SAFETY: nginx calls this with the live phase, in the http block.
        python::install_filters(&unsafe { Conf::from_raw(cf) });
        0
    })
}

fn variable_indexes(cf: &Conf) -> Option<VariableIndexes> {
    Some(VariableIndexes { server_addr: cf.variable(b"server_addr")? })
}
