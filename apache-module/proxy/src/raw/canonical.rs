// SPDX-License-Identifier: MIT OR Apache-2.0
//! mod_proxy's words for URLs.

use std::{ffi::c_int, ptr};

use super::{Request, sys, text};

/// Host and port of a URL, and what follows their slash.
pub(crate) struct Address<'r> {
    /// Without the brackets of an IPv6 address.
    pub(crate) host: &'r [u8],
    pub(crate) port: u16,
    pub(crate) path: &'r [u8],
}

impl<'r> Request<'r> {
    /// Splits what follows the colon of a URL.
    ///
    /// # Errors
    /// What mod_proxy says.
    pub(crate) fn split_address(self, url: &[u8], default_port: u16) -> Result<Address<'r>, &'r [u8]> {
        let (mut rest, mut host, mut port) = (self.keep(url), ptr::null_mut(), default_port);
        // SAFETY: a live pool and a C string in it that the function may write to; what it answers lives there too.
        unsafe {
            let error = sys::ap_proxy_canon_netloc(
                self.pool(),
                &raw mut rest,
                ptr::null_mut(),
                ptr::null_mut(),
                &raw mut host,
                &raw mut port,
            );
            if error.is_null() {
                Ok(Address { host: text(host), port, path: text(rest) })
            } else {
                Err(text(error))
            }
        }
    }

    /// Encodes a path, as AllowEncodedSlashes wants it. `None`: it cannot be forwarded.
    pub(crate) fn encode_path(self, path: &[u8]) -> Option<&'r [u8]> {
        let keeps = self
            .core_conf()
            .is_some_and(|conf| conf.allow_encoded_slashes() != 0 && conf.decode_encoded_slashes() == 0);
        let flags = if keeps { sys::PROXY_CANONENC_NOENCODEDSLASHENCODING } else { 0 };
        let length = c_int::try_from(path.len()).ok()?;
        // SAFETY: a live pool and a C string in it.
        let encoded = unsafe {
            let path = self.keep(path);
            sys::ap_proxy_canonenc_ex(
                self.pool(),
                path,
                length,
                sys::enc_path,
                flags as c_int,
                self.proxy_kind(),
            )
        };
        // SAFETY: NULL or a C string in the pool.
        (!encoded.is_null()).then(|| unsafe { text(encoded) })
    }

    /// Decodes a path but for its encoded slashes.
    pub(crate) fn decode_keeping_slashes(self, path: &[u8]) -> &'r [u8] {
        let path = self.keep(path);
        // SAFETY: a C string in the pool, which the function shortens.
        unsafe {
            sys::ap_unescape_url_keep2f(path, 0);
            text(path)
        }
    }

    /// Decodes a path. `None`: it holds what no path may hold.
    pub(crate) fn decode_path(self, path: &[u8]) -> Option<&'r [u8]> {
        let path = self.keep(path);
        // SAFETY: as above.
        unsafe { (sys::ap_unescape_url(path) == 0).then(|| text(path)) }
    }

    pub(crate) fn set_filename(self, parts: &[&[u8]]) {
        // SAFETY: a live request.
        unsafe { (*self.as_ptr()).filename = self.join(parts) }
    }
}
