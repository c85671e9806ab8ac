// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_native`: an application whose engine is named by its file.

use super::{
    setter,
    wsgi::{parse, set_placed},
};
use crate::{conf::LocationConf, raw::Conf};

setter!(set_native, LocationConf, |cf: &Conf, conf: &mut LocationConf| {
    let config = parse(cf, conf, "gangway_native", |parser, _, words| parser.placed_native(words))?;
    set_placed(cf, conf, "gangway_native", config)
});
