// SPDX-License-Identifier: MIT OR Apache-2.0
//! The directive, and the spawner's start.

use std::{
    rc::Rc,
    sync::{Mutex, PoisonError},
};

use gangway::{
    config::{Cgi, Parser},
    engine::fence,
    error::CGI_SPAWNER,
    log::{Level, escape},
    rights::Identity,
    sys::{
        explain,
        spawner::{Connection, Spawner},
    },
};
use nginx_sys::{
    ngx_cycle_t, ngx_http_upstream_srv_conf_t, ngx_int_t, ngx_pcalloc, ngx_str_t, ngx_test_config,
};

use super::peer;
use crate::{
    conf::{LocationConf, MainConf, setter},
    raw::{self, Conf},
    upstream::conf::{Pass, Scheme, two_handlers},
    wsgi::worker::main_conf_of,
};

/// How a location runs programs.
pub(crate) struct Programs {
    pub(crate) settings: Cgi,
    /// Equal ones share their places: this is the number.
    pub(crate) number: usize,
}

setter!(set_cgi, LocationConf, |cf: &Conf, location: &mut LocationConf| {
    if location.programs.is_some() {
        return Err("is duplicate".into());
    }
    if location.handler.is_some() {
        return Err(two_handlers("gangway_wsgi"));
    }
    if location.upstream.pass.is_some() {
        return Err(two_handlers("gangway_pass"));
    }
    let words = cf.words();
    let (first, rest) = words.get(1..).and_then(<[_]>::split_first).ok_or("needs on or off")?;
    match *first {
        b"on" => {}
        b"off" if rest.is_empty() => return Ok(()),
        b"off" => return Err("with off takes no options; remove them".into()),
        word => {
            return Err(format!("begins with \"{}\": on or off comes first, then options", escape(word)));
        }
    }
    let parser = Parser { base: cf.prefix(), timeout: None };
    let settings = parser.cgi(rest).map_err(|error| error.to_string())?;
    let number = cf.change_http(|main: &mut MainConf| {
        main.programs.iter().position(|known| *known == settings).unwrap_or_else(|| {
            main.programs.push(settings.clone());
            main.programs.len() - 1
        })
    });
    location.programs = Some(Rc::new(Programs { settings, number }));
    // What is not ours to decide is an upstream's: inheritance into `if`, buffers, caches.
    location.upstream.pass = Some(Pass::Group(Scheme::Scgi));
    location.upstream.conf.upstream = server_conf(cf).ok_or("finds no memory")?;
    cf.set_content_handler(crate::upstream::content_handler);
    cf.redirect_to_slash();
    Ok(())
});

/// An upstream whose balancer starts scripts.
fn server_conf(cf: &Conf) -> Option<*mut ngx_http_upstream_srv_conf_t> {
    // SAFETY: the pool of a configuration phase is live in it; all-zero is what nginx's own code starts from.
    unsafe {
        let size = size_of::<ngx_http_upstream_srv_conf_t>();
        let server = ngx_pcalloc((*cf.raw()).pool, size).cast::<ngx_http_upstream_srv_conf_t>().as_mut()?;
        server.peer.init = Some(peer::init);
        server.host = ngx_str_t { len: 3, data: b"cgi".as_ptr().cast_mut() };
        Some(server)
    }
}

/// What of the settings of upstreams the options decide, and where the scripts are.
pub(crate) fn settle(cf: &Conf, location: &mut LocationConf) -> Result<(), String> {
    let Some(programs) = &location.programs else { return Ok(()) };
    location.script_root = cf
        .captured_alias()
        .map(|root| cf.compile(root).ok_or("gangway_cgi finds no memory for its root"))
        .transpose()?;
    let conf = &mut location.upstream.conf;
    // nginx adds it to its clock: far away, but no overflow.
    let never = u32::MAX as u128 / 2;
    let timeout = programs.settings.timeout().map_or(never, |timeout| timeout.as_millis());
    conf.read_timeout = timeout.min(never) as _;
    if !programs.settings.abort() {
        conf.ignore_client_abort = 1;
    }
    if conf.request_buffering == 0 {
        // A script may answer before it has read everything, and read on.
        conf.set_preserve_output(1);
    }
    Ok(())
}

/// Made by the master; workers inherit its descriptor.
static SPAWNER: Mutex<Option<Spawner>> = Mutex::new(None);

/// The users of all directives, each once.
pub(super) fn users(settings: &[Cgi]) -> Vec<Identity> {
    let mut users: Vec<Identity> = Vec::new();
    for user in settings.iter().filter_map(Cgi::user) {
        if !users.contains(user) {
            users.push(user.clone());
        }
    }
    users
}

/// Forks the spawner, in the process that will fork the workers.
pub(crate) fn start_spawner(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    fence("start_spawner", nginx_sys::NGX_ERROR as ngx_int_t, || {
        // SAFETY: nginx calls a module's init_module in the master with a cycle whose configuration is complete.
        let (main, testing) = unsafe { (main_conf_of(cycle).as_ref(), ngx_test_config != 0) };
        let mut place = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
        if testing {
            return 0;
        }
        // That of an earlier configuration ends with the last worker that uses it.
        *place = None;
        let Some(main) = main.filter(|main| !main.programs.is_empty()) else { return 0 };
        match Spawner::start(&users(&main.programs), || raw::set_title(c"gangway spawner")) {
            Ok(spawner) => {
                *place = Some(spawner);
                0
            }
            Err(error) => {
                let line = format!(
                    "{CGI_SPAWNER} cannot start the process that starts scripts: {}",
                    explain(&error)
                );
                raw::process_log(Level::Error, &line);
                nginx_sys::NGX_ERROR as ngx_int_t
            }
        }
    })
}

/// A way to a helper of this worker's own.
pub(super) fn connect() -> std::io::Result<Connection> {
    let mut place = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    place.as_mut().ok_or(std::io::ErrorKind::NotConnected)?.connect()
}
