// SPDX-License-Identifier: MIT OR Apache-2.0
//! A thread that runs handlers. Each of them waits for events of all connections, reads what has come on one, and runs the
//! handler itself when that is a whole head: no other thread is woken for a request.

use std::{sync::Arc, time::Instant};

use gangway::{
    engine::fence,
    error::SERVER_FAILED,
    log::{self, Level},
    sys,
};

use crate::{
    handlers,
    outgoing::Page,
    server::{Job, READ, Server},
    shown::beside,
};

/// Starts the threads. Answers how many there are.
pub(crate) fn start(server: &Arc<Server>) -> std::io::Result<Vec<std::thread::JoinHandle<()>>> {
    (0..server.threads())
        .map(|number| {
            let server = Arc::clone(server);
            let (stack, name) = (server.stack(), name(&server, number));
            sys::spawn(&name, stack, move || {
                fence("a handler thread", (), || run(&server, number));
                server.application.thread_end();
            })
        })
        .collect()
}

/// What top(1) shows of a thread: its application and its number.
fn name(server: &Server, number: usize) -> String {
    // A name that holds NUL is no name of a thread.
    let application = server.application.config().spec().name.replace('\0', "");
    beside(&application, &format!("/{}", number + 1))
}

fn run(server: &Server, number: usize) {
    if number == 0 {
        server.loaded(server.application.await_loaded());
    }
    let mut buffer = vec![0; READ];
    let mut next = None;
    while !server.is_over() {
        if let Some(job) = next.take().or_else(|| server.next()) {
            next = serve(server, number, &job, &mut buffer);
            continue;
        }
        server.send_late();
        next = match server.epoll().wait(None) {
            Ok(Some(woken)) => fence("an event", None, || server.serve(woken, &mut buffer)),
            Ok(None) => None,
            Err(error) => {
                log::coded(Level::Error, SERVER_FAILED, format_args!("cannot wait for events: {error}"));
                return;
            }
        };
    }
}

/// Runs a handler. Answers the next request of its connection, if it has come already.
fn serve(server: &Server, number: usize, job: &Job, buffer: &mut [u8]) -> Option<Job> {
    server.begin_work(number, job);
    let begun = Instant::now();
    if server.application.config().timeout().is_some() {
        job.exchange.begin(begun);
        job.port.clock().restart();
    }
    let ran = fence("a handler", Ok(true), || match &job.relay {
        Some(relay) if job.port.may_begin() => {
            relay.run(&server.application, &job.exchange, &*job.port).map(|()| true)
        }
        Some(_) => Ok(false),
        None => server.application.run_if(&job.exchange, None, || job.port.may_begin()),
    });
    let was_short = server.pace.ended(begun.elapsed());
    let outcome = match ran {
        Ok(true) => job.port.finish(was_short && server.may_be_late()),
        // Another process has it, or this one ends.
        Ok(false) | Err(_) => job.port.refuse(Page::Unavailable),
    };
    tidy(server, job);
    server.end_work(number);
    server.ended(job.port.connection(), outcome, buffer)
}

/// What handlers have left to be done after the response, which has left.
fn tidy(server: &Server, job: &Job) {
    let (Some(transit), Some(place)) = (&job.transit, &server.handlers) else { return };
    if let Some(exchange) = handlers::afterwards(transit, place, &job.port) {
        // The error is that the process ends.
        let _ = fence("what comes after a response", Ok(()), || server.application.run(&exchange, None));
    }
}
