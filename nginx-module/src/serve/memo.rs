// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is known of a request over internal redirects, for as long as it holds.

use std::{rc::Rc, sync::Arc, time::Duration};

use gangway::{
    engine::{PhaseErrand, Transit},
    phases::{RequestPhase, Table},
    sys::lock,
};

use super::authorization::Authorization;
use crate::{
    conf::MainConf,
    raw::{NoMemory, PerRequest, Request},
};

/// A request and its subrequests.
#[derive(Default)]
struct Memo(Vec<(Request, Notes)>);

// SAFETY: this module has no other type for it.
unsafe impl PerRequest for Memo {}

/// One of them.
#[derive(Default)]
pub(crate) struct Notes {
    /// The redirect that an application has asked for.
    redirect: Option<(Moment, InternalRedirect)>,
    /// How many local redirects of scripts there were.
    pub(crate) local_redirects: usize,
    authorization: Option<(Moment, Rc<Authorization>)>,
    phases: Option<PhaseNotes>,
    /// What was counted of the last application that the request came to.
    pub(crate) counts: Option<CountNote>,
}

/// A client that handlers of phases have let in.
pub(crate) struct AuthenticatedClient {
    /// Who it is.
    pub(crate) user: Vec<u8>,
    /// How it has authenticated.
    pub(crate) how: Vec<u8>,
}

/// What handlers of phases have to do with a request.
struct PhaseNotes {
    transit: Arc<Transit>,
    /// The handlers that were asked last, by the first of their phases.
    asked: Option<(Moment, RequestPhase, Arc<PhaseErrand>)>,
    /// Whom they have let in.
    user: Option<(Moment, Rc<AuthenticatedClient>)>,
    /// The head of the response holds what they have said of it.
    is_given: bool,
    /// The request has come to the first phase of its server.
    has_begun: bool,
}

/// What was counted of a request.
#[derive(Clone, Copy)]
pub(crate) struct CountNote {
    /// The number of the application.
    pub(crate) number: usize,
    /// How long it waited for its turn.
    pub(crate) queue: Option<Duration>,
    /// How long it has run.
    pub(crate) run: Option<Duration>,
    /// Which process has answered it.
    pub(crate) process: Option<u32>,
}

/// Who sends a request on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InternalRedirect {
    /// An application, by X-Accel-Redirect.
    Accel,
    /// A script that asks for another document: RFC 3875 §6.2.2.
    Local,
}

/// A stay in one location: nginx lowers the number with each internal redirect. What has been noted at a moment
/// holds until then.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Moment(u32);

impl Moment {
    fn now(request: Request) -> Self {
        Self(request.changes_left())
    }

    fn after_the_next_redirect(request: Request) -> Self {
        Self(request.changes_left().saturating_sub(1))
    }
}

impl Notes {
    /// An application sends the request on, next thing.
    pub(crate) fn redirects(&mut self, request: Request, redirect: InternalRedirect) {
        self.redirect = Some((Moment::after_the_next_redirect(request), redirect));
        // A local redirect begins to count anew, so an old moment might come again.
        self.authorization = None;
        if let Some(phases) = &mut self.phases {
            (phases.asked, phases.user) = (None, None);
        }
    }

    /// Asks the authorizer of the present location.
    pub(crate) fn asks(&mut self, request: Request, answer: Rc<Authorization>) {
        self.authorization = Some((Moment::now(request), answer));
    }
}

impl Notes {
    /// What handlers of phases see of the request.
    fn phases(&mut self) -> &mut PhaseNotes {
        self.phases.get_or_insert_with(|| PhaseNotes {
            transit: Arc::default(),
            asked: None,
            user: None,
            is_given: false,
            has_begun: false,
        })
    }

    /// The request, as handlers of phases see it, the first of which is `first`.
    pub(crate) fn transit(&mut self, first: RequestPhase) -> Arc<Transit> {
        let phases = self.phases();
        phases.has_begun |= first != RequestPhase::PostReadRequest;
        Arc::clone(&phases.transit)
    }

    /// Asks handlers of phases, `first` of which is the first.
    pub(crate) fn asks_phases(&mut self, request: Request, first: RequestPhase, errand: Arc<PhaseErrand>) {
        self.phases().asked = Some((Moment::now(request), first, errand));
    }

    /// Handlers have let this user in.
    pub(crate) fn lets_in(&mut self, request: Request, who: AuthenticatedClient) {
        self.phases().user = Some((Moment::now(request), Rc::new(who)));
    }

    /// The head of the response holds what handlers of phases have said of it.
    pub(crate) fn gives_head(&mut self) {
        self.phases().is_given = true;
    }
}

