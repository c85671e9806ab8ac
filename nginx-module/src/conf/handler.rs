// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kinds of handlers as everything else sees them.

use std::{any::Any, rc::Rc};

use gangway::log::Line;
use nginx_sys::{ngx_http_request_t, ngx_int_t};

use super::UpstreamConf;
use crate::raw::{Conf, Cycle};

/// What nginx calls for the requests of a location.
pub(crate) type ContentHandler = unsafe extern "C" fn(*mut ngx_http_request_t) -> ngx_int_t;

/// A kind of handler: what it does beside answering requests.
pub(crate) struct HandlerKind {
    pub(crate) content_handler: ContentHandler,
    /// A location has inherited what it had not set: the last word on it. An error is what is wrong with the directive.
    pub(crate) settle: fn(&Conf, &Handler, &mut UpstreamConf) -> Result<(), String>,
    /// In the process that will fork the workers, for each configuration, and in a test of one. An error refuses
    /// the configuration.
    pub(crate) prepare: fn(&Cycle<'_>) -> Result<(), Line>,
    /// In a process that will serve requests. An error ends the process.
    pub(crate) start: fn(&Cycle<'_>) -> Result<(), Line>,
    /// At the end of a process, whether it has served requests or not.
    pub(crate) stop: fn(),
}

impl HandlerKind {
    /// One that does nothing but answer.
    pub(crate) const fn new(content_handler: ContentHandler) -> Self {
        Self {
            content_handler,
            settle: |_, _, _| Ok(()),
            prepare: |_| Ok(()),
            start: |_| Ok(()),
            stop: || {},
        }
    }
}

/// What answers the requests of a location. The blocks of `if` and `limit_except` share that of their location.
#[derive(Clone)]
pub(crate) struct Handler {
    /// What the administrator has written.
    pub(crate) directive: &'static str,
    pub(crate) kind: &'static HandlerKind,
    settings: Rc<dyn Any>,
}

impl Handler {
    pub(crate) fn new<T: Any>(directive: &'static str, kind: &'static HandlerKind, settings: T) -> Self {
        Self { directive, kind, settings: Rc::new(settings) }
    }

    /// What the directive says, if it is of this kind.
    pub(crate) fn settings<T: Any>(&self) -> Option<&T> {
        self.settings.downcast_ref()
    }

    /// The same for what outlives the configuration.
    pub(crate) fn shared_settings<T: Any>(&self) -> Option<Rc<T>> {
        Rc::clone(&self.settings).downcast().ok()
    }
}
