// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kinds of handlers as everything else sees them, and what a kind keeps in the configuration: values of types of its own.

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

/// What kinds of handlers keep for the http block: one value of each type.
#[derive(Default)]
pub(crate) struct PerKind(Vec<Box<dyn Any>>);

impl PerKind {
    /// The value of this type, if a directive has made one.
    pub(crate) fn get<T: Any>(&self) -> Option<&T> {
        self.0.iter().find_map(|value| value.downcast_ref())
    }

    /// The value of this type, which is made now if there is none.
    pub(crate) fn entry<T: Any + Default>(&mut self) -> &mut T {
        let at = self.0.iter().position(|value| value.is::<T>()).unwrap_or_else(|| {
            self.0.push(Box::<T>::default());
            self.0.len() - 1
        });
        #[expect(clippy::expect_used, reason = "the line before has found or made it")]
        self.0.get_mut(at).and_then(|value| value.downcast_mut()).expect("a value of this type")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Names(Vec<u8>);

    #[derive(Default)]
    struct Numbers(Vec<u8>);

    #[test]
    fn each_type_has_one_value() {
        let mut kinds = PerKind::default();
        assert!(kinds.get::<Names>().is_none());
        kinds.entry::<Names>().0.push(1);
        kinds.entry::<Numbers>().0.push(2);
        kinds.entry::<Names>().0.push(3);
        assert_eq!(kinds.get::<Names>().map(|names| names.0.as_slice()), Some(&[1, 3][..]));
        assert_eq!(kinds.get::<Numbers>().map(|numbers| numbers.0.as_slice()), Some(&[2][..]));
    }
}
