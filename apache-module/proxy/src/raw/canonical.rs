// SPDX-License-Identifier: MIT OR Apache-2.0
//! mod_proxy's words for URLs.

use std::{
    ffi::{CStr, c_int},
    ptr,
};

use super::{Request, sys, text};

/// Host and port of a URL, and what follows their slash.
pub(crate) struct Address<'r> {
    /// Without the brackets of an IPv6 address.
    pub(crate) host: &'r [u8],
    pub(crate) port: u16,
    pub(crate) path: &'r [u8],
}

/// Splits what follows the colon of a URL.
///
/// # Errors
/// What mod_proxy says.
pub(crate) fn split_address<'r>(
    request: Request<'r>,
    url: &[u8],
    default_port: u16,
) -> Result<Address<'r>, &'r [u8]> {
    let (mut rest, mut host, mut port) = (request.pool().keep(url), ptr::null_mut(), default_port);
    // SAFETY: the pool of a `Request` is live, and `keep` gives a C string in it that the function may write to; what it answers lives
    // there too.
    unsafe {
        let error = sys::ap_proxy_canon_netloc(
            request.pool().as_ptr(),
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
pub(crate) fn encode_path<'r>(request: Request<'r>, path: &[u8]) -> Option<&'r [u8]> {
    let keeps = request
        .core_conf()
        .is_some_and(|conf| conf.allow_encoded_slashes() != 0 && conf.decode_encoded_slashes() == 0);
    let flags = if keeps { sys::PROXY_CANONENC_NOENCODEDSLASHENCODING } else { 0 };
    let length = c_int::try_from(path.len()).ok()?;
    let (pool, path) = (request.pool().as_ptr(), request.pool().keep(path));
    // SAFETY: the pool of a `Request` is live, the path is a C string in it, and so is the answer, unless it is NULL.
    unsafe {
        let kind = (*request.as_ptr()).proxyreq;
        let encoded = sys::ap_proxy_canonenc_ex(pool, path, length, sys::enc_path, flags as c_int, kind);
        (!encoded.is_null()).then(|| text(encoded))
    }
}

/// Decodes a path but for its encoded slashes.
pub(crate) fn decode_keeping_slashes<'r>(request: Request<'r>, path: &[u8]) -> &'r [u8] {
    let path = request.pool().keep(path);
    // SAFETY: `keep` gives a C string that lives as long as the request; the function shortens it, and nobody else has it.
    unsafe {
        sys::ap_unescape_url_keep2f(path, 0);
        text(path)
    }
}

/// Decodes a path. `None`: it holds what no path may hold.
pub(crate) fn decode_path<'r>(request: Request<'r>, path: &[u8]) -> Option<&'r [u8]> {
    let path = request.pool().keep(path);
    // SAFETY: `keep` gives a C string that lives as long as the request; the function shortens it, and nobody else has it.
    unsafe { (sys::ap_unescape_url(path) == 0).then(|| text(path)) }
}

/// Makes mod_proxy serve it, at this URL.
pub(crate) fn set_proxied(request: Request<'_>, origin: &[u8], path: &[u8]) {
    request.set_filename(&[b"proxy:", origin, path]);
    request.set_handler(c"proxy-server");
    // SAFETY: `Request::from_raw` was promised a request that is live on this thread, which alone changes it.
    unsafe { (*request.as_ptr()).proxyreq = sys::PROXYREQ_REVERSE as c_int }
}

/// Makes mod_proxy serve it, with the path of its file behind this URL: `SetHandler "proxy:URL"`.
pub(crate) fn set_proxy_handler<'r>(request: Request<'r>, url: &[u8]) {
    let name = request.pool().join(&[b"proxy:", url]);
    // SAFETY: `join` gives a C string that lives as long as the request.
    let name: &'r CStr = unsafe { CStr::from_ptr(name) };
    request.set_handler(name);
}
