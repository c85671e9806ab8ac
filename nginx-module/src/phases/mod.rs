// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_python_handler`: handlers of the phases of a request, on threads of the pool. A phase with handlers leaves the request until
//! they have run, and nginx asks again; one without them costs a look at the location.
//!
//! ```text
//! handlers  what nginx calls in its phases
//! content   those that give the response
//! ask       sends handlers on their way
//! tell      the request, as they see it
//! apply     what they have changed
//! headers   what they have said of a response that somebody else gives
//! filters   what nginx calls when a body passes; filtering: one response whose body does
//! afterwards  what comes after the response
//! wanted    what the configuration says of all handlers together
//! ```

mod afterwards;
mod apply;
mod ask;
mod content;
mod filtering;
mod filters;
mod handlers;
mod headers;
mod tell;
mod wanted;

pub(crate) use afterwards::end;
pub(crate) use content::content_handler;
pub(crate) use filters::install as install_filters;
pub(crate) use handlers::install;
pub(crate) use wanted::WantedHandlers;
