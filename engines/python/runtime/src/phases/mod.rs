// SPDX-License-Identifier: MIT OR Apache-2.0
//! Handlers of the phases of a request: mod_python's interface. The package `mod_python` is Python code that this file brings
//! along; here is what it cannot do itself.
//!
//! ```text
//! package      puts the package where `import mod_python` finds it
//! run          one phase, and what is kept of a request between two of them
//! places       what the configuration says of handlers, as the package takes it
//! direct       one handler, called without the package
//! transaction  the request, as the package sees it; stay: for how long, and on which thread; filters: what passes it;
//!              waiting: calls that wait for the client; servers: those of the configuration
//! ```

mod direct;
mod filters;
mod package;
mod places;
mod run;
mod servers;
mod stay;
mod transaction;
mod waiting;

pub(crate) use run::{Handlers, drain, forget, run};
