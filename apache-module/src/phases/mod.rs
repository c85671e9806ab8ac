// SPDX-License-Identifier: MIT OR Apache-2.0
//! Handlers of the phases of a request: mod_python's directives, and the hooks of httpd in which handlers run.
//!
//! ```text
//! words        what mod_python's directives say; gangway_handlers: that of both servers; wanted: whether any of them stands in the configuration
//! scripts      those that say who may come, as mod_wsgi has them
//! hooks        the phases of httpd, each with the handlers that the configuration has for it
//! run          one run of handlers, on the thread that has the request; filters: one for each piece of a body; includes: parts of pages of mod_include
//! transaction  the request, as they see it; facts: what it is, and those beside it; servers: the servers; connection: the connection below it; held: what of a response waits for its end
//! ```

mod connection;
mod facts;
mod filters;
mod gangway_handlers;
mod held;
mod hooks;
mod includes;
mod run;
mod scripts;
mod servers;
mod transaction;
mod wanted;
mod words;

pub(crate) use filters::filter;
pub(crate) use gangway_handlers::{TERMS, set_gangway_handlers};
pub(crate) use held::begin_process;
pub(crate) use hooks::{
    access, authen, authz, connection, content, fixup, force_authn, header_parser, insert_filters, log,
    map_to_storage, post_read_request, take_path, trans, type_checker,
};
pub(crate) use includes::register_includes;
pub(crate) use scripts::{SCRIPTS, ScriptUse, set_script, set_wsgi_script};
pub(crate) use servers::begin_servers;
pub(crate) use wanted::{add_application, warning};
pub(crate) use words::{
    add_filter, add_handlers, add_import, add_module, add_option, set_debugger, set_home, set_optimize,
    set_switch, set_text,
};
