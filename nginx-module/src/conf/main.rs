// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the http block says.

use std::ptr;

use gangway::config;
use nginx_sys::{
    ngx_array_create, ngx_array_t, ngx_cycle_t, ngx_http_conf_ctx_t, ngx_http_module,
    ngx_http_upstream_init_peer_pt, ngx_int_t,
};

use crate::{
    module,
    raw::{Conf, MemoIndex, PerHttp},
};

/// The http block's part.
pub(crate) struct MainConf {
    pub(crate) engines: config::Engines,
    /// Every application, in the order of the configuration.
    pub(crate) applications: Vec<config::Application>,
    /// The settings of scripts, each once.
    pub(crate) programs: Vec<config::Cgi>,
    pub(crate) variables: Option<VariableIndexes>,
    /// Where requests keep what is known of them over redirects.
    pub(crate) memo: Option<MemoIndex>,
    /// What `gangway_pass` needs.
    pub(crate) upstream: UpstreamMain,
    /// How the balancers of the upstreams begin a request, by the address of the upstream; ours comes before them.
    pub(crate) balancers: Vec<(usize, ngx_http_upstream_init_peer_pt)>,
}

// SAFETY: `directives::create_main` makes it.
unsafe impl PerHttp for MainConf {}

/// Variables of nginx that requests need.
#[derive(Clone, Copy)]
pub(crate) struct VariableIndexes {
    pub(crate) server_addr: ngx_int_t,
}

/// What `gangway_pass` needs of the http block.
pub(crate) struct UpstreamMain {
    /// `gangway_cache_path`, for `u->caches`: array of `ngx_http_file_cache_t *`.
    pub(crate) caches: ngx_array_t,
    /// `$upstream_cache_last_modified`: HTTP_IF_MODIFIED_SINCE of a request that fills or revalidates a cache.
    pub(crate) cache_last_modified: ngx_int_t,
    /// `$upstream_cache_etag`: HTTP_IF_NONE_MATCH of such a request.
    pub(crate) cache_etag: ngx_int_t,
}

impl MainConf {
    /// That of a cycle, if it has an http block.
    ///
    /// # Safety
    /// The configuration of `cycle` is complete.
    pub(crate) unsafe fn of_cycle(cycle: &ngx_cycle_t) -> Option<&Self> {
        // SAFETY: `conf_ctx` of a complete configuration has a slot for each module; that of http is an ngx_http_conf_ctx_t or
        // NULL, in which `create_main` has filled the slot of this module.
        unsafe {
            let http = *cycle.conf_ctx.add((*ptr::addr_of!(ngx_http_module)).index);
            let http = http.cast::<ngx_http_conf_ctx_t>().as_ref()?;
            (*http.main_conf.add(module().ctx_index)).cast::<Self>().as_ref()
        }
    }
}

impl UpstreamMain {
    /// `None` without memory.
    pub(crate) fn new(cf: &Conf) -> Option<Self> {
        // SAFETY: the pool of a configuration phase is live in it; a fresh array or NULL.
        let caches =
            unsafe { ngx_array_create((*cf.raw()).pool, 4, size_of::<usize>()).as_ref() }.copied()?;
        Some(Self { caches, cache_last_modified: -1, cache_etag: -1 })
    }

    /// What can be found only when every module has added its variables. Answers false without memory.
    pub(crate) fn find_variables(&mut self, cf: &Conf) -> bool {
        let indexes = (cf.variable(b"upstream_cache_last_modified"), cf.variable(b"upstream_cache_etag"));
        let (Some(last_modified), Some(etag)) = indexes else { return false };
        (self.cache_last_modified, self.cache_etag) = (last_modified, etag);
        true
    }
}
