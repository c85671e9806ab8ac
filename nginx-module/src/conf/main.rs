// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the http block says.

use gangway::config::{self, PerKind};
use nginx_sys::{ngx_array_create, ngx_array_t, ngx_http_upstream_init_peer_pt, ngx_int_t};

use crate::raw::{Conf, MemoIndex, PerHttp};

/// The http block's part.
pub(crate) struct MainConf {
    pub(crate) engines: config::Engines,
    /// What kinds of handlers keep.
    pub(crate) kinds: PerKind,
    pub(crate) variables: Option<VariableIndexes>,
    /// Where requests keep what is known of them over redirects.
    pub(crate) memo: Option<MemoIndex>,
    /// Whether the configuration uses a variable about what was counted of a request.
    pub(crate) notes_counts: bool,
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
