// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the files of a request are: `root` and `alias` of the location in which it is now.

#[cfg(ngx_feature = "pcre")]
use std::ptr;

#[cfg(ngx_feature = "pcre")]
use nginx_sys::ngx_palloc;
use nginx_sys::{ngx_cycle, ngx_get_full_name, ngx_http_script_run, ngx_str_t};

use super::{Request, field::field, text::ALIAS_OF_ALL};

impl Request {
    /// `$document_root`, made of the location's own configuration: the variable's value may be that of the location from
    /// which a redirect or a subrequest came. `None` when nginx fails.
    pub(crate) fn document_root(&self) -> Option<&[u8]> {
        let location = self.core_location();
        if location.root_lengths.is_null() {
            return Some(self.bytes(location.root));
        }
        let mut root = ngx_str_t::empty();
        // SAFETY: live request; both arrays are made by the same setter; the prefix lives as long as the cycle.
        unsafe {
            let (lengths, values) = ((*location.root_lengths).elts, (*location.root_values).elts);
            if ngx_http_script_run(self.raw(), &raw mut root, lengths, 0, values).is_null() {
                return None;
            }
            let prefix = &raw mut (*ngx_cycle).prefix;
            if ngx_get_full_name(self.pool(), prefix, &raw mut root) != 0 {
                return None;
            }
        }
        Some(self.bytes(root))
    }

    /// Gives a subrequest a copy of the captures of its request: its `root` and its variables may be made of them. `None`
    /// without memory.
    pub(crate) fn take_captures(self, from: Self) -> Option<()> {
        #[cfg(ngx_feature = "pcre")]
        // SAFETY: live requests of one connection; nginx makes captures with as much room as its configuration says, and
        // takes a capture array that is there for one of that size.
        unsafe {
            let (known, count) = (field!(from, captures), field!(from, ncaptures));
            if !known.is_null() {
                let room = self.core_main().ncaptures.max(count);
                let captures = ngx_palloc(self.pool(), room * size_of::<libc::c_int>()).cast::<libc::c_int>();
                if captures.is_null() {
                    return None;
                }
                ptr::copy_nonoverlapping(known, captures, count);
                field!(self, captures = captures);
                field!(self, ncaptures = count);
                field!(self, captures_data = field!(from, captures_data));
            }
        }
        #[cfg(not(ngx_feature = "pcre"))]
        let _ = from;
        Some(())
    }

    /// How much of the path `alias` stands for: nothing for `root`, everything in a location with a pattern.
    pub(crate) fn alias(self) -> usize {
        match self.core_location().alias {
            // As ngx_http_map_uri_to_path(): try_files with such an alias puts the path behind it.
            ALIAS_OF_ALL if field!(self, add_uri_to_alias()) != 0 => 0,
            alias => alias,
        }
    }

    /// Whether a file that is not there is worth a line in the log.
    pub(crate) fn logs_not_found(self) -> bool {
        self.core_location().log_not_found != 0
    }

    /// The file that the path is mapped to by `root` or `alias`, and how much of it is the root.
    pub(crate) fn map_to_path(&self) -> Option<(&[u8], usize)> {
        let (mut path, mut root) = (ngx_str_t::empty(), 0);
        // SAFETY: live request; nginx answers the end of the path in its pool, which lives as long, or NULL.
        unsafe {
            let last = nginx_sys::ngx_http_map_uri_to_path(self.raw(), &raw mut path, &raw mut root, 0);
            let length = last.addr().checked_sub(path.data.addr()).filter(|_| !last.is_null())?;
            Some((std::slice::from_raw_parts(path.data, length), root))
        }
    }
}
