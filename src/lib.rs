// SPDX-License-Identifier: MIT OR Apache-2.0
//! The core of Gangway: everything that does not depend on a web server or a language.
//!
//! A server module (an *adapter*) turns its server's request into an [`exchange::Exchange`] and its server's
//! log into a [`log::Sink`]; an *engine* is a shared object behind `include/gangway.h`. What lies between stands
//! here: the configuration words ([`config`]), the meta-variables ([`cgi`]), the rules for response heads
//! ([`http`]), the gateway protocols ([`protocol`]), the handler pool ([`pool`]) and the C ABI ([`engine`]).

#![deny(unsafe_code)]

pub mod backends;
pub mod cgi;
pub mod config;
pub mod contention;
pub mod engine;
pub mod error;
pub mod exchange;
#[cfg(any(feature = "fuzzing", test))]
pub mod fuzzing;
pub mod http;
pub mod json;
pub mod log;
pub mod phases;
pub mod pool;
pub mod protocol;
pub mod rights;
pub mod run;
pub mod runtime;
pub mod status;
pub mod supervise;
pub mod sys;
pub mod trace;
mod wire;
