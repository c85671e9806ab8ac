// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a host may do wrong.

/// How a host broke the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaneError {
    /// Not FastCGI's version.
    #[error("the host sent a FastCGI record of version {0} instead of 1")]
    Version(u8),
    /// It does not know lanes, or other ones.
    #[error("the host does not take several requests on a connection")]
    Unknown,
    /// A record that has no place here.
    #[error("the host sent a FastCGI record of type {0}, which does not belong here")]
    Type(u8),
    /// A record of a request that it does not have.
    #[error("the host sent a record of request {0}, which it does not have")]
    NoRequest(u16),
    /// More than it may.
    #[error("the host sent more of request {0} than there is room for")]
    Window(u16),
}
