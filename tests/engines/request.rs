// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests to engines, and what comes back of their responses.

use std::{
    collections::VecDeque,
    fs::File,
    os::unix::fs::FileExt,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use gangway::{
    exchange::{
        Body, BodyPart, Channel, Delivery, End, Exchange, Mailbox, Notify, Piece, Port, ROOM, RequestHead,
        SocketLink, SocketOffer, Stop, Wait, Waker,
    },
    http::{Fields, Head},
    log::Level,
    pool::Refusal,
    protocol::websocket::SocketRules,
    runtime::Application,
};

use crate::world::PATIENCE;

/// A request to be sent.
pub(crate) struct Request {
    variables: Vec<(String, String)>,
    body: Vec<u8>,
    feed: Option<VecDeque<Vec<u8>>>,
    no_body: bool,
    traced: bool,
    room: usize,
    socket: Option<SocketOffer>,
}

pub(crate) fn get(path: &str) -> Request {
    let variables = vec![("REQUEST_METHOD".into(), "GET".into()), ("PATH_INFO".into(), path.into())];
    Request {
        variables,
        body: Vec::new(),
        feed: None,
        no_body: false,
        traced: false,
        room: ROOM,
        socket: None,
    }
}

impl Request {
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    pub(crate) fn body(mut self, bytes: &[u8]) -> Self {
        self.body = bytes.to_vec();
        self
    }

    /// The body comes in these parts when it is wanted; its length is not known before.
    pub(crate) fn fed(mut self, parts: &[&[u8]]) -> Self {
        self.feed = Some(parts.iter().map(|part| part.to_vec()).collect());
        self
    }

    pub(crate) fn head_only(mut self) -> Self {
        self.no_body = true;
        self
    }

    /// The server's log is at debug for it.
    pub(crate) fn traced(mut self) -> Self {
        self.traced = true;
        self
    }

    /// Output that may wait for the client.
    pub(crate) fn room(mut self, room: usize) -> Self {
        self.room = room;
        self
    }

    /// It asks for a WebSocket.
    pub(crate) fn upgrade(mut self, offer: SocketOffer) -> Self {
        self.socket = Some(offer);
        self
    }

    /// A client that has not sent it yet.
    pub(crate) fn prepare(self) -> Client {
        let mailbox = Arc::new(Mailbox::default());
        let notify: Arc<dyn Notify> = mailbox.clone();
        let channel = match &self.feed {
            Some(_) => Channel::fed(1, notify, self.room),
            None => Channel::new(1, notify, Body::new([BodyPart::Memory(self.body.clone())]), self.room),
        };
        let (alive, gone) = mpsc::channel();
        let (blocks, blocked) = mpsc::channel();
        let port = Watched { channel: Arc::clone(&channel), blocks, _alive: alive };
        let mut variables = Fields::default();
        self.variables.iter().for_each(|(name, value)| variables.push(name.as_bytes(), value.as_bytes()));
        let content_length = if self.feed.is_some() { None } else { Some(self.body.len() as u64) };
        let head = RequestHead {
            variables,
            content_length,
            no_body: self.no_body,
            traced: self.traced,
            socket: self.socket,
            ..RequestHead::default()
        };
        Client {
            exchange: Exchange::new(head, Arc::new(port)),
            channel,
            mailbox,
            feed: self.feed.unwrap_or_default(),
            blocked,
            gone,
            head: None,
            body: Vec::new(),
            end: None,
            lines: Vec::new(),
        }
    }

    /// Sends it and does not wait for anything.
    pub(crate) fn send(self, application: &Arc<Application>) -> Client {
        let client = self.prepare();
        client.submit(application).unwrap();
        client
    }

    /// Sends it and waits for the end of the response.
    pub(crate) fn answer(self, application: &Arc<Application>) -> Client {
        self.send(application).ended()
    }
}

/// A channel that tells when a handler is about to wait for room, and when nobody has the exchange any more.
struct Watched {
    channel: Arc<Channel>,
    blocks: mpsc::Sender<()>,
    _alive: mpsc::Sender<()>,
}

impl Port for Watched {
    fn read_body(&self, out: &mut [u8], wait: Wait) -> Result<usize, Stop> {
        self.channel.read_body(out, wait)
    }

    fn room(&self, wait: Wait) -> Result<(), Stop> {
        match self.channel.room(Wait::No) {
            Err(Stop::Again) if wait == Wait::Yes => {
                // The error is that the test does not look any more.
                let _ = self.blocks.send(());
                self.channel.room(Wait::Yes)
            }
            answer => answer,
        }
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), Stop> {
        self.channel.deliver(delivery)
    }

    fn log(&self, level: Level, line: &str) {
        self.channel.log(level, line);
    }

    fn cancel(&self) {
        self.channel.cancel();
    }

    fn set_waker(&self, waker: Arc<dyn Waker>) {
        self.channel.set_waker(waker);
    }

    fn open_socket(&self, rules: SocketRules) -> Result<Arc<SocketLink>, Stop> {
        self.channel.open_socket(rules)
    }
}

/// A request on its way, and what has come back of its response.
pub(crate) struct Client {
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) channel: Arc<Channel>,
    mailbox: Arc<Mailbox>,
    feed: VecDeque<Vec<u8>>,
    blocked: mpsc::Receiver<()>,
    gone: mpsc::Receiver<()>,
    pub(crate) head: Option<Head>,
    pub(crate) body: Vec<u8>,
    pub(crate) end: Option<End>,
    /// The log lines of this request.
    pub(crate) lines: Vec<String>,
}

