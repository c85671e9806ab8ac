// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which backend a request goes to.

use gangway::{error::BAD_UPSTREAM, log::escape, report};
use nginx_sys::{ngx_http_upstream_resolved_t, ngx_int_t, ngx_parse_url, ngx_pcalloc, ngx_url_t};

use super::{INTERNAL_SERVER_ERROR, peer};
use crate::{
    conf::{LocationConf, Pass, Scheme, split_scheme},
    raw::{InCycle, Request, Upstream},
};

/// Points the upstream at its configuration and its backend. Answers the scheme.
///
/// # Errors
/// The status that answers the request.
pub(super) fn choose(
    request: Request,
    upstream: Upstream,
    location: InCycle<LocationConf>,
) -> Result<Scheme, ngx_int_t> {
    let conf = &location.upstream;
    // SAFETY: the cycle keeps its locations as long as their requests live.
    unsafe { upstream.set_conf(&raw const conf.conf) };
    let evaluate = |value| request.evaluate(value).map(<[u8]>::to_vec).ok_or(INTERNAL_SERVER_ERROR);
    let scheme = match conf.pass {
        None => {
            report!(request, Error, BAD_UPSTREAM, "this location has no gangway_pass");
            return Err(INTERNAL_SERVER_ERROR);
        }
        Some(Pass::Group(scheme)) => scheme,
        Some(Pass::Address(scheme, value)) => {
            resolve(request, upstream, &evaluate(value)?)?;
            scheme
        }
        Some(Pass::Url(value)) => {
            let url = evaluate(value)?;
            let (scheme, target) = split_scheme(&url).ok_or_else(|| {
                report!(
                    request,
                    Error,
                    BAD_UPSTREAM,
                    "the variables of gangway_pass make \"{}\", which has no scheme; let them begin with \
                     fastcgi://, scgi://, uwsgi:// or suwsgi://",
                    escape(&url),
                );
                INTERNAL_SERVER_ERROR
            })?;
            resolve(request, upstream, target)?;
            scheme
        }
    };
    upstream.set_schema(match scheme {
        Scheme::FastCgi => b"fastcgi://",
        Scheme::Scgi => b"scgi://",
        Scheme::Uwsgi => b"uwsgi://",
        Scheme::Suwsgi => b"suwsgi://",
    });
    #[cfg(ngx_feature = "ssl")]
    upstream.set_tls(scheme.is_tls());
    Ok(scheme)
}

/// Makes an address of a text of this request, as `ngx_http_fastcgi_eval()`.
fn resolve(request: Request, upstream: Upstream, target: &[u8]) -> Result<(), ngx_int_t> {
    let copy = request.text(target).ok_or(INTERNAL_SERVER_ERROR)?;
    // SAFETY: live pool; all-zero is what the C code starts from.
    unsafe {
        let mut url: ngx_url_t = std::mem::zeroed();
        url.url = copy;
        url.set_no_resolve(1);
        if ngx_parse_url(request.pool(), &raw mut url) != 0 {
            let reason = if url.err.is_null() {
                String::from("is no address")
            } else {
                std::ffi::CStr::from_ptr(url.err).to_string_lossy().into_owned()
            };
            report!(request, Error, BAD_UPSTREAM, "{reason} in upstream \"{}\"", escape(target));
            return Err(INTERNAL_SERVER_ERROR);
        }
        let resolved = ngx_pcalloc(request.pool(), size_of::<ngx_http_upstream_resolved_t>())
            .cast::<ngx_http_upstream_resolved_t>();
        let Some(resolved) = resolved.as_mut() else { return Err(INTERNAL_SERVER_ERROR) };
        if let Some(address) = url.addrs.as_ref() {
            resolved.sockaddr = address.sockaddr;
            resolved.socklen = address.socklen;
            resolved.name = address.name;
            resolved.naddrs = 1;
        }
        resolved.host = url.host;
        resolved.port = url.port;
        resolved.no_port = url.no_port() as usize;
        upstream.set_resolved(resolved);
        if !resolved.sockaddr.is_null() {
            peer::use_literal(request, upstream);
        }
    }
    Ok(())
}
