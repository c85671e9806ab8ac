// SPDX-License-Identifier: MIT OR Apache-2.0
//! Under which id a request is noted, for who asks later why something went wrong.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use gangway::supervise::segment::RequestId;

use crate::raw::Request;

/// The ids of this child: a part of chance, and a number.
static OWN_IDS: LazyLock<(u64, AtomicU64)> =
    LazyLock::new(|| (RandomState::new().hash_one(std::process::id()), AtomicU64::new(0)));

/// That of mod_unique_id, or the one that a log has as `%L` already, or one of our own.
pub(super) fn id_of<'r>(request: Request<'r>) -> RequestId<'r> {
    if let Some(id) = request.variable(c"UNIQUE_ID").or_else(|| request.log_id()) {
        return RequestId::Text(id);
    }
    let (chance, number) = &*OWN_IDS;
    RequestId::Own(*chance, number.fetch_add(1, Ordering::Relaxed))
}
