// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_wsgi`, and where engines are.

use std::{cell::OnceCell, rc::Rc, time::Duration};

use gangway::{
    config::{Application, ConfigError, Engines, Parser},
    runtime,
};

use super::{check_is_first, setter};
use crate::{
    conf::{Handler, LocationConf, MainConf},
    raw::Conf,
    wsgi,
};

/// How long an application may give no output when `timeout=` is not set, as fastcgi_read_timeout.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

setter!(set_wsgi, LocationConf, |cf: &Conf, conf: &mut LocationConf| {
    check_is_first("gangway_wsgi", conf)?;
    set_application(cf, conf, |parser, engines, words| parser.interface(engines, "wsgi", words))
});

/// Gives a location an application that runs in this process.
pub(super) fn set_application(
    cf: &Conf,
    conf: &mut LocationConf,
    parse: impl FnOnce(&Parser<'_>, &mut Engines, &[&[u8]]) -> Result<Application, ConfigError>,
) -> Result<(), String> {
    let words = cf.words();
    let parser = Parser { base: cf.prefix(), timeout: Some(DEFAULT_TIMEOUT) };
    let config = cf.change_http(|main: &mut MainConf| {
        let parsed = parse(&parser, &mut main.engines, words.get(1..).unwrap_or_default());
        let config = parsed.map_err(|error| error.to_string())?;
        main.engines.take_refusals().iter().for_each(|line| cf.warn(line));
        main.applications.push(config.clone());
        runtime::check(&main.applications).map_err(|(_, reason)| reason)?;
        Ok::<_, String>(config)
    })?;
    let handler = Handler { config, mount: cf.location_path(), application: OnceCell::new() };
    conf.handler = Some(Rc::new(handler));
    cf.set_content_handler(wsgi::content_handler);
    Ok(())
}

setter!(set_engine_dir, MainConf, |cf: &Conf, conf: &mut MainConf| {
    conf.engines.name_directory(cf.prefix(), cf.words().get(1).copied().unwrap_or_default())
});
