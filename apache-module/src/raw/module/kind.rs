// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kinds of handlers as everything else sees them.

use std::ffi::{CStr, c_int};

use gangway::rights::Identity;
use gangway_httpd::DECLINED;

use super::Request;
use crate::raw::ends::{ChildPool, ConfigurationPool};

/// A kind of handler: which requests are its own, how it answers them, and what it does beside that. A number is that of the
/// settings that the directive gave to its section.
#[derive(Debug)]
pub(crate) struct HandlerKind {
    /// What httpd calls the handler, also in `SetHandler`.
    pub(crate) name: &'static CStr,
    pub(crate) claim: Claim,
    /// Whether it is ended by what ends the handlers of the phase content.
    pub(crate) is_of_content: bool,
    pub(crate) serve: fn(Request<'_>, usize) -> c_int,
    /// Answers a request that somebody gave this name to where no directive of the kind stands.
    pub(crate) stray: fn(Request<'_>) -> c_int,
    /// All directives are read: whether those of the kind can work. An error is the place of one, and what is wrong with it.
    pub(crate) check: fn() -> Result<(), String>,
    /// What is wrong and stops nothing, in the eyes of the user that children will have.
    pub(crate) warnings: fn(&Identity) -> Vec<String>,
    /// In the parent that will make children, for each configuration, but not in a test of one. Answers whether it may make them.
    pub(crate) prepare: fn(&ConfigurationPool) -> bool,
    /// In a child that will serve requests.
    pub(crate) start: fn(&ChildPool),
}

/// Which requests of its section a kind takes. One that another module or an inner `SetHandler` has given to somebody else is not
/// asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Claim {
    /// All: in a section of paths before httpd looks for files, else once httpd knows the section.
    All,
    /// Those that it chooses when httpd has found what the path leads to.
    Found(fn(Request<'_>, usize) -> bool),
    /// Those that it chooses after all other modules, that of the index of a directory included.
    Last(fn(Request<'_>, usize) -> bool),
}

impl HandlerKind {
    /// One that does nothing but answer.
    pub(crate) const fn new(
        name: &'static CStr,
        claim: Claim,
        serve: fn(Request<'_>, usize) -> c_int,
    ) -> Self {
        Self {
            name,
            claim,
            is_of_content: false,
            serve,
            stray: |_| DECLINED,
            check: || Ok(()),
            warnings: |_| Vec::new(),
            prepare: |_| true,
            start: |_| {},
        }
    }

    /// Whether httpd will call, or calls, this kind for the request.
    pub(crate) fn has(&self, request: Request<'_>) -> bool {
        request.handler() == self.name.to_bytes()
    }
}
