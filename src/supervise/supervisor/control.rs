// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control socket: anybody may connect, and the kernel says who it is. Each has one question and a little time, nobody
//! waits for anybody, and what somebody may do is decided where it is done.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, RawFd},
        unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};

use super::super::control::{LONGEST_QUESTION, Question};
use crate::sys::{is_shortage, spawner};

/// For the question and its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Callers at a time, of one user and of all.
const MOST_OF_USER: usize = 4;
const MOST: usize = 64;
/// Nobody is let in for so long where there is no descriptor for him: he waits, and it is not looked again and again.
const PAUSE: Duration = Duration::from_millis(500);

/// The socket, if there is one, and who is connected.
pub(super) struct ControlSocket {
    path: PathBuf,
    listener: Option<UnixListener>,
    callers: BTreeMap<u32, Caller>,
    next: u32,
    /// Until then nobody is let in.
    rests_until: Option<Duration>,
}

struct Caller {
    stream: UnixStream,
    user: u32,
    question: Vec<u8>,
    /// What is still to be sent, once there is an answer.
    answer: Option<Vec<u8>>,
    until: Duration,
}

/// A line that was read: what it means, if anything, and whose it is.
pub(super) struct Asked {
    pub(super) question: Option<Question>,
    pub(super) user: u32,
}

impl ControlSocket {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, listener: None, callers: BTreeMap::new(), next: 0, rests_until: None }
    }

    /// Makes the socket, unless it is there.
    pub(super) fn open(&mut self) -> io::Result<()> {
        if self.listener.is_none() {
            self.listener = Some(listen(&self.path)?);
        }
        Ok(())
    }

    /// The socket, while somebody more may come.
    pub(super) fn listener(&self) -> Option<RawFd> {
        let is_open = self.callers.len() < MOST && self.rests_until.is_none();
        let listener = self.listener.as_ref().filter(|_| is_open);
        listener.map(AsRawFd::as_raw_fd)
    }

    /// Callers, with what they are waited for.
    pub(super) fn callers(&self) -> impl Iterator<Item = (u32, RawFd, i16)> + '_ {
        self.callers.iter().map(|(id, caller)| {
            let events = if caller.answer.is_some() { libc::POLLOUT } else { libc::POLLIN };
            (*id, caller.stream.as_raw_fd(), events)
        })
    }

    /// When somebody has had his time.
    pub(super) fn due(&self) -> Option<Duration> {
        self.callers.values().map(|caller| caller.until).chain(self.rests_until).min()
    }

    pub(super) fn expire(&mut self, now: Duration) {
        self.callers.retain(|_, caller| caller.until > now);
        self.rests_until = self.rests_until.filter(|until| *until > now);
    }

    pub(super) fn accept(&mut self, now: Duration) {
        let Some(listener) = &self.listener else { return };
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                self.rests_until = is_shortage(&error).then_some(now + PAUSE);
                return;
            }
        };
        let Ok((_, user)) = spawner::maker(stream.as_fd()) else { return };
        let of_user = self.callers.values().filter(|caller| caller.user == user).count();
        if of_user >= MOST_OF_USER || stream.set_nonblocking(true).is_err() {
            return;
        }
        self.next = self.next.wrapping_add(1);
        let caller = Caller { stream, user, question: Vec::new(), answer: None, until: now + PATIENCE };
        self.callers.insert(self.next, caller);
    }

    /// Goes on with a caller. Answers the question when it is there.
    pub(super) fn attend(&mut self, id: u32) -> Option<Asked> {
        let caller = self.callers.get_mut(&id)?;
        let asked = if caller.answer.is_some() { caller.write() } else { caller.read() };
        match asked {
            Ok(asked) => asked,
            Err(_) => {
                self.callers.remove(&id);
                None
            }
        }
    }

    /// Says this to a caller, who then is done.
    pub(super) fn answer(&mut self, id: u32, text: String) {
        if let Some(caller) = self.callers.get_mut(&id) {
            caller.answer = Some(text.into_bytes());
            self.attend(id);
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if self.listener.is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Caller {
    /// Takes a part of the line. An error is the end of the caller.
    fn read(&mut self) -> io::Result<Option<Asked>> {
        let mut room = [0; LONGEST_QUESTION];
        let count = match self.stream.read(&mut room) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        self.question.extend_from_slice(room.get(..count).unwrap_or_default());
        let end = self.question.iter().position(|byte| *byte == b'\n');
        let line = match end {
            Some(end) => self.question.get(..end).unwrap_or_default(),
            None if self.question.len() < LONGEST_QUESTION => return Ok(None),
            None => &[],
        };
        Ok(Some(Asked { question: Question::decode(line), user: self.user }))
    }

    /// Sends a part of the answer. Its end is that of the caller.
    fn write(&mut self) -> io::Result<Option<Asked>> {
        let Some(answer) = &mut self.answer else { return Ok(None) };
        while !answer.is_empty() {
            match self.stream.write(answer) {
                Ok(0) => break,
                Ok(count) => drop(answer.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    // Of a supervisor that was killed; nobody listens there.
    let _ = fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}
