// SPDX-License-Identifier: MIT OR Apache-2.0
//! What blocks say of handlers of phases.

use std::sync::Arc;

use gangway::phases::HandlerPlace;

/// A block's part.
#[derive(Default)]
pub(crate) struct HandlersConf {
    /// What stands in the block itself.
    pub(crate) own: HandlerPlace,
    /// Whether it ends all that blocks around it say.
    pub(crate) is_off: bool,
    /// That together with what blocks around it say; nothing where there is no handler.
    pub(crate) place: Option<Arc<HandlerPlace>>,
    /// Whether the two have been put together.
    pub(crate) is_merged: bool,
    /// Whether handlers give the content here.
    pub(crate) gives_content: bool,
}
