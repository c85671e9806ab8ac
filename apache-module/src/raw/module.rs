// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module, as httpd keeps things for it.

mod conf;
mod kind;

use std::ffi::CStr;

use gangway_httpd::{log::Log, module::Module, pool::Pool, request, sys};

pub(crate) use conf::{Choice, DirConf};
pub(crate) use kind::{Claim, HandlerKind};

unsafe extern "C" {
    /// Stands in `hooks`, above everything that asks for its number.
    static gangway_module: sys::module;
}

/// mod_gangway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gangway;

// SAFETY: `hooks` makes the record for this type, as a static.
unsafe impl Module for Gangway {
    const NAME: &'static CStr = c"mod_gangway.c";

    type Conf<'p> = DirConf<'p>;

    fn record() -> *const sys::module {
        &raw const gangway_module
    }

    fn merge<'p>(outer: &DirConf<'p>, inner: &DirConf<'p>, pool: Pool<'p>) -> DirConf<'p> {
        DirConf::merged(outer, inner, pool)
    }
}

/// The lines of this module.
pub(super) const LOG: Log = Gangway::LOG;

/// A request, as this module sees it.
pub(crate) type Request<'r> = request::Request<'r, Gangway>;
