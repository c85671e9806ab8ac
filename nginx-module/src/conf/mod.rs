// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the configuration says: types only. Who reads and merges it is `directives/`.
//!
//! ```text
//! main       of the http block
//! location   of a location: which handler it has; param: words of the administrator's
//! counted    the applications of all locations, as they are counted
//! handler    kinds of handlers, and where they keep their settings; handlers: those of phases
//! upstream   of a location, about backends; tls: about TLS to them; unset: what "not set" is
//! pass       where requests go to, by which protocol
//! split      a pattern that takes paths apart
//! ```
//! It names `raw/` and the core.

mod counted;
mod handler;
mod handlers;
mod location;
mod main;
mod param;
mod pass;
mod split;
#[cfg(ngx_feature = "ssl")]
mod tls;
pub(crate) mod unset;
mod upstream;

pub(crate) use counted::{Backend, CountKey, Counted};
pub(crate) use handler::{Handler, HandlerKind};
pub(crate) use handlers::HandlersConf;
pub(crate) use location::LocationConf;
pub(crate) use main::{MainConf, UpstreamMain, VariableIndexes};
pub(crate) use param::ConfParam;
pub(crate) use pass::{Pass, Scheme, split_scheme};
pub(crate) use split::Split;
pub(crate) use upstream::{AUTHORIZER_PAGE, ScriptCheck, UpstreamConf};
