// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_status`.

use gangway::status::StatusDetail;

use super::{check_is_first, set_handler, setter};
use crate::{
    conf::{Counted, HandlerKind, LocationConf, MainConf},
    raw::Conf,
    status,
};

/// The page that says how applications do.
pub(super) static KIND: HandlerKind = HandlerKind {
    settle: |cf, _, upstream| {
        status::check_guard(cf, upstream);
        Ok(())
    },
    ..HandlerKind::new(status::content_handler)
};

setter!(set_status, LocationConf, |cf: &Conf, location: &mut LocationConf| {
    check_is_first("gangway_status", location)?;
    // Without an application there are figures all the same: none.
    cf.change_http(|main: &mut MainConf| {
        main.kinds.entry::<Counted>();
    });
    let detail = match cf.words().get(1) {
        None => StatusDetail::Paths,
        Some(word) if *word == b"full" => StatusDetail::Queries,
        Some(_) => return Err("takes \"full\" or nothing".into()),
    };
    set_handler(cf, location, "gangway_status", &KIND, detail);
    Ok(())
});
