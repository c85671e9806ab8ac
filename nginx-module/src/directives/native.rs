// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_native`: an application whose engine is named by its file.

use super::{
    setter,
    wsgi::{parse, set_application},
};
use crate::{conf::LocationConf, raw::Conf};

setter!(set_native, LocationConf, |cf: &Conf, conf: &mut LocationConf| {
    let config = parse(cf, conf, "gangway_native", |parser, _, words| parser.native(words))?;
    set_application(cf, conf, "gangway_native", config)
});
