// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the merged configuration of its sections says about one request.

use gangway::cgi::Param;
use gangway_httpd::param;

use super::{DirConf, Request};

impl DirConf {
    /// The path of the section, for a request that this configuration belongs to.
    pub(crate) fn path<'r>(&self, _: Request<'r>) -> &'r [u8] {
        // SAFETY: the configuration of a request lives at least as long as the request.
        unsafe { self.path.for_life() }
    }

    /// The variables for this request.
    ///
    /// # Errors
    /// The name of a variable whose expression failed, and why.
    pub(crate) fn params<'r>(&self, request: Request<'r>) -> Result<Vec<Param<'r>>, (&'r [u8], &'r [u8])> {
        // SAFETY: the configuration of a request lives at least as long as the request.
        let entries = unsafe { self.params.for_life() };
        let param = |entry: &'r param::Param| {
            // SAFETY: as above, for both.
            let (name, value) = unsafe { (entry.name.for_life(), entry.value.for_life()) };
            let value = if entry.expr.is_null() {
                value
            } else {
                // SAFETY: the expression was parsed into the configuration's pool.
                unsafe { request.evaluate(entry.expr) }.map_err(|why| (name, why))?
            };
            Ok(Param { name, value, if_not_empty: entry.if_not_empty })
        };
        entries.iter().map(param).collect()
    }
}
