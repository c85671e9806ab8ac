// SPDX-License-Identifier: MIT OR Apache-2.0
//! What sections of the configuration say of handlers of phases: plain data in a pool of httpd's.

use std::sync::atomic::{AtomicBool, Ordering};

use gangway::phases::{Handler, RequestPhase, merge_assignments, merge_handlers};
use gangway_httpd::pool::Pool;

/// Whether any section has ever had handlers, here or in the parent. Never taken back, so that no handler is missed.
static HAS_HANDLERS: AtomicBool = AtomicBool::new(false);

/// Whether a section may have handlers: where none has, the phases of requests cost next to nothing.
pub(crate) fn has_handlers() -> bool {
    HAS_HANDLERS.load(Ordering::Relaxed)
}

/// As [`HAS_HANDLERS`], of connections.
static HAS_CONNECTIONS: AtomicBool = AtomicBool::new(false);

/// Whether a server may have handlers of connections.
pub(crate) fn has_connections() -> bool {
    HAS_CONNECTIONS.load(Ordering::Relaxed)
}

/// A name and its value.
type Assignment<'p> = (&'p [u8], &'p [u8]);

/// Handlers, and what they are told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PhaseConf<'p> {
    pub(crate) handlers: &'p [Handler<'p>],
    /// The engine's words, by the names of directives.
    pub(crate) settings: &'p [Assignment<'p>],
    /// The handlers' own words. An empty value takes a name away.
    pub(crate) options: &'p [Assignment<'p>],
    /// Phases of which the handlers of sections around this one do not count.
    ended: &'p [RequestPhase],
    /// What a client is asked to authenticate for, where no AuthName says it.
    pub(crate) realm: Option<&'p [u8]>,
    /// Whether the content handlers stand in a `<Location>`; `None` where the section names none.
    by_path: Option<bool>,
    /// Content handlers give the response without SetHandler.
    pub(crate) gives_content: bool,
    /// Handlers say who the client is, and what it may, without Require.
    pub(crate) asks: bool,
}

impl<'p> PhaseConf<'p> {
    /// Adds handlers behind those of the same section.
    pub(crate) fn add_handlers(&mut self, more: &[Handler<'p>], pool: Pool<'p>) {
        HAS_HANDLERS.store(true, Ordering::Relaxed);
        if more.iter().any(|handler| handler.phase == RequestPhase::Connection) {
            HAS_CONNECTIONS.store(true, Ordering::Relaxed);
        }
        self.handlers = pool.copy(&[self.handlers, more].concat());
    }

    /// Notes where the content handlers stand.
    pub(crate) fn set_by_path(&mut self, by_path: bool) {
        self.by_path = Some(by_path);
    }

    /// Whether the response is that of handlers of a path, whatever file it would stand for.
    pub(crate) fn needs_no_file(&self) -> bool {
        self.by_path == Some(true)
            && self.has(RequestPhase::Content)
            && self.handlers.iter().all(|handler| handler.suffix.is_none() || handler.phase.is_filter())
            && self.setting(b"PythonInterpPerDirectory") != Some(b"1")
    }

    /// Ends what sections around this one, and this one so far, say of phases.
    pub(crate) fn end(&mut self, phases: &[RequestPhase], pool: Pool<'p>) {
        let is_left = |handler: &&Handler<'_>| !phases.contains(&handler.phase);
        let left: Vec<_> = self.handlers.iter().filter(is_left).copied().collect();
        self.handlers = pool.copy(&left);
        self.ended = pool.copy(&[self.ended, phases].concat());
    }

    /// Whether there are handlers of a phase, for some file or other.
    pub(crate) fn has(&self, phase: RequestPhase) -> bool {
        self.handlers.iter().any(|handler| handler.phase == phase)
    }

    /// Whether what sections around this one say of a phase does not count here.
    pub(crate) fn ends(&self, phase: RequestPhase) -> bool {
        self.ended.contains(&phase)
    }

    /// Sets one of the engine's words.
    pub(crate) fn set(&mut self, name: &'p [u8], value: &'p [u8], pool: Pool<'p>) {
        self.settings = pool.copy(&merge_assignments(self.settings, &[(name, value)]));
    }

    /// Sets one of the handlers' words.
    pub(crate) fn set_option(&mut self, name: &'p [u8], value: &'p [u8], pool: Pool<'p>) {
        self.options = pool.copy(&merge_assignments(self.options, &[(name, value)]));
    }

    /// One of the engine's words.
    pub(crate) fn setting(&self, name: &[u8]) -> Option<&'p [u8]> {
        self.settings.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// What an inner section and the one around it say together.
    pub(crate) fn merged(outer: &Self, inner: &Self, pool: Pool<'p>) -> Self {
        let assignments = |outer: &'p [Assignment<'p>], inner: &'p [Assignment<'p>]| match (outer, inner) {
            (one, []) | ([], one) => one,
            _ => pool.copy(&merge_assignments(outer, inner)),
        };
        let mut around = *outer;
        if !inner.ended.is_empty() {
            around.end(inner.ended, pool);
        }
        Self {
            handlers: match (around.handlers, inner.handlers) {
                (one, []) | ([], one) => one,
                (outer, inner) => pool.copy(&merge_handlers(outer, inner)),
            },
            settings: assignments(outer.settings, inner.settings),
            options: assignments(outer.options, inner.options),
            // httpd may merge the inner ones first.
            ended: match (outer.ended, inner.ended) {
                (one, []) | ([], one) => one,
                (outer, inner) => pool.copy(&[outer, inner].concat()),
            },
            realm: inner.realm.or(outer.realm),
            by_path: inner.by_path.or(outer.by_path),
            gives_content: outer.gives_content || inner.gives_content,
            asks: outer.asks || inner.asks,
        }
    }
}
