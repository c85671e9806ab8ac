// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether only some clients can see the page: a list of addresses, a password, another server's word, or a listener that only this
//! machine reaches.

use gangway::error::STATUS_OPEN;

use crate::{conf::UpstreamConf, raw::Conf};

/// Warns where everybody can see it.
pub(crate) fn check(cf: &Conf, upstream: &UpstreamConf) {
    // A block of `if` or `limit_except` has what its location has.
    if cf.is_nameless_block() || cf.is_internal() || cf.has_access_rules() || upstream.authorizes() {
        return;
    }
    if !cf.listens_here_only() {
        let place = String::from_utf8_lossy(&cf.location_name()).into_owned();
        cf.warn(&format!(
            "{STATUS_OPEN} gangway_status in location \"{place}\" is shown to everybody: let only some in, as with \"allow 127.0.0.1; \
             deny all;\" or auth_basic, or listen on 127.0.0.1"
        ));
    }
}
