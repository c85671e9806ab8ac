// SPDX-License-Identifier: MIT OR Apache-2.0
//! `GangwayPass`: the spelling of a backend that nginx has too.
//!
//! A file that exists goes to a FastCGI backend as with `SetHandler "proxy:…"`: the backend gets its path. Everything
//! else is a request to an application that is mounted at the path of its `<Location>`, as with ProxyPass. Where no file
//! matters, SCGI and uwsgi, httpd does not look for one: its walk through directories cost a seventh of a small request.

use std::ffi::c_int;

use crate::{
    canonical::canonicalise,
    raw::{
        DECLINED, OK, Request,
        canonical::{set_proxied, set_proxy_handler},
        set_mounted,
    },
    scheme::Kind,
    script,
};

/// Before httpd maps the path to a file: gives the request to mod_proxy when its application is that of a path. What Alias maps
/// has gone its way already. mod_proxy makes the canonical URL, as for ProxyPass.
pub(crate) fn translate(request: Request<'_>) -> c_int {
    let Some(backend) = request.conf().and_then(|conf| conf.pass()) else { return DECLINED };
    // The sections of a path that a module has changed are not known yet.
    let is_plain = request.uri().starts_with(b"/") && !request.is_rewritten();
    if !is_plain || backend.kind == Kind::FastCgi || request.is_proxied() || request.has_set_handler() {
        return DECLINED;
    }
    let below = below(request.uri(), backend.mount);
    set_mounted(request, below);
    // mod_proxy takes the socket out of it in its own fixups.
    set_proxied(request, backend.url, below);
    OK
}

/// Gives the request to mod_proxy. httpd calls this last before it looks for a handler.
pub(crate) fn fixups(request: Request<'_>) -> c_int {
    let Some(backend) = request.conf().and_then(|conf| conf.pass()) else { return DECLINED };
    // Somebody else's: another proxy, or SetHandler in a section inside.
    if request.is_proxied() || request.handler().starts_with(b"proxy:") {
        return DECLINED;
    }
    let names_script =
        script::names_script(&[request.filename(), request.path_info()].concat(), suffixes(request));
    if backend.kind == Kind::FastCgi && (request.is_file() || names_script) {
        set_proxy_handler(request, backend.url);
        return DECLINED;
    }
    let below = below(request.uri(), backend.mount);
    set_mounted(request, below);
    if let Some(path) = backend.url.strip_prefix(b"unix:") {
        // mod_proxy has taken the sockets out of its URLs already.
        request.set_note(c"uds_path", path.split(|byte| *byte == b'|').next().unwrap_or_default());
    }
    let origin = backend.origin;
    set_proxied(request, origin, below);
    match canonicalise(request, &[origin, below].concat()) {
        OK => DECLINED,
        refused => refused,
    }
}

fn suffixes(request: Request<'_>) -> Option<&[&[u8]]> {
    request.conf().and_then(|conf| conf.script_suffixes())
}

/// The part of a path below the mount, from its slash on.
fn below<'p>(uri: &'p [u8], mount: &[u8]) -> &'p [u8] {
    uri.strip_prefix(mount).filter(|rest| rest.is_empty() || rest.starts_with(b"/")).unwrap_or(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_end_at_slashes() {
        for (uri, mount, rest) in [
            ("/app/x/y", "/app", "/x/y"),
            ("/app", "/app", ""),
            ("/x", "", "/x"),
            ("/application", "/app", "/application"),
        ] {
            assert_eq!(below(uri.as_bytes(), mount.as_bytes()), rest.as_bytes(), "{uri}");
        }
    }
}
