// SPDX-License-Identifier: MIT OR Apache-2.0
//! The words of the configuration, parsed once for both servers.
//!
//! An adapter hands over the words of a directive and prints the error, if any, in its server's own way.

mod application;
mod cgi;
mod engines;
mod handlers;
mod managed;
mod native;
mod options;
mod param;
mod per_kind;
mod sockets;
mod terms;
mod values;

pub use application::{ApplicationConf, Parser};
pub use cgi::Cgi;
pub use engines::Engines;
pub use managed::{Command, HELD_MOST, Launch, Life, Managed, Placed, Reload, Replay};
pub use options::{
    APPLICATION_OPTIONS, ASYNC_OPTIONS, CGI_OPTIONS, HOST_OPTIONS, MANAGED_OPTIONS, PROGRAM_OPTIONS,
    SOCKET_OPTIONS,
};
pub use param::check_param_name;
pub use per_kind::PerKind;
pub use sockets::SocketTerms;

use crate::{engine::EngineError, error::Code};

/// Why a directive was refused: what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} {text}")]
pub struct ConfigError {
    /// The log code.
    pub code: Code,
    /// Value and cure in one line; the server names the directive, the file and the line.
    pub text: String,
}

impl ConfigError {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

impl From<EngineError> for ConfigError {
    fn from(error: EngineError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}
