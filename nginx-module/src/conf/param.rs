// SPDX-License-Identifier: MIT OR Apache-2.0
//! A word of the administrator's for an application.

use crate::raw::ConfText;

/// gangway_param.
#[derive(Clone)]
pub(crate) struct ConfParam {
    pub(crate) name: Vec<u8>,
    pub(crate) value: ConfText,
    pub(crate) if_not_empty: bool,
}
