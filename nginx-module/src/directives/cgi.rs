// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_cgi`.

use gangway::{config::Parser, log::escape};

use super::{check_is_first, set_handler, setter};
use crate::{
    cgi::{self, AllSettings, Programs},
    conf::{Counted, Handler, HandlerKind, LocationConf, MainConf, Pass, Scheme, UpstreamConf},
    raw::Conf,
};

/// Programs, on nginx's upstream.
pub(super) static KIND: HandlerKind = HandlerKind {
    settle,
    prepare: cgi::start_spawner,
    stop: cgi::stop,
    ..HandlerKind::new(cgi::content_handler)
};

setter!(set_cgi, LocationConf, |cf: &Conf, location: &mut LocationConf| {
    check_is_first("gangway_cgi", location)?;
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
    let name = cf.location_name();
    let programs = cf.change_http(|main: &mut MainConf| {
        let mut programs = main.kinds.entry::<AllSettings>().add(settings);
        let cgi = &programs.settings;
        let limits = (u32::try_from(cgi.processes()).unwrap_or(u32::MAX), cgi.queue());
        let name: &[u8] = if name.is_empty() { b"cgi" } else { &name };
        programs.counted = main.kinds.entry::<Counted>().add_scripts(programs.number, name, limits);
        programs
    });
    set_handler(cf, location, "gangway_cgi", &KIND, programs);
    // What is not ours to decide is an upstream's: inheritance into `if`, buffers, caches.
    location.upstream.pass = Some(Pass::Group(Scheme::Scgi));
    location.upstream.conf.upstream = cgi::server_conf(cf).ok_or("finds no memory")?;
    cf.redirect_to_slash();
    Ok(())
});

/// What of the settings of upstreams the options decide, and where the scripts are.
fn settle(cf: &Conf, handler: &Handler, upstream: &mut UpstreamConf) -> Result<(), String> {
    let Some(programs) = handler.settings::<Programs>() else { return Ok(()) };
    programs.root.get_or_try_init(|| {
        let root = cf.captured_alias();
        root.map(|root| cf.compile(root).ok_or("gangway_cgi finds no memory for its root")).transpose()
    })?;
    let conf = &mut upstream.conf;
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
