// SPDX-License-Identifier: MIT OR Apache-2.0
//! `SetHandler gangway-status`, which is httpd's own directive.

use crate::{
    raw::{Claim, HandlerKind},
    status,
};

/// The page that says how applications do. No section of ours chooses it: `SetHandler` does.
pub(super) static KIND: HandlerKind = HandlerKind {
    stray: status::serve,
    prepare: |_| {
        status::prepare();
        true
    },
    ..HandlerKind::new(status::HANDLER, Claim::Found(|_, _| false), |request, _| status::serve(request))
};
