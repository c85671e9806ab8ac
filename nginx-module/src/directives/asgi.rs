// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_asgi`: applications of an event loop, which serve requests as those of `gangway_wsgi` do.

use super::{
    setter,
    wsgi::{parse, set_placed},
};
use crate::{conf::LocationConf, raw::Conf};

setter!(set_asgi, LocationConf, |cf: &Conf, conf: &mut LocationConf| {
    let placed = parse(cf, conf, "gangway_asgi", |parser, engines, words| {
        parser.placed_interface(engines, "asgi", words)
    })?;
    set_placed(cf, conf, "gangway_asgi", placed)
});
