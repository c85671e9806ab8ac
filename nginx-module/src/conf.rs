// SPDX-License-Identifier: MIT OR Apache-2.0
//! Directives.

use std::{
    cell::OnceCell,
    ffi::{c_char, c_void},
    path::PathBuf,
    ptr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use gangway::{
    config::{self, Application as Config, Parser, WSGI},
    engine::fence,
    runtime::{self, Application},
};
use nginx_sys::{
    NGX_CONF_1MORE, NGX_CONF_TAKE1, NGX_CONF_TAKE23, NGX_HTTP_LIF_CONF, NGX_HTTP_LOC_CONF,
    NGX_HTTP_LOC_CONF_OFFSET, NGX_HTTP_MAIN_CONF, NGX_HTTP_MAIN_CONF_OFFSET, NGX_HTTP_SRV_CONF,
    ngx_command_t, ngx_conf_t, ngx_int_t,
};

use crate::{
    Shared, cgi,
    raw::{Conf, ConfText, MemoIndex, PerHttp, PerLocation, Phase, command, error_text},
    serve::{accel, memo::Memo},
    upstream::{
        self,
        conf::{UpstreamConf, UpstreamMain, two_handlers},
    },
    wsgi::handler,
};

/// How long an application may give no output when `timeout=` is not set, as fastcgi_read_timeout.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

const LOCATION: u32 = NGX_HTTP_LOC_CONF | NGX_HTTP_LIF_CONF;
const ANYWHERE: u32 = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | LOCATION;

/// Directives of this file.
const OWN: [ngx_command_t; 4] = [
    command(c"gangway_wsgi", LOCATION | NGX_CONF_1MORE, set_wsgi, NGX_HTTP_LOC_CONF_OFFSET),
    command(c"gangway_cgi", LOCATION | NGX_CONF_1MORE, cgi::conf::set_cgi, NGX_HTTP_LOC_CONF_OFFSET),
    command(c"gangway_param", ANYWHERE | NGX_CONF_TAKE23, set_param, NGX_HTTP_LOC_CONF_OFFSET),
    command(
        c"gangway_engine_dir",
        NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
        set_engine_dir,
        NGX_HTTP_MAIN_CONF_OFFSET,
    ),
];

/// The table of directives: these, those of `gangway_pass`, and the end.
pub(crate) static COMMANDS: Shared<[ngx_command_t; OWN.len() + upstream::conf::COUNT + 1]> =
    Shared(upstream::conf::after(OWN));

/// The http block's part.
pub(crate) struct MainConf {
    pub(crate) engine_dir: Option<PathBuf>,
    /// Every application, in the order of the configuration.
    pub(crate) applications: Vec<Config>,
    /// The settings of scripts, each once.
    pub(crate) programs: Vec<config::Cgi>,
    pub(crate) variables: Option<VariableIndexes>,
    /// Where requests keep what is known of them over redirects.
    pub(crate) memo: Option<MemoIndex<Memo>>,
    /// What `gangway_pass` needs.
    pub(crate) upstream: UpstreamMain,
    pub(crate) balancers: upstream::Balancers,
}

// SAFETY: `create_main` makes it.
unsafe impl PerHttp for MainConf {}

/// Variables of nginx that requests need.
#[derive(Clone, Copy)]
pub(crate) struct VariableIndexes {
    pub(crate) server_addr: ngx_int_t,
}

/// A location's part.
pub(crate) struct LocationConf {
    /// `gangway_wsgi`; the blocks of `if` and `limit_except` share that of their location.
    pub(crate) handler: Option<Rc<Handler>>,
    /// `gangway_cgi`, likewise.
    pub(crate) programs: Option<Rc<cgi::conf::Programs>>,
    /// Where its scripts are, when `alias` makes the whole path of captures.
    pub(crate) script_root: Option<ConfText>,
    /// `None`: those of the enclosing block.
    pub(crate) params: Option<Vec<Param>>,
    /// `gangway_pass` and its settings.
    pub(crate) upstream: UpstreamConf,
}

// SAFETY: `create_location` makes it.
unsafe impl PerLocation for LocationConf {}

/// What a location runs.
pub(crate) struct Handler {
    pub(crate) config: Config,
    /// The path of the location, empty when it has none.
    pub(crate) mount: Vec<u8>,
    /// The application in this worker.
    pub(crate) application: OnceCell<Arc<Application>>,
}

/// gangway_param.
#[derive(Clone)]
pub(crate) struct Param {
    pub(crate) name: Vec<u8>,
    pub(crate) value: ConfText,
    pub(crate) if_not_empty: bool,
}

const OK: *mut c_char = ptr::null_mut();

pub(crate) fn answer(conf: &Conf, result: Result<(), String>) -> *mut c_char {
    match result {
        Ok(()) => OK,
        Err(text) => error_text(conf, &text),
    }
}

/// A setter: five lines around a safe function.
macro_rules! setter {
    ($name:ident, $target:ty, $body:expr) => {
        pub(crate) unsafe extern "C" fn $name(
            cf: *mut nginx_sys::ngx_conf_t,
            _: *mut nginx_sys::ngx_command_t,
            conf: *mut std::ffi::c_void,
        ) -> *mut std::ffi::c_char {
            gangway::engine::fence(stringify!($name), std::ptr::without_provenance_mut(usize::MAX), || {
                // SAFETY: nginx calls a setter with the live phase and the configuration that create_* made.
                let (cf, conf) = unsafe { ($crate::raw::Conf::from_raw(cf), &mut *conf.cast::<$target>()) };
                $crate::conf::answer(&cf, $body(&cf, conf))
            })
        }
    };
}
pub(crate) use setter;

setter!(set_wsgi, LocationConf, |cf: &Conf, conf: &mut LocationConf| {
    if conf.handler.is_some() {
        return Err("is duplicate".into());
    }
    if conf.programs.is_some() {
        return Err(two_handlers("gangway_cgi"));
    }
    if conf.upstream.pass.is_some() {
        return Err(two_handlers("gangway_pass"));
    }
    let words = cf.words();
    let parser = Parser { base: cf.prefix(), timeout: Some(DEFAULT_TIMEOUT) };
    let config =
        parser.application(&WSGI, words.get(1..).unwrap_or_default()).map_err(|error| error.to_string())?;
    cf.change_http(|main: &mut MainConf| {
        main.applications.push(config.clone());
        runtime::check(main.engine_dir.as_ref(), &main.applications).map_err(|(_, reason)| reason)
    })?;
    let handler = Handler { config, mount: cf.location_path(), application: OnceCell::new() };
    conf.handler = Some(Rc::new(handler));
    cf.set_content_handler(handler::content_handler);
    Ok(())
});

setter!(set_param, LocationConf, |cf: &Conf, conf: &mut LocationConf| {
    let param = param(cf)?;
    conf.params.get_or_insert_default().push(param);
    Ok(())
});

/// The words of `gangway_param`.
pub(crate) fn param(cf: &Conf) -> Result<Param, String> {
    let words = cf.words();
    let [_, name, value, flags @ ..] = words.as_slice() else {
        return Err("needs a name and a value".into());
    };
    if let Some(flag) = flags.first()
        && *flag != b"if_not_empty"
    {
        let flag = String::from_utf8_lossy(flag);
        return Err(format!("has an unknown word \"{flag}\": only if_not_empty may follow the value"));
    }
    config::check_param_name(&String::from_utf8_lossy(name)).map_err(|error| error.to_string())?;
    let value = cf.compile(value).ok_or("has a value that nginx cannot compile")?;
    Ok(Param { name: name.to_vec(), value, if_not_empty: !flags.is_empty() })
}

setter!(set_engine_dir, MainConf, |cf: &Conf, conf: &mut MainConf| {
    use std::os::unix::ffi::OsStrExt;
    if conf.engine_dir.is_some() {
        return Err("is duplicate".into());
    }
    if !conf.applications.is_empty() {
        return Err("must stand before the first application: move it to the top of the http block".into());
    }
    let words = cf.words();
    let directory = cf.prefix().join(std::ffi::OsStr::from_bytes(words.get(1).copied().unwrap_or_default()));
    if !directory.is_dir() {
        return Err(format!(
            "names \"{}\", which is not a directory; create it or correct the path",
            directory.display()
        ));
    }
    conf.engine_dir = Some(directory);
    Ok(())
});

pub(crate) unsafe extern "C" fn create_main(cf: *mut ngx_conf_t) -> *mut c_void {
    // SAFETY: nginx calls this with the live phase.
    let cf = unsafe { Conf::from_raw(cf) };
    fence("create_main", ptr::null_mut(), || {
        let Some(upstream) = UpstreamMain::new(&cf) else { return ptr::null_mut() };
        let main = MainConf {
            engine_dir: None,
            applications: Vec::new(),
            programs: Vec::new(),
            variables: None,
            memo: None,
            upstream,
            balancers: Default::default(),
        };
        cf.own(main).cast()
    })
}

pub(crate) unsafe extern "C" fn create_location(cf: *mut ngx_conf_t) -> *mut c_void {
    // SAFETY: nginx calls this with the live phase.
    let cf = unsafe { Conf::from_raw(cf) };
    fence("create_location", ptr::null_mut(), || {
        cf.own(LocationConf {
            handler: None,
            programs: None,
            script_root: None,
            params: None,
            upstream: UpstreamConf::unset(),
        })
        .cast()
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
        if cf.is_nameless_block() && inner.handler.is_none() && inner.upstream.pass.is_none() {
            inner.handler.clone_from(&outer.handler);
            inner.programs.clone_from(&outer.programs);
        }
        if inner.handler.is_some() {
            cf.set_limit_except_handler(handler::content_handler);
        }
        match upstream::conf::merge(&cf, &mut outer.upstream, &mut inner.upstream) {
            Ok(()) => answer(&cf, cgi::conf::settle(&cf, inner)),
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
            // SAFETY: nobody else asks for the place.
            main.memo = unsafe { cf.memo() };
            upstream::install_peers(&cf, &mut main.balancers);
            main.variables.is_some() && main.memo.is_some() && main.upstream.find_variables(&cf)
        });
        if is_complete && cf.add_phase_handler(Phase::Access, upstream::access_handler) {
            accel::install(&cf)
        } else {
            -1
        }
    })
}

fn variable_indexes(cf: &Conf) -> Option<VariableIndexes> {
    Some(VariableIndexes { server_addr: cf.variable(b"server_addr")? })
}
