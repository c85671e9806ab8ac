// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether a process takes requests: it is asked what it can do (FCGI_GET_VALUES), which any FastCGI program answers or at
//! least takes. Who answers has loaded what it is to run, for before that it takes no connection.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    path::Path,
    time::Duration,
};

use crate::{protocol::fastcgi, sys};

/// A program that breaks the rule and does not answer, as those of Perl do, takes the question all the same: it is looked at soon, and then less
/// and less often.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LOOK: Duration = Duration::from_secs(1);
/// The end of a connection may be that of the process, of which the keeper tells soon.
const AFTER_END: Duration = Duration::from_millis(50);
/// One that is not asked, or has not answered, has ended by then if it cannot be started, or takes requests soon: they wait for it in its socket.
const UNASKED: Duration = Duration::from_millis(500);

pub(super) struct Probe {
    /// None for a program that is not asked.
    stream: Option<UnixStream>,
    state: State,
    at: Duration,
    /// How long after the last look.
    after: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Asked,
    /// The connection has ended without an answer, before or after the question had been read.
    Ended {
        was_read: bool,
    },
    Unasked,
}

/// What is known now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Nothing,
    Takes,
    /// Nobody listens any more.
    Gone,
}

impl Probe {
    pub(super) fn ask(path: &Path, now: Duration) -> io::Result<Self> {
        let mut question = Vec::new();
        fastcgi::get_values(&[b"FCGI_MAX_CONNS", b"FCGI_MAX_REQS", b"FCGI_MPXS_CONNS"], &mut question)
            .map_err(io::Error::other)?;
        let mut stream = UnixStream::connect(path)?;
        stream.set_nonblocking(true)?;
        stream.write_all(&question)?;
        Ok(Self { stream: Some(stream), state: State::Asked, at: now + FIRST_LOOK, after: FIRST_LOOK })
    }

    /// For a program that ends when it is asked something, as those with Ruby's own library do: who has not ended after a while is ready.
    pub(super) fn without_question(now: Duration) -> Self {
        Self { stream: None, state: State::Unasked, at: now + UNASKED, after: UNASKED }
    }

    /// What to wait for, as long as something can come.
    pub(super) fn descriptor(&self) -> Option<RawFd> {
        self.stream.as_ref().filter(|_| self.state == State::Asked).map(AsRawFd::as_raw_fd)
    }

    /// When to look again.
    pub(super) fn at(&self) -> Duration {
        self.at
    }

    /// Something has come.
    pub(super) fn read(&mut self, now: Duration) -> Known {
        let mut room = [0; 512];
        let Some(stream) = &mut self.stream else { return Known::Nothing };
        match stream.read(&mut room) {
            Ok(count) if count > 0 => Known::Takes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Known::Nothing,
            // A socket that is closed with something unread gives an error in the place of its end.
            end => {
                let was_read = end.is_ok();
                // Who is about to end because of the question takes connections until it has.
                let pause = if was_read { UNASKED } else { AFTER_END };
                (self.state, self.at) = (State::Ended { was_read }, now + pause);
                Known::Nothing
            }
        }
    }

    /// The process has ended. Answers whether it had read the question and not answered it, so that it may have ended for that.
    pub(super) fn may_have_ended_it(&mut self, now: Duration) -> bool {
        if self.state == State::Asked {
            self.read(now);
        }
        self.state == State::Ended { was_read: true }
    }

    /// The time has come.
    pub(super) fn look(&mut self, path: &Path, now: Duration) -> Known {
        match self.state {
            State::Asked => {
                self.after = (self.after * 2).min(LOOK);
                self.at = now + self.after;
                let taken = self.descriptor().is_some_and(|fd| sys::has_unread(fd, true) == Some(false));
                if taken { Known::Takes } else { Known::Nothing }
            }
            State::Unasked => Known::Takes,
            State::Ended { .. } => match UnixStream::connect(path) {
                Ok(_) => Known::Takes,
                Err(_) => Known::Gone,
            },
        }
    }
}
