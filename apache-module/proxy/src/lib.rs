// SPDX-License-Identifier: MIT OR Apache-2.0
//! FastCGI, SCGI and uwsgi as a provider for httpd's mod_proxy.
//!
//! ```text
//! canon hook  -> canonical      the canonical URL, PATH_INFO
//! fixups      -> pass           GangwayPass
//! scheme hook -> serve          one request: variables, script check, attempts
//!                -> keep        idle connections of this process
//!                -> transfer    one attempt: request out, response in
//!                   -> reply    the head, and what of the body the client gets
//!                   -> stderr   lines for the log
//! raw/                          httpd's memory, system calls
//! ```

#![deny(unsafe_code)]

mod buffers;
mod canonical;
mod directives;
mod hooks;
mod keep;
mod pass;
mod raw;
mod reply;
mod scheme;
mod script;
mod serve;
mod stderr;
mod transfer;
mod values;
mod variables;

pub use hooks::proxy_gangway_module;
