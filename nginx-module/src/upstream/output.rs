// SPDX-License-Identifier: MIT OR Apache-2.0
//! What of the bytes of a response is body, and where the body ends, whether nginx buffers it or not.

use std::fmt::Display;

use gangway::{
    error::{BACKEND_CUT, Code, TOO_MUCH_BODY},
    protocol::ResponseEvent,
    report,
};
use nginx_sys::ngx_int_t;

use super::state::{Context, Response, StageChange};
use crate::raw::Upstream;

/// Where the body goes.
pub(super) trait Sink {
    /// A part of it, which stands in the buffer that nginx has read.
    fn add(&mut self, context: &Context, body: &[u8]) -> Result<(), ngx_int_t>;
    /// Nothing more comes.
    fn done(&mut self);
    /// The client sees that the response is cut.
    fn fail(&mut self);
}

/// Takes the next bytes of the response. Answers whether more of it is to come.
pub(super) fn take(
    context: &Context,
    response: &mut Response,
    upstream: Upstream,
    mut input: &[u8],
    sink: &mut impl Sink,
) -> Result<bool, ngx_int_t> {
    let request = context.request;
    // The body has ended, and only lines for the log are looked for in what has come already.
    let mut is_whole = false;
    loop {
        let (count, event) = match response.decoder.decode(input) {
            Ok(found) => found,
            Err(_) if is_whole => return Ok(end(sink)),
            Err(error) => {
                // The backend broke its protocol within the body: the client gets what has come.
                fail(context, sink, error.code(), &error);
                return Ok(false);
            }
        };
        input = input.get(count..).unwrap_or_default();
        match event {
            ResponseEvent::More if is_whole => return Ok(end(sink)),
            ResponseEvent::More => return Ok(true),
            ResponseEvent::Errors(bytes) => context.stderr.borrow_mut().add(request, bytes),
            ResponseEvent::Output(bytes) => {
                let body = response.rest.take(bytes.len());
                let kept = response.clip(bytes.get(..body).unwrap_or_default());
                if !kept.is_empty() {
                    sink.add(context, kept)?;
                }
                if body < bytes.len() {
                    too_much(context, upstream);
                    sink.done();
                    return Ok(false);
                }
                if input.is_empty() {
                    return Ok(true);
                }
            }
            ResponseEvent::End(status) if context.script.is_mounted && status.is_broken() => {
                broken(context, sink);
                return Ok(false);
            }
            ResponseEvent::OutputEnd | ResponseEvent::End(_) if response.rest.is_short() => {
                let why = "the backend ended its response before its Content-Length was reached";
                fail(context, sink, BACKEND_CUT, &why);
                return Ok(false);
            }
            ResponseEvent::OutputEnd => is_whole = !context.keeps_connection(),
            ResponseEvent::End(_) => {
                sink.done();
                upstream.set_keeps_connection(input.is_empty() && context.keeps_connection());
                return Ok(false);
            }
        }
    }
}

/// Nothing more is taken of a connection that is not kept. Answers that no more is to come.
fn end(sink: &mut impl Sink) -> bool {
    sink.done();
    false
}

/// The response has failed: what still comes is not looked at, and the client sees that it is cut.
fn fail(context: &Context, sink: &mut impl Sink, code: Code, why: &dyn Display) {
    report!(context.request, Error, code, "{why}");
    context.change_stage(StageChange::Failed);
    sink.fail();
}

/// The same for an application in a process of its own, whose lines say why.
fn broken(context: &Context, sink: &mut impl Sink) {
    let text = "the application ended its response before it was whole";
    report!(context.request, Info, BACKEND_CUT, "{text}");
    context.change_stage(StageChange::Failed);
    sink.fail();
}

fn too_much(context: &Context, upstream: Upstream) {
    // An answer to HEAD, or 204 and its kin, may come with a body that nobody gets.
    if upstream.content_length().is_some() {
        report!(
            context.request,
            Warn,
            TOO_MUCH_BODY,
            "the backend sent more data than its Content-Length says; the rest is dropped",
        );
    }
}
