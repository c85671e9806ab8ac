// SPDX-License-Identifier: MIT OR Apache-2.0
//! What handlers have changed, where nginx and its modules look at it.

use gangway::{
    engine::PhaseErrand,
    phases::{self, Fact, PhaseAnswer, RequestPhase, Snapshot, Table},
    sys::lock,
};

use crate::{
    conf::LocationConf,
    raw::{NoMemory, Request},
    serve::memo::{self, AuthenticatedClient},
};

/// Handlers give the response themselves.
pub(super) fn gives_head(request: Request) {
    // Without memory the filter adds to the head what stands there already: no harm is done.
    let _ = memo::note(request, memo::Notes::gives_head);
}

/// Handlers of phases before that of the content have run.
pub(super) fn changes(request: Request) -> Result<(), NoMemory> {
    let firsts = [
        RequestPhase::PostReadRequest,
        RequestPhase::Trans,
        RequestPhase::Init,
        RequestPhase::Access,
        RequestPhase::Fixup,
    ];
    for first in firsts {
        if let Some(errand) = memo::errand(request, first) {
            return apply(request, first, &errand);
        }
    }
    Ok(())
}

fn apply(request: Request, first: RequestPhase, errand: &PhaseErrand) -> Result<(), NoMemory> {
    let verdict = errand.verdict();
    let mut snapshot = lock(&errand.transit().snapshot);
    complete_refusal(request, verdict, &mut snapshot);
    if first == RequestPhase::Trans && snapshot.has_set(Fact::Uri) {
        if let Some(path) = snapshot.text(Fact::Uri).map(<[u8]>::to_vec) {
            request.set_path(&path)?;
        }
        snapshot.forget_text(Fact::Uri);
    }
    if snapshot.has_set(Fact::Args) {
        let query = snapshot.text(Fact::Args).map(<[u8]>::to_vec).unwrap_or_default();
        request.set_query(&query)?;
        snapshot.forget_text(Fact::Args);
    }
    if snapshot.has_changed(Table::HeadersIn) {
        let wanted = snapshot.entries(Table::HeadersIn);
        let wanted: Vec<_> = wanted.map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        request.set_headers(&wanted)?;
    }
    if first == RequestPhase::Access {
        let user = snapshot.text(Fact::User).map(<[u8]>::to_vec).filter(|user| !user.is_empty());
        let how = snapshot.text(Fact::ApAuthType).map(<[u8]>::to_vec).unwrap_or_default();
        drop(snapshot);
        let has_authen = request
            .location::<LocationConf>()
            .handlers
            .place
            .as_ref()
            .is_some_and(|place| place.has(RequestPhase::Authen));
        match user {
            Some(user) if has_authen && verdict == Some(PhaseAnswer::Done) => {
                request.set_remote_user(&user)?;
                memo::note(request, |notes| notes.lets_in(request, AuthenticatedClient { user, how }))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Headers that a refusal has by its status, where handlers have not said them.
pub(super) fn complete_refusal(request: Request, verdict: Option<PhaseAnswer>, snapshot: &mut Snapshot) {
    let location = request.location::<LocationConf>();
    let realm = location.handlers.place.as_ref().and_then(|place| place.realm());
    phases::complete_refusal(verdict, realm, snapshot);
}
