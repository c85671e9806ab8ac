// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a location says.

use std::{cell::OnceCell, rc::Rc, sync::Arc};

use gangway::{
    config::{Application as Config, Cgi},
    runtime::Application,
};

use super::{ConfParam, UpstreamConf};
use crate::raw::{ConfText, PerLocation};

/// A location's part.
pub(crate) struct LocationConf {
    /// `gangway_wsgi` or `gangway_native`; the blocks of `if` and `limit_except` share that of their location.
    pub(crate) handler: Option<Rc<Handler>>,
    /// `gangway_cgi`, likewise.
    pub(crate) programs: Option<Rc<Programs>>,
    /// Where its scripts are, when `alias` makes the whole path of captures.
    pub(crate) script_root: Option<ConfText>,
    /// `None`: those of the enclosing block.
    pub(crate) params: Option<Vec<ConfParam>>,
    /// `gangway_pass` and its settings.
    pub(crate) upstream: UpstreamConf,
}

// SAFETY: `directives::create_location` makes it.
unsafe impl PerLocation for LocationConf {}

/// What a location runs.
pub(crate) struct Handler {
    pub(crate) config: Config,
    /// The path of the location, empty when it has none.
    pub(crate) mount: Vec<u8>,
    /// The application in this worker.
    pub(crate) application: OnceCell<Arc<Application>>,
}

/// How a location runs programs.
pub(crate) struct Programs {
    pub(crate) settings: Cgi,
    /// Equal ones share their places: this is the number.
    pub(crate) number: usize,
}
