// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is known of a request over internal redirects, for as long as it holds.

use std::{rc::Rc, time::Duration};

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
    jump: Option<(Moment, Jump)>,
    /// How many local redirects of scripts there were.
    pub(crate) local_redirects: usize,
    authorization: Option<(Moment, Rc<Authorization>)>,
    /// What was counted of the last application that the request came to.
    pub(crate) counts: Option<CountNote>,
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
pub(crate) enum Jump {
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
    pub(crate) fn jumps(&mut self, request: Request, jump: Jump) {
        self.jump = Some((Moment::after_the_next_redirect(request), jump));
        // A local redirect begins to count anew, so an old moment might come again.
        self.authorization = None;
    }

    /// Asks the authorizer of the present location.
    pub(crate) fn asks(&mut self, request: Request, answer: Rc<Authorization>) {
        self.authorization = Some((Moment::now(request), answer));
    }
}

/// The redirect that has led the request to the location where it is now, if an application asked for it. Where nginx
/// goes from there (an index, an error page, the last of `try_files`) is its administrator's choice.
pub(crate) fn jump_to_here(request: Request) -> Option<Jump> {
    if !request.is_internal() {
        return None;
    }
    look(request, |notes| notes.jump.filter(|(moment, _)| *moment == Moment::now(request)))?
        .map(|(_, jump)| jump)
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
