// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_wsgi`, and where engines are.

use std::{cell::OnceCell, ffi::OsStr, os::unix::ffi::OsStrExt, rc::Rc, time::Duration};

use gangway::{
    config::{Parser, WSGI},
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
    cf.set_content_handler(wsgi::content_handler);
    Ok(())
});

setter!(set_engine_dir, MainConf, |cf: &Conf, conf: &mut MainConf| {
    if conf.engine_dir.is_some() {
        return Err("is duplicate".into());
    }
    if !conf.applications.is_empty() {
        return Err("must stand before the first application: move it to the top of the http block".into());
    }
    let words = cf.words();
    let directory = cf.prefix().join(OsStr::from_bytes(words.get(1).copied().unwrap_or_default()));
    if !directory.is_dir() {
        return Err(format!(
            "names \"{}\", which is not a directory; create it or correct the path",
            directory.display()
        ));
    }
    conf.engine_dir = Some(directory);
    Ok(())
});
