// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a location says.

use std::any::Any;

use super::{ConfParam, Handler, HandlersConf, UpstreamConf};
use crate::raw::PerLocation;

/// A location's part.
pub(crate) struct LocationConf {
    /// What answers its requests. What a kind of handler wants to know is in its settings.
    pub(crate) handler: Option<Handler>,
    /// `None`: those of the enclosing block.
    pub(crate) params: Option<Vec<ConfParam>>,
    /// Handlers of phases.
    pub(crate) handlers: HandlersConf,
    /// `gangway_pass`, and the settings of upstreams, which nginx's setters write.
    pub(crate) upstream: UpstreamConf,
}

// SAFETY: `directives::create_location` makes it.
unsafe impl PerLocation for LocationConf {}

impl LocationConf {
    /// The settings of its handler, if it is of this kind.
    pub(crate) fn settings<T: Any>(&self) -> Option<&T> {
        self.handler.as_ref()?.settings()
    }
}
