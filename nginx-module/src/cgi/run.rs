// SPDX-License-Identifier: MIT OR Apache-2.0
//! One request's part of a script's run. It lives in the request's pool; the script, which may live longer, has its place
//! in [`super::scripts`], and knows this one by nothing but nginx's request, as long as that lives.

use std::rc::Rc;

use gangway::run::{Extent, Words};
use nginx_sys::{ngx_http_request_t, ngx_int_t};

use super::{programs::Programs, script::Launch, scripts, target::ScriptTarget};
use crate::raw::{INTERNAL_SERVER_ERROR, Request};

/// Before it is known what a script is told.
const UNTOLD: Result<Words, ngx_int_t> = Err(INTERNAL_SERVER_ERROR);

pub(super) struct ScriptRun {
    pub(super) request: Request,
    pub(super) programs: Rc<Programs>,
    pub(super) target: ScriptTarget,
    /// What the script is told, or the status that answers the request instead of it.
    pub(super) words: Result<Words, ngx_int_t>,
    /// The ticket of its script; 0 while there is none.
    pub(super) id: u32,
    /// All of the request body has been passed on.
    pub(super) body_ended: bool,
}

impl ScriptRun {
    pub(super) fn new(request: Request, programs: Rc<Programs>, target: ScriptTarget) -> Self {
        Self { request, programs, target, words: UNTOLD, id: 0, body_ended: false }
    }

    /// Lends that of a request, if it has one.
    ///
    /// # Safety
    /// `r` is a live request whose upstream `handler::start` has made, and `act` ends no request.
    pub(super) unsafe fn with<R>(r: *mut ngx_http_request_t, act: impl FnOnce(&mut Self) -> R) -> Option<R> {
        // SAFETY: the request is live, says the caller, and its upstream's data are the run that `handler::start` has put
        // into the request's pool.
        unsafe { Request::from_raw(r).upstream()?.balancer().data.cast::<Self>().as_mut() }.map(act)
    }

    /// All that it takes to start the script. It is asked for once.
    pub(super) fn launch(&mut self) -> Launch {
        Launch {
            programs: Rc::clone(&self.programs),
            file: std::mem::take(&mut self.target.file),
            words: std::mem::replace(&mut self.words, UNTOLD),
        }
    }
}

impl Drop for ScriptRun {
    fn drop(&mut self) {
        scripts::leave(self.id, Extent::Part);
    }
}
