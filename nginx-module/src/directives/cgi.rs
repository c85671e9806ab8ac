// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_cgi`.

use std::rc::Rc;

use gangway::{config::Parser, log::escape};

use super::{check_is_first, setter};
use crate::{
    cgi,
    conf::{LocationConf, MainConf, Pass, Programs, Scheme},
    raw::Conf,
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
    let number = cf.change_http(|main: &mut MainConf| {
        main.programs.iter().position(|known| *known == settings).unwrap_or_else(|| {
            main.programs.push(settings.clone());
            main.programs.len() - 1
        })
    });
    location.programs = Some(Rc::new(Programs { settings, number }));
    // What is not ours to decide is an upstream's: inheritance into `if`, buffers, caches.
    location.upstream.pass = Some(Pass::Group(Scheme::Scgi));
    location.upstream.conf.upstream = cgi::server_conf(cf).ok_or("finds no memory")?;
    cf.set_content_handler(cgi::content_handler);
    cf.redirect_to_slash();
    Ok(())
});

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
