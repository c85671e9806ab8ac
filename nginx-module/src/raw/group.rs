// SPDX-License-Identifier: MIT OR Apache-2.0
//! Groups of backends: `upstream{}`.

use std::ptr;

use nginx_sys::{
    ngx_http_upstream_main_conf_t, ngx_http_upstream_module, ngx_http_upstream_resolved_t,
    ngx_http_upstream_srv_conf_t,
};

use super::Request;

impl Request {
    /// Whether an address is the name of a group, as ngx_http_upstream_init_request() looks for it.
    pub(crate) fn is_group(self, resolved: &ngx_http_upstream_resolved_t) -> bool {
        // SAFETY: nginx numbers its modules before any request; the upstream module's configuration and its groups belong
        // to the cycle, which outlives the request.
        let groups = unsafe {
            let main = self.main_slot((*ptr::addr_of!(ngx_http_upstream_module)).ctx_index);
            (*main.cast::<ngx_http_upstream_main_conf_t>())
                .upstreams
                .as_slice::<*mut ngx_http_upstream_srv_conf_t>()
        };
        groups.iter().any(|&known| {
            // SAFETY: an element of the list of groups is one.
            let known = unsafe { &*known };
            ((known.port == 0 && resolved.no_port != 0) || known.port == resolved.port)
                && known.host.as_bytes().eq_ignore_ascii_case(resolved.host.as_bytes())
        })
    }
}
