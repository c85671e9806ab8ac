// SPDX-License-Identifier: MIT OR Apache-2.0
//! What nginx's own modules say of who may ask for a location. Their configurations are private; only their first members are
//! looked at, which have been the same for ten years.

use std::{
    ffi::{CStr, c_void},
    net::{Ipv4Addr, Ipv6Addr},
    ptr,
};

use nginx_sys::{
    ngx_array_t, ngx_http_conf_addr_t, ngx_http_conf_port_t, ngx_http_core_main_conf_t, ngx_http_core_module,
    ngx_http_core_srv_conf_t, sockaddr,
};

use super::{Conf, auth::number_in};

impl Conf {
    /// Whether addresses, a password or a subrequest decide who is let in here. To be asked when those modules have inherited what they
    /// had not set: at the merge of this module, which comes after them.
    pub(crate) fn has_access_rules(&self) -> bool {
        // A list of rules for IPv4, of which "all" is one; the text of the realm; the path of the subrequest, with its length first.
        [c"ngx_http_access_module", c"ngx_http_auth_basic_module", c"ngx_http_auth_request_module"]
            .into_iter()
            .any(|module| self.first_word_of(module).is_some_and(|word| word != 0 && word != usize::MAX))
    }

    /// The first member of another module's configuration of this location.
    fn first_word_of(&self, module: &CStr) -> Option<usize> {
        // SAFETY: a configuration phase has its cycle, with the list of modules; `ctx` is an ngx_http_conf_ctx_t whose arrays have a
        // slot for each http module, NULL or a structure that begins with a word.
        unsafe {
            let index = number_in((*(*self.raw()).cycle).modules, module)?;
            let context = (*self.raw()).ctx.cast::<u8>().add(nginx_sys::NGX_HTTP_LOC_CONF_OFFSET);
            let all = *context.cast::<*mut *mut c_void>();
            (*all.add(index)).cast::<usize>().as_ref().copied()
        }
    }

    /// Whether every listener of this server block is reached from this machine alone.
    pub(crate) fn listens_here_only(&self) -> bool {
        // SAFETY: at the merge the main and server configurations of the core module are there, with all that `listen` has said: arrays of
        // ports, of addresses of a port, and of the server blocks at an address.
        unsafe {
            let core = &*ptr::addr_of!(ngx_http_core_module);
            let main: *mut ngx_http_core_main_conf_t =
                self.module_conf(core, nginx_sys::NGX_HTTP_MAIN_CONF_OFFSET);
            let own: *mut ngx_http_core_srv_conf_t =
                self.module_conf(core, nginx_sys::NGX_HTTP_SRV_CONF_OFFSET);
            let ports = (*main)
                .ports
                .as_ref()
                .map_or(&[][..], |ports: &ngx_array_t| ports.as_slice::<ngx_http_conf_port_t>());
            let mut addresses = ports
                .iter()
                .flat_map(|port| port.addrs.as_slice::<ngx_http_conf_addr_t>())
                .filter(|address| address.servers.as_slice::<*mut ngx_http_core_srv_conf_t>().contains(&own))
                .peekable();
            addresses.peek().is_some() && addresses.all(|address| is_own(address.opt.sockaddr.cast()))
        }
    }
}

/// Whether only this machine reaches an address.
///
/// # Safety
/// It is one of nginx's, complete for its family.
unsafe fn is_own(address: *const sockaddr) -> bool {
    // SAFETY: the caller's address, which is as long as its family says.
    unsafe {
        match i32::from((*address).sa_family) {
            libc::AF_UNIX => true,
            libc::AF_INET => {
                let address = &*address.cast::<libc::sockaddr_in>();
                Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes()).is_loopback()
            }
            libc::AF_INET6 => {
                let address = &*address.cast::<libc::sockaddr_in6>();
                Ipv6Addr::from(address.sin6_addr.s6_addr).is_loopback()
            }
            _ => false,
        }
    }
}
