// SPDX-License-Identifier: MIT OR Apache-2.0
//! Handlers of the phases of a request: mod_python's directives, and the hooks of httpd in which handlers run.
//!
//! ```text
//! words        what a directive says; wanted: whether any of them stands in the configuration
//! hooks        the phases of httpd, each with the handlers that the configuration has for it
//! run          one run of handlers, on the thread that has the request; filters: one for each piece of a body
//! transaction  the request, as they see it; facts: what it is, and those beside it
//! ```

mod facts;
mod filters;
mod hooks;
mod run;
mod transaction;
mod wanted;
mod words;

pub(crate) use filters::filter;
pub(crate) use hooks::{
    access, authen, authz, content, fixup, header_parser, log, post_read_request, trans, type_checker,
};
pub(crate) use wanted::add_application;
pub(crate) use words::{
    add_filter, add_handlers, add_import, add_option, refuse_missing, set_home, set_switch, set_text,
};
