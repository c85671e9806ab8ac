// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_wsgi`, and where engines are.

use std::time::Duration;

use gangway::{
    config::{ApplicationConf, ConfigError, Engines, Parser, Placed},
    runtime,
};

use super::{check_is_first, managed::set_managed, set_handler, setter};
use crate::{
    conf::{Counted, HandlerKind, LocationConf, MainConf},
    raw::Conf,
    wsgi::{self, Applications, Mounted},
};

/// Applications in this process, of `gangway_wsgi`, `gangway_asgi` and `gangway_native`.
pub(super) static KIND: HandlerKind = HandlerKind {
    prepare: wsgi::warn_of_closed_folders,
    start: wsgi::start,
    stop: wsgi::stop,
    ..HandlerKind::new(wsgi::content_handler)
};

/// How long an application may give no output when `timeout=` is not set, as fastcgi_read_timeout.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

setter!(set_wsgi, LocationConf, |cf: &Conf, conf: &mut LocationConf| {
    let placed = parse(cf, conf, "gangway_wsgi", |parser, engines, words| {
        parser.placed_interface(engines, "wsgi", words)
    })?;
    set_placed(cf, conf, "gangway_wsgi", placed)
});

/// Reads the words of a directive that gives a location an application.
pub(super) fn parse<T>(
    cf: &Conf,
    location: &LocationConf,
    directive: &'static str,
    parse: impl FnOnce(&Parser<'_>, &mut Engines, &[&[u8]]) -> Result<T, ConfigError>,
) -> Result<T, String> {
    check_is_first(directive, location)?;
    let words = cf.words();
    let parser = Parser { base: cf.prefix(), timeout: Some(DEFAULT_TIMEOUT) };
    cf.change_http(|main: &mut MainConf| {
        let parsed = parse(&parser, &mut main.engines, words.get(1..).unwrap_or_default());
        let parsed = parsed.map_err(|error| error.to_string())?;
        main.engines.take_refusals().iter().for_each(|line| cf.warn(line));
        Ok(parsed)
    })
}

/// Gives a location an application, where its words say that it runs.
pub(super) fn set_placed(
    cf: &Conf,
    location: &mut LocationConf,
    directive: &'static str,
    placed: Placed,
) -> Result<(), String> {
    match placed {
        Placed::InProcess(config) => set_application(cf, location, directive, config),
        Placed::Managed(managed) => set_managed(cf, location, directive, *managed),
    }
}

/// Gives a location an application that runs in this process.
fn set_application(
    cf: &Conf,
    location: &mut LocationConf,
    directive: &'static str,
    config: ApplicationConf,
) -> Result<(), String> {
    let counted = cf.change_http(|main: &mut MainConf| {
        let Applications { all, .. } = main.kinds.entry();
        all.push(config.clone());
        runtime::check_newest(all)?;
        let counted = main.kinds.entry::<Counted>().add_application(&config);
        main.kinds.entry::<Applications>().counted.push(counted);
        Ok::<_, String>(counted)
    })?;
    set_handler(cf, location, directive, &KIND, Mounted::new(config, cf.location_path(), counted));
    Ok(())
}

setter!(set_engine_dir, |cf: &Conf| {
    let directory = cf.words().get(1).copied().unwrap_or_default();
    cf.change_http(|main: &mut MainConf| main.engines.name_directory(cf.prefix(), directory))
});
