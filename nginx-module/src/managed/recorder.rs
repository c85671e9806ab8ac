// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is noted of a request and its process, for who asks later why something went wrong.

use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
};

use gangway::{
    error::DEADLINE,
    supervise::{
        Trouble,
        segment::{EntryKind, Place, RequestId, Segment},
    },
};

use super::{processes, service::Service};
use crate::{raw::Request, upstream};

thread_local! {
    /// The ids of this worker: a part of chance, and a number.
    static OWN_IDS: Cell<(u64, u64)> = Cell::new((RandomState::new().hash_one(std::process::id()), 0));
}

/// The request has a place.
pub(super) fn begin(service: &Service, request: Request, segment: &Segment, place: &Place) {
    let line = [request.method(), request.unparsed_uri()];
    let known = service.request_id(request).filter(|id| !id.is_empty());
    let id = known.as_deref().map_or_else(
        || {
            let (chance, number) = OWN_IDS.get();
            OWN_IDS.set((chance, number + 1));
            RequestId::Own(chance, number)
        },
        RequestId::Text,
    );
    segment.note_request(place, processes::now(), id, line);
}

/// What has become of it.
pub(super) fn end(service: &Service, request: Request, segment: &Segment, place: &Place, kind: EntryKind) {
    let status = request.upstream().map_or(0, |upstream| upstream.status());
    let said = if status == 504 { upstream::stderr_lines(request) } else { Vec::new() };
    // An application may answer 504 by itself; its host says that it has done so in its place.
    let is_late = kind == EntryKind::Answered && contains(&said, DEADLINE.to_string().as_bytes());
    if is_late {
        let (slot, pid) = (place.slot(), segment.slot(place.slot()).pid);
        service.tell(|app| Trouble { app, slot, pid, text: said });
    }
    let kind = if is_late { EntryKind::TimedOut } else { kind };
    segment.note_end(place, processes::now(), kind, u16::try_from(status).unwrap_or(0));
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
