// SPDX-License-Identifier: MIT OR Apache-2.0
//! What sections of the configuration say of handlers of phases: plain data in a pool of httpd's.

use std::sync::atomic::{AtomicBool, Ordering};

use gangway::phases::{Handler, merge_assignments, merge_handlers};
use gangway_httpd::pool::Pool;

/// Whether any section has ever had handlers, here or in the parent. Never taken back, so that no handler is missed.
static HAS_HANDLERS: AtomicBool = AtomicBool::new(false);

/// Whether a section may have handlers: where none has, the phases of requests cost next to nothing.
pub(crate) fn has_handlers() -> bool {
    HAS_HANDLERS.load(Ordering::Relaxed)
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
}

impl<'p> PhaseConf<'p> {
    /// Adds handlers behind those of the same section.
    pub(crate) fn add_handlers(&mut self, more: &[Handler<'p>], pool: Pool<'p>) {
        HAS_HANDLERS.store(true, Ordering::Relaxed);
        self.handlers = pool.copy(&[self.handlers, more].concat());
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
        Self {
            handlers: match (outer.handlers, inner.handlers) {
                (one, []) | ([], one) => one,
                (outer, inner) => pool.copy(&merge_handlers(outer, inner)),
            },
            settings: assignments(outer.settings, inner.settings),
            options: assignments(outer.options, inner.options),
        }
    }
}
