// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_spawn`, and applications of `gangway_wsgi` in processes of their own.

use gangway::{
    config::{Command, Managed, Parser, Replay},
    runtime,
};
use nginx_sys::{NGX_HTTP_UPSTREAM_FT_ERROR, NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT};

use super::{check_is_first, set_handler, setter};
use crate::{
    conf::{Counted, Handler, HandlerKind, LocationConf, MainConf, Pass, Scheme, UpstreamConf},
    managed::{self, Service, Services},
    raw::Conf,
};

/// How much later than an application's own host nginx gives up, in milliseconds.
const HOST_GRACE: usize = 1000;

/// Applications in processes of their own, on nginx's upstream.
pub(super) static KIND: HandlerKind = HandlerKind {
    settle,
    prepare: managed::prepare,
    start: managed::start,
    stop: managed::stop,
    ..HandlerKind::new(managed::content_handler)
};

setter!(set_spawn, LocationConf, |cf: &Conf, location: &mut LocationConf| {
    check_is_first("gangway_spawn", location)?;
    let words = cf.words();
    let parser = Parser { base: cf.prefix(), timeout: None };
    let managed = parser.program(words.get(1..).unwrap_or_default()).map_err(|error| error.to_string())?;
    set_managed(cf, location, "gangway_spawn", managed)
});

/// Gives a location an application that runs in processes of its own.
pub(super) fn set_managed(
    cf: &Conf,
    location: &mut LocationConf,
    directive: &'static str,
    managed: Managed,
) -> Result<(), String> {
    runtime::check_managed(&managed)?;
    let is_hosted = matches!(managed.launch().command, Command::Host { .. });
    let counted = cf.change_http(|main: &mut MainConf| {
        let host = is_hosted.then(|| main.engines.host()).transpose().map_err(|error| error.to_string())?;
        main.kinds.entry::<Services>().add(&managed, host);
        Ok::<_, String>(main.kinds.entry::<Counted>().add_managed(&managed))
    })?;
    let mount = is_hosted.then(|| cf.location_path());
    set_handler(cf, location, directive, &KIND, Service::new(managed, mount, counted));
    // What is not ours to decide is an upstream's: inheritance into `if`, buffers, caches.
    location.upstream.pass = Some(Pass::Group(Scheme::FastCgi));
    location.upstream.is_hosted = is_hosted;
    location.upstream.conf.upstream = managed::server_conf(cf).ok_or("finds no memory")?;
    if !is_hosted {
        cf.redirect_to_slash();
    }
    Ok(())
}

/// What of the settings of upstreams the options decide.
fn settle(_: &Conf, handler: &Handler, upstream: &mut UpstreamConf) -> Result<(), String> {
    let Some(service) = handler.settings::<Service>() else { return Ok(()) };
    // What the options say, as for an application in the workers.
    upstream.pass_authorization = service.managed().pass_authorization().into();
    let conf = &mut upstream.conf;
    let is_program = matches!(service.managed().launch().command, Command::Program { .. });
    if let Some(timeout) = service.managed().timeout() {
        // nginx adds it to its clock: far away, but no overflow.
        conf.read_timeout = timeout.as_millis().min(u32::MAX as u128 / 2) as _;
    } else if !is_program {
        conf.read_timeout = u32::MAX as usize / 2;
    }
    // Until it is connected, a request waits for its turn.
    conf.connect_timeout = conf.read_timeout;
    if !is_program {
        // The host knows which of its threads gives no output, and answers by itself; what it does not answer is stuck.
        conf.read_timeout += HOST_GRACE;
    }
    // An application may answer before it has read everything, and read on.
    conf.set_preserve_output(1);
    // Another process is asked only if the first one has ended.
    conf.next_upstream = NGX_HTTP_UPSTREAM_FT_ERROR as _;
    if service.managed().replay() == Replay::All {
        conf.next_upstream |= NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT as usize;
    }
    // How often, replay= and what a process says of a request decide.
    (conf.next_upstream_tries, conf.next_upstream_timeout) = (0, 0);
    // A program that takes one request at a time serves one connection at a time: one that is kept for another request would
    // keep the requests of other workers out.
    if is_program && upstream.keep_conn == 2 {
        upstream.keep_conn = 0;
    }
    Ok(())
}
