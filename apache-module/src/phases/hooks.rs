// SPDX-License-Identifier: MIT OR Apache-2.0
//! The phases of httpd, and which handlers run in each. Where the configuration has none, a hook looks at an empty list.

use std::ffi::{CStr, c_int};

use gangway::{
    error::NOBODY_LET_IN,
    phases::{Change, Fact, RequestPhase, Table},
    report,
};

use super::run::{await_cleanup, handlers, has_handlers, run};
use crate::{
    phase_conf::PhaseConf,
    raw::{DECLINED, FORBIDDEN, OK, Request, RequestState, UNAUTHORIZED, add_filter},
};

/// What `SetHandler` and `AddHandler` call the content handler.
const HANDLERS: [&[u8]; 2] = [HANDLER.to_bytes(), b"python-program"];
const HANDLER: &CStr = c"mod_python";

pub(crate) fn post_read_request(request: Request<'_>) -> c_int {
    run(request, RequestPhase::PostReadRequest)
}

pub(crate) fn trans(request: Request<'_>) -> c_int {
    run(request, RequestPhase::Trans)
}

/// Before httpd maps the path to a file: whether handlers of a `<Location>` give the response, whatever is there. As with mod_python
/// sections of files do not count then. What Alias maps has gone its way already.
pub(crate) fn take_path(request: Request<'_>) -> c_int {
    let is_ours = conf(request).is_some_and(PhaseConf::needs_no_file)
        && !request.is_proxied()
        && !request.is_rewritten()
        && request
            .core_handler()
            .is_some_and(|name| HANDLERS.iter().any(|ours| ours.eq_ignore_ascii_case(name)));
    if is_ours {
        RequestState::of(request).note_by_path();
    }
    DECLINED
}

/// Nobody looks for a file.
pub(crate) fn map_to_storage(request: Request<'_>) -> c_int {
    if RequestState::found(request).is_some_and(RequestState::is_by_path) { OK } else { DECLINED }
}

/// The first phase that knows the section: handlers of the beginning run here as well.
pub(crate) fn header_parser(request: Request<'_>) -> c_int {
    match run(request, RequestPhase::Init) {
        OK | DECLINED => run(request, RequestPhase::HeaderParser),
        status => status,
    }
}

pub(crate) fn access(request: Request<'_>) -> c_int {
    run(request, RequestPhase::Access)
}

/// Asked where httpd itself wants nobody to say who he is: whether handlers do.
pub(crate) fn force_authn(request: Request<'_>) -> c_int {
    let asks = conf(request).is_some_and(|conf| conf.asks)
        && [RequestPhase::Authen, RequestPhase::Authz].into_iter().any(|phase| has_handlers(request, phase));
    if !asks {
        return DECLINED;
    }
    RequestState::of(request).note_alone();
    OK
}

pub(crate) fn authen(request: Request<'_>) -> c_int {
    let answer = run(request, RequestPhase::Authen);
    // With an AuthType the module for that is asked.
    let is_last = request.fact(Fact::AuthType).is_none();
    let answer = decided(request, RequestPhase::Authen, answer, is_last.then_some(UNAUTHORIZED));
    if is_alone(request) && (answer == OK || answer == DECLINED && is_last) {
        // httpd goes on for a user alone, and handlers may let somebody in whose name they do not know.
        if request.fact(Fact::User).is_none() {
            request.set_fact(Fact::User, Some(NOBODY));
        }
        return OK;
    }
    with_question(request, answer)
}

/// Who has no name, between two phases.
const NOBODY: &[u8] = b"";

pub(crate) fn authz(request: Request<'_>) -> c_int {
    if is_alone(request) && request.fact(Fact::User) == Some(NOBODY) {
        request.set_fact(Fact::User, None);
    }
    let answer = run(request, RequestPhase::Authz);
    with_question(request, decided(request, RequestPhase::Authz, answer, Some(FORBIDDEN)))
}

/// Whether nobody but handlers has to say who the client is.
fn is_alone(request: Request<'_>) -> bool {
    RequestState::found(request).is_some_and(RequestState::is_alone)
}

/// What it comes to where all handlers decline: without Require httpd would let in whoever nobody refuses.
fn decided(request: Request<'_>, phase: RequestPhase, answer: c_int, refusal: Option<c_int>) -> c_int {
    let is_meant = answer == DECLINED && is_alone(request) && has_handlers(request, phase);
    let Some(refusal) = refusal.filter(|_| is_meant) else {
        return answer;
    };
    let word = if phase == RequestPhase::Authen { "authen" } else { "authz" };
    report!(
        request,
        Error,
        NOBODY_LET_IN,
        "every handler of the phase {word} has declined, and nobody else is asked: return apache.OK to let a client in"
    );
    refusal
}

/// A 401 says how to authenticate: RFC 9110 section 11.6.1. A handler that has not said it leaves it to AuthType, or to `realm=`.
fn with_question(request: Request<'_>, answer: c_int) -> c_int {
    if answer != UNAUTHORIZED {
        return answer;
    }
    let realm = conf(request).and_then(|conf| conf.realm);
    match realm.filter(|_| request.fact(Fact::AuthType).is_none()) {
        None => request.ask_for_credentials(),
        Some(realm) => {
            let mut is_asked = false;
            request.show_table(Table::ErrHeadersOut, &mut |name, _| {
                is_asked |= name.eq_ignore_ascii_case(b"WWW-Authenticate");
            });
            if !is_asked {
                let question = [b"Basic realm=\"", realm, b"\""].concat();
                request.change_table(Table::ErrHeadersOut, Change::Set(b"WWW-Authenticate", &question));
            }
        }
    }
    answer
}

fn conf<'r>(request: Request<'r>) -> Option<&'r PhaseConf<'r>> {
    request.conf().map(|conf| conf.phases())
}

pub(crate) fn type_checker(request: Request<'_>) -> c_int {
    run(request, RequestPhase::Type)
}

pub(crate) fn fixup(request: Request<'_>) -> c_int {
    if takes_content(request) {
        request.set_handler(HANDLER);
    }
    run(request, RequestPhase::Fixup)
}

/// Whether handlers of GangwayPythonHandler give the response.
fn takes_content(request: Request<'_>) -> bool {
    conf(request).is_some_and(|conf| conf.gives_content)
        && request.conf().is_some_and(|conf| conf.handler().is_none())
        && !request.is_proxied()
        && !request.has_set_handler()
        && has_handlers(request, RequestPhase::Content)
}

/// Adds the filters of the section, which need no name.
pub(crate) fn insert_filters(request: Request<'_>) {
    for phase in [RequestPhase::InputFilter, RequestPhase::OutputFilter] {
        if conf(request).is_some_and(|conf| conf.has(phase)) {
            for handler in handlers(request, phase) {
                add_filter(request, phase, b"GangwayPythonHandler", Some(&handler));
            }
        }
    }
}

/// The response, if the request has been given to us.
pub(crate) fn content(request: Request<'_>) -> c_int {
    if !HANDLERS.contains(&request.handler()) {
        return DECLINED;
    }
    run(request, RequestPhase::Content)
}

/// A connection of which nothing has been read: whether handlers have spoken on it, with what stands there for a request.
pub(crate) fn connection(request: Request<'_>) -> bool {
    run(request, RequestPhase::Connection) != DECLINED
}

/// After the response; the phase at the very end is waited for where somebody is there for it.
pub(crate) fn log(request: Request<'_>) -> c_int {
    let _not_looked_at = run(request, RequestPhase::Log);
    if has_handlers(request, RequestPhase::Cleanup) {
        await_cleanup(request);
    }
    DECLINED
}
