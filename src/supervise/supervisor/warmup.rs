// SPDX-License-Identifier: MIT OR Apache-2.0
//! The request of `warmup=`, before a process gets those of clients: it fills caches and opens connections. How it is answered
//! is told and changes nothing.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    path::Path,
    time::Duration,
};

use super::super::message::AppWarmup;
use crate::{
    cgi::{Form, ResponseParser},
    http::Fields,
    protocol::{Decoder, FastCgi, Protocol, ResponseEvent, Settings},
};

/// For the answer, where booting may take longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of the answer's head; the rest is read and forgotten.
const HEAD: usize = 16 * 1024;
/// Of the answer.
const MOST: usize = 16 << 20;

pub(super) struct Warmup {
    stream: UnixStream,
    question: Vec<u8>,
    decoder: Decoder,
    parser: ResponseParser,
    status: Option<u16>,
    taken: usize,
    until: Duration,
}

/// How it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WarmupProgress {
    Goes,
    /// It was answered well.
    Answered,
    /// It was not: why.
    Failed(String),
}

impl Warmup {
    /// Asks; `left` is how long booting may still take.
    pub(super) fn ask(
        socket: &Path,
        words: &AppWarmup,
        now: Duration,
        left: Option<Duration>,
    ) -> io::Result<Self> {
        let mut question = Vec::new();
        FastCgi
            .encode_head(&Settings::default(), &variables(words), &mut question)
            .map_err(io::Error::other)?;
        question.extend_from_slice(FastCgi.body_end());
        let stream = UnixStream::connect(socket)?;
        stream.set_nonblocking(true)?;
        // Its process is not to be killed because of it.
        let patience = left.map_or(PATIENCE, |left| PATIENCE.min(left / 2));
        Ok(Self {
            stream,
            question,
            decoder: FastCgi.decoder(),
            parser: ResponseParser::new(Form::Cgi, HEAD),
            status: None,
            taken: 0,
            until: now + patience,
        })
    }

    /// What to wait for.
    pub(super) fn wanted(&self) -> (RawFd, i16) {
        (
            self.stream.as_raw_fd(),
            if self.question.is_empty() { libc::POLLIN } else { libc::POLLOUT | libc::POLLIN },
        )
    }

    /// When it has had its time.
    pub(super) fn until(&self) -> Duration {
        self.until
    }

    /// Goes on, as far as that is possible now.
    pub(super) fn go_on(&mut self) -> WarmupProgress {
        match self.try_to_go_on() {
            Ok(false) => WarmupProgress::Goes,
            Ok(true) => match self.status {
                Some(status) if status < 400 => WarmupProgress::Answered,
                Some(status) => WarmupProgress::Failed(format!("the answer was {status}")),
                None => WarmupProgress::Failed("the answer had no head".to_owned()),
            },
            Err(error) => WarmupProgress::Failed(error.to_string()),
        }
    }

    /// Answers whether it has ended.
    fn try_to_go_on(&mut self) -> io::Result<bool> {
        while !self.question.is_empty() {
            match self.stream.write(&self.question) {
                Ok(count) => drop(self.question.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        let mut room = [0; 16 * 1024];
        // Then others have their turn.
        for _ in 0..8 {
            let count = match self.stream.read(&mut room) {
                Ok(0) => return Err(io::Error::other("the connection ended before the answer did")),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            };
            self.taken += count;
            if self.taken > MOST {
                return Err(io::Error::other("the answer is larger than 16 MiB"));
            }
            if self.take(room.get(..count).unwrap_or_default())? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn take(&mut self, mut input: &[u8]) -> io::Result<bool> {
        loop {
            let (used, event) = self.decoder.decode(input).map_err(io::Error::other)?;
            match event {
                ResponseEvent::More => return Ok(false),
                ResponseEvent::End(_) => return Ok(true),
                ResponseEvent::Output(output) if self.status.is_none() => {
                    if self.parser.feed(output).map_err(io::Error::other)?.is_some() {
                        self.status = Some(self.parser.head().status());
                    }
                }
                ResponseEvent::Output(_) | ResponseEvent::Errors(_) | ResponseEvent::OutputEnd => {}
            }
            input = input.get(used..).unwrap_or_default();
        }
    }
}

fn variables(words: &AppWarmup) -> Fields {
    let (path, query) = words.path.split_once('?').unwrap_or((&words.path, ""));
    // Programs that run a file, as PHP does, look for it below their working directory.
    let file = words.directory.as_deref().map(|root| (root, format!("{}{path}", root.trim_end_matches('/'))));
    let file = file.filter(|(_, file)| Path::new(file).is_file());
    let (script, rest) = if file.is_some() { (path, "") } else { ("", path) };
    let mut variables = Fields::with_capacity(20, 512);
    variables.begin(FastCgi.layout());
    for (name, value) in [
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("SERVER_SOFTWARE", "gangway"),
        ("SERVER_NAME", "localhost"),
        ("SERVER_PORT", "80"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("REQUEST_METHOD", "GET"),
        ("REQUEST_URI", &words.path),
        ("QUERY_STRING", query),
        ("SCRIPT_NAME", script),
        ("PATH_INFO", rest),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("HTTP_HOST", "localhost"),
        ("HTTP_USER_AGENT", "gangway-warmup"),
    ] {
        variables.push(name.as_bytes(), value.as_bytes());
    }
    if let Some((root, file)) = &file {
        variables.push(b"DOCUMENT_ROOT", root.as_bytes());
        variables.push(b"SCRIPT_FILENAME", file.as_bytes());
    }
    variables
}
