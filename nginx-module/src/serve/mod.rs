// SPDX-License-Identifier: MIT OR Apache-2.0
//! What every kind of handler gives to nginx and gets from it.
//!
//! ```text
//! head            the response head
//! authorization   what an authorizer has said about a request
//! accel           internal redirects: X-Accel-Redirect, the local redirect of a script
//! counting        where this process counts requests for the status
//! memo            what is known of a request over internal redirects
//! variables       what nginx knows of a request, for the core's meta-variables
//! ```
//! It names the configuration and `raw/`, no kind of handler.

pub(crate) mod accel;
pub(crate) mod authorization;
pub(crate) mod counting;
pub(crate) mod head;
pub(crate) mod memo;
pub(crate) mod variables;
