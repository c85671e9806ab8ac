// SPDX-License-Identifier: MIT OR Apache-2.0
//! FastCGI, SCGI and uwsgi as a provider for httpd's mod_proxy.
//!
//! ```text
//! canon hook  -> canonical      the canonical URL, PATH_INFO
//! fixups      -> pass           GangwayPass
//! scheme hook -> serve          one request: variables, script check, attempts
//!                -> keep        idle connections of this process
//!                -> proxied     what an attempt (`gangway_httpd::transfer`) knows of the request
//!                   -> reply    the head, and what of the body the client gets
//!                   -> contest  waiting for a process that somebody's idle connection holds
//!                -> counting    where requests are counted for the status
//! raw/                          httpd's memory, system calls
//! ```

#![deny(unsafe_code)]

mod canonical;
mod contest;
mod counting;
mod directives;
mod hooks;
mod keep;
mod pass;
mod proxied;
mod raw;
mod reply;
mod scheme;
mod script;
mod serve;
mod values;
mod variables;

pub use hooks::proxy_gangway_module;
