// SPDX-License-Identifier: MIT OR Apache-2.0
//! `SetHandler gangway-status` and `gangway-status-full`: SetHandler is httpd's own directive.

use gangway::status::StatusDetail;

use crate::{
    raw::{Claim, HandlerKind},
    status,
};

/// The page that says how applications do. No section of ours chooses it: `SetHandler` does.
pub(super) static KIND: HandlerKind = HandlerKind {
    stray: |request| status::serve(request, StatusDetail::Paths),
    prepare: |_| {
        status::prepare();
        true
    },
    ..HandlerKind::new(status::HANDLER, Claim::Found(|_, _| false), |request, _| {
        status::serve(request, StatusDetail::Paths)
    })
};

/// The same with queries.
pub(super) static FULL: HandlerKind = HandlerKind {
    stray: |request| status::serve(request, StatusDetail::Queries),
    ..HandlerKind::new(status::FULL_HANDLER, Claim::Found(|_, _| false), |request, _| {
        status::serve(request, StatusDetail::Queries)
    })
};