impl Client {
    pub(crate) fn submit(&self, application: &Arc<Application>) -> Result<(), Refusal> {
        application.submit(&self.exchange)
    }

    /// Waits until `is_there` says yes.
    pub(crate) fn until(mut self, is_there: impl Fn(&Self) -> bool) -> Self {
        while !is_there(&self) {
            self.step();
        }
        self
    }

    /// Waits for the end of the response.
    pub(crate) fn ended(self) -> Self {
        self.until(|client| client.end.is_some())
    }

    fn step(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let (posted, lines) = self.mailbox.wait(Some(deadline));
        assert!(posted || !lines.is_empty(), "nothing comes back: {:?} {:?}", self.head, self.lines);
        self.lines.extend(lines.into_iter().map(|(_, line)| line));
        let taken = self.take();
        self.channel.sent(taken);
        if self.channel.wants_body() {
            match self.feed.pop_front() {
                Some(part) => self.channel.feed(&part),
                None => self.channel.end_body(true),
            }
        }
    }

    /// Takes what waits, and answers its weight: it has not been sent yet.
    pub(crate) fn take(&mut self) -> usize {
        let delivery = self.channel.take();
        let weight = delivery.weight();
        assert!(self.end.is_none() || weight == 0, "output after the end");
        if let Some(head) = delivery.head {
            assert!(self.head.is_none(), "two heads");
            self.head = Some(head);
        }
        for piece in &delivery.pieces {
            assert!(self.head.is_some() && !piece.is_empty());
            match piece {
                Piece::Copied(bytes) => self.body.extend_from_slice(bytes),
                Piece::Lent(lent) => self.body.extend_from_slice(lent.as_slice()),
                Piece::File(slice) => {
                    let mut bytes = vec![0; piece.len()];
                    let file = File::from(slice.fd.try_clone().unwrap());
                    file.read_exact_at(&mut bytes, slice.offset).unwrap();
                    self.body.extend_from_slice(&bytes);
                }
            }
        }
        self.end = self.end.or(delivery.end);
        weight
    }

    /// Waits until the handler waits for room.
    pub(crate) fn await_blocked(&self) {
        self.blocked.recv_timeout(PATIENCE).expect("the handler waits for room");
    }

    /// Waits until the server is told to look.
    pub(crate) fn await_posted(&mut self) {
        assert!(self.posted_within(PATIENCE), "nothing comes back: {:?}", self.lines);
    }

    /// Whether the server is told to look in so long a time.
    pub(crate) fn posted_within(&mut self, most: Duration) -> bool {
        let deadline = Instant::now() + most;
        loop {
            let (posted, lines) = self.mailbox.wait(Some(deadline));
            let is_late = lines.is_empty();
            self.lines.extend(lines.into_iter().map(|(_, line)| line));
            if posted || is_late {
                return posted;
            }
        }
    }

    /// Whether nothing has come back until now.
    pub(crate) fn is_silent(&self) -> bool {
        self.mailbox.wait(Some(Instant::now())) == (false, Vec::new())
    }

    /// Lets go of the exchange and waits until all others have.
    pub(crate) fn await_gone(self) {
        drop(self.exchange);
        let gone = self.gone.recv_timeout(PATIENCE);
        assert_eq!(gone, Err(mpsc::RecvTimeoutError::Disconnected), "somebody keeps the exchange");
    }

    pub(crate) fn status(&self) -> Option<u16> {
        self.head.as_ref().map(|head| head.status)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Status, body and end in one.
    pub(crate) fn summary(&self) -> (Option<u16>, String, Option<End>) {
        (self.status(), self.text(), self.end)
    }

    pub(crate) fn has_line(&self, part: &str) -> bool {
        self.lines.iter().any(|line| line.contains(part))
    }
}