/// The request comes to its server, from outside or from another place of it: there handlers see a new one.
pub(crate) fn begins(request: Request) -> Result<(), NoMemory> {
    if look(request, |notes| notes.phases.is_some()) != Some(true) {
        return Ok(());
    }
    note(request, |notes| {
        let phases = notes.phases();
        if std::mem::replace(&mut phases.has_begun, true) {
            // What a response holds that was given up for another one, its headers hold by now.
            let fresh = if phases.is_given { Transit::default() } else { phases.transit.begin_anew() };
            (phases.transit, phases.asked, phases.is_given) = (Arc::new(fresh), None, false);
        }
    })
}

/// The handlers of phases that were asked at the present place, if `first` is the first of their phases.
pub(crate) fn errand(request: Request, first: RequestPhase) -> Option<Arc<PhaseErrand>> {
    look(request, |notes| {
        let (_, _, errand) = notes
            .phases
            .as_ref()?
            .asked
            .as_ref()
            .filter(|(moment, phase, _)| *moment == Moment::now(request) && *phase == first)?;
        Some(Arc::clone(errand))
    })?
}

/// What handlers of phases have said of the response, if its head does not hold it yet.
pub(crate) fn said_of_response(request: Request) -> Option<Arc<Transit>> {
    look(request, |notes| {
        notes.phases.as_ref().filter(|phases| !phases.is_given).map(|phases| Arc::clone(&phases.transit))
    })?
}

/// The request, as handlers of phases see it, if some have.
pub(crate) fn transit(request: Request) -> Option<Arc<Transit>> {
    look(request, |notes| notes.phases.as_ref().map(|phases| Arc::clone(&phases.transit)))?
}

/// A name and its value.
pub(crate) type EnvironmentEntry = (Vec<u8>, Vec<u8>);

/// What handlers of phases have put into the environment of a request, or of the one that it is a part of.
pub(crate) fn environment(request: Request) -> Vec<EnvironmentEntry> {
    let Some(known) = transit(request).or_else(|| transit(request.main())) else { return Vec::new() };
    let snapshot = lock(&known.snapshot);
    let entries = snapshot.entries(Table::SubprocessEnv);
    entries.map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

/// Whether handlers that were asked last may still run.
pub(crate) fn runs_handlers(request: Request) -> bool {
    look(request, |notes| {
        let asked = notes.phases.as_ref().and_then(|phases| phases.asked.as_ref());
        asked.is_some_and(|(.., errand)| errand.verdict().is_none())
    })
    .unwrap_or_default()
}

/// Whom handlers of phases have let in at the present place.
pub(crate) fn let_in(request: Request) -> Option<Rc<AuthenticatedClient>> {
    // A subrequest is not asked about: what is known of the client is known of it, too.
    let request = request.main();
    look(request, |notes| {
        let (_, user) =
            notes.phases.as_ref()?.user.as_ref().filter(|(moment, _)| *moment == Moment::now(request))?;
        Some(Rc::clone(user))
    })?
}

/// The redirect that has led the request to the location where it is now, if an application asked for it. Where nginx
/// goes from there (an index, an error page, the last of `try_files`) is its administrator's choice.
pub(crate) fn redirected_here_by(request: Request) -> Option<InternalRedirect> {
    if !request.is_internal() {
        return None;
    }
    look(request, |notes| notes.redirect.filter(|(moment, _)| *moment == Moment::now(request)))?
        .map(|(_, redirect)| redirect)
}

/// What the authorizer of the present location has said.
pub(crate) fn authorization(request: Request) -> Option<Rc<Authorization>> {
    // A subrequest is not asked about: what is known of the client is known of it, too.
    let request = request.main();
    look(request, |notes| {
        let (_, answer) =
            notes.authorization.as_ref().filter(|(moment, _)| *moment == Moment::now(request))?;
        Some(Rc::clone(answer))
    })?
}

/// What was counted of the request, as far as it is known.
pub(crate) fn counts(request: Request) -> Option<CountNote> {
    look(request, |notes| notes.counts)?
}

/// How many local redirects have led here.
pub(crate) fn local_redirects(request: Request) -> usize {
    look(request, |notes| notes.local_redirects).unwrap_or(0)
}

fn look<R>(request: Request, look: impl FnOnce(&Notes) -> R) -> Option<R> {
    let memo = request.memo::<Memo>(request.http::<MainConf>().memo?)?.borrow();
    memo.0.iter().find(|(known, _)| *known == request).map(|(_, notes)| look(notes))
}

/// Writes notes about a request.
pub(crate) fn note<R>(request: Request, write: impl FnOnce(&mut Notes) -> R) -> Result<R, NoMemory> {
    let index = request.http::<MainConf>().memo.ok_or(NoMemory)?;
    let mut memo = request.make_memo::<Memo>(index)?.borrow_mut();
    let at = memo.0.iter().position(|(known, _)| *known == request).unwrap_or_else(|| {
        memo.0.push((request, Notes::default()));
        memo.0.len() - 1
    });
    memo.0.get_mut(at).map(|(_, notes)| write(notes)).ok_or(NoMemory)
}
