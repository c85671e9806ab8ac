// SPDX-License-Identifier: MIT OR Apache-2.0
//! Settings of `gangway_pass`: one family for what nginx's fastcgi, scgi and uwsgi modules have each their own.
//!
//! ```text
//! table      the directives, as nginx wants them
//! pass       gangway_pass: scheme and target
//! setters    directives that nginx has no setter for
//! merge      inheritance, defaults and what must fit together
//! tls        suwsgi://; certificate_cache: its newest part
//! split      gangway_split_path_info and the variables $gangway_script_name, $gangway_path_info
//! unset      what "not set" is
//! ```
//! Names, syntax, defaults and merging follow ngx_http_fastcgi_module.c and ngx_http_uwsgi_module.c. A setting that
//! nginx's own setters write is a field of nginx's type in nginx's representation, read through a function here.

#[cfg(all(ngx_feature = "ssl", nginx_certificate_cache))]
mod certificate_cache;
mod merge;
mod pass;
mod setters;
mod slots;
mod split;
mod table;
#[cfg(ngx_feature = "ssl")]
mod tls;
mod unset;

use std::{mem, sync::Arc};

use gangway::log::Level;
use nginx_sys::{
    NGX_HTTP_LOC_CONF, NGX_HTTP_MAIN_CONF, NGX_HTTP_SRV_CONF, ngx_array_create, ngx_array_t, ngx_flag_t,
    ngx_http_upstream_conf_t, ngx_http_upstream_srv_conf_t, ngx_int_t, ngx_msec_t, ngx_str_t, ngx_uint_t,
};

use crate::{
    conf::Param,
    raw::{Conf, ConfText, str_bytes},
};

pub(crate) use merge::merge;
pub(crate) use pass::{Pass, Scheme, split_scheme, two_handlers};
pub(crate) use split::{Split, add_variables, split_path};
pub(crate) use table::{COUNT, after};
use unset::Setting;

/// Where settings may stand; as those of the stock modules, not in `if`.
const LEVELS: u32 = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF;

/// How many bytes of an authorizer's page are kept in memory for the client.
pub(crate) const AUTHORIZER_PAGE: usize = 64 * 1024;

/// The http block's part.
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

/// A location's part. Everything is set after the merge.
pub(crate) struct UpstreamConf {
    /// What nginx's upstream reads: `u->conf` points here. `conf.upstream` is the group or address of a target
    /// without variables, else NULL.
    pub(crate) conf: ngx_http_upstream_conf_t,
    /// `gangway_pass`; `None` where there is none.
    pub(crate) pass: Option<Pass>,
    /// `gangway_split_path_info`.
    pub(crate) split: Option<Split>,
    /// `gangway_cache_key`.
    pub(crate) cache_key: Option<ConfText>,
    /// `gangway_authorize_param`; `None`: those of the enclosing block.
    pub(crate) authorize_params: Option<Vec<Param>>,
    /// `gangway_authorize`; `Some(None)` is `off`.
    authorize: Option<Option<*mut ngx_http_upstream_srv_conf_t>>,
    /// What nginx's upstream reads when it asks the authorizer.
    authorizer: ngx_http_upstream_conf_t,
    suffixes: Option<Arc<[Vec<u8>]>>,
    index: ngx_str_t,
    /// Array of `ngx_str_t`, or NULL.
    catch_stderr: *mut ngx_array_t,
    keep_conn: ngx_flag_t,
    script_check: Option<ScriptCheck>,
    pass_authorization: ngx_flag_t,
    string: ngx_str_t,
    modifier1: Option<u8>,
    modifier2: Option<u8>,
    flush_wait: ngx_msec_t,
    head_max_size: usize,
    stderr_level: Option<Level>,
    keepalive: ngx_uint_t,
    keepalive_timeout: ngx_msec_t,
    keepalive_requests: ngx_uint_t,
    #[cfg(ngx_feature = "ssl")]
    tls: tls::Settings,
}

/// `gangway_script_check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScriptCheck {
    /// The scripts are on another machine.
    Off,
    /// A script is a regular file that really lies below the root.
    On,
    /// Symbolic links may lead to files elsewhere.
    Symlinks,
}

impl UpstreamConf {
    /// A block in which nothing is set.
    pub(crate) fn unset() -> Self {
        Self {
            conf: unset_upstream(),
            pass: None,
            split: None,
            cache_key: None,
            authorize_params: None,
            authorize: None,
            authorizer: unset_upstream(),
            suffixes: None,
            index: ngx_str_t::empty(),
            catch_stderr: Setting::UNSET,
            keep_conn: Setting::UNSET,
            script_check: None,
            pass_authorization: Setting::UNSET,
            string: ngx_str_t::empty(),
            modifier1: None,
            modifier2: None,
            flush_wait: Setting::UNSET,
            head_max_size: Setting::UNSET,
            stderr_level: None,
            keepalive: Setting::UNSET,
            keepalive_timeout: Setting::UNSET,
            keepalive_requests: Setting::UNSET,
            #[cfg(ngx_feature = "ssl")]
            tls: tls::Settings::unset(),
        }
    }

    /// Whether an authorizer is asked before a request is answered here.
    pub(crate) fn authorizes(&self) -> bool {
        self.authorize.flatten().is_some()
    }

    /// How the authorizer is asked.
    pub(crate) fn authorizer(&self) -> *mut ngx_http_upstream_conf_t {
        (&raw const self.authorizer).cast_mut()
    }

    /// `gangway_index`: what is added to a script name that ends in `/`. Empty by default.
    pub(crate) fn index(&self) -> &[u8] {
        // SAFETY: a string of the cycle, which outlives its configurations.
        unsafe { str_bytes(&self.index) }
    }

    /// `gangway_string` of uwsgi.
    pub(crate) fn string(&self) -> &[u8] {
        // SAFETY: as above.
        unsafe { str_bytes(&self.string) }
    }

    /// `gangway_modifier1` of uwsgi.
    pub(crate) fn modifier1(&self) -> u8 {
        self.modifier1.unwrap_or(0)
    }

    /// `gangway_modifier2` of uwsgi.
    pub(crate) fn modifier2(&self) -> u8 {
        self.modifier2.unwrap_or(0)
    }

    /// `gangway_catch_stderr`: FCGI_STDERR with one of these texts makes the response an invalid one.
    pub(crate) fn catch_stderr(&self) -> impl Iterator<Item = &[u8]> {
        // SAFETY: NULL after the merge, or the array of strings that nginx's setter filled.
        let words = unsafe { self.catch_stderr.as_ref() }
            .map_or(&[][..], |words| unsafe { words.as_slice::<ngx_str_t>() });
        // SAFETY: strings of the cycle.
        words.iter().map(|word| unsafe { str_bytes(word) })
    }

    /// `gangway_keep_conn`: whether a FastCGI application is asked to keep the connection.
    pub(crate) fn keep_conn(&self) -> bool {
        self.keep_conn != 0
    }

    /// Whether connections are kept also where nobody here sees what the backend reads: `gangway_keep_conn on` is written.
    pub(crate) fn keeps_blindly(&self) -> bool {
        self.keep_conn == 1
    }

    /// `gangway_script_suffixes`, without their dot.
    pub(crate) fn suffixes(&self) -> &[Vec<u8>] {
        self.suffixes.as_deref().unwrap_or_default()
    }

    /// `gangway_script_check`: whether a script with one of the suffixes must be a file here.
    pub(crate) fn script_check(&self) -> ScriptCheck {
        self.script_check.unwrap_or(ScriptCheck::On)
    }

    /// `gangway_pass_authorization`: whether `Authorization` becomes a variable.
    pub(crate) fn pass_authorization(&self) -> bool {
        self.pass_authorization == 1
    }

    /// Whether `gangway_ignore_headers` names X-Accel-Redirect.
    pub(crate) fn ignores_accel_redirect(&self) -> bool {
        self.conf.ignore_headers & nginx_sys::NGX_HTTP_UPSTREAM_IGN_XA_REDIRECT as usize != 0
    }

    /// `gangway_flush_wait` in milliseconds: how long output waits for more in buffered mode; 0 does not wait.
    pub(crate) fn flush_wait(&self) -> ngx_msec_t {
        self.flush_wait
    }

    /// `gangway_head_max_size` in bytes: what a response head may grow to.
    pub(crate) fn head_max_size(&self) -> usize {
        self.head_max_size
    }

    /// `gangway_stderr_level`: the level of lines from FCGI_STDERR.
    pub(crate) fn stderr_level(&self) -> Level {
        self.stderr_level.unwrap_or(Level::Error)
    }

    /// `gangway_keepalive`: idle connections per worker and address; 0 keeps none.
    pub(crate) fn keepalive(&self) -> usize {
        self.keepalive
    }

    /// `gangway_keepalive_timeout` in milliseconds: how long an idle connection is kept.
    pub(crate) fn keepalive_timeout(&self) -> ngx_msec_t {
        self.keepalive_timeout
    }

    /// `gangway_keepalive_requests`: after so many requests a connection is closed.
    pub(crate) fn keepalive_requests(&self) -> usize {
        self.keepalive_requests
    }
}

/// As the `create_loc_conf` of nginx's modules.
fn unset_upstream() -> ngx_http_upstream_conf_t {
    // SAFETY: the C code starts from all-zero as well, and every field may be that: numbers, pointers, strings.
    let mut conf: ngx_http_upstream_conf_t = unsafe { mem::zeroed() };
    conf.set_store(-1);
    conf.store_access = Setting::UNSET;
    conf.next_upstream_tries = Setting::UNSET;
    conf.buffering = Setting::UNSET;
    conf.request_buffering = Setting::UNSET;
    conf.ignore_client_abort = Setting::UNSET;
    conf.force_ranges = Setting::UNSET;
    conf.local = Setting::UNSET;
    conf.socket_keepalive = Setting::UNSET;
    conf.connect_timeout = Setting::UNSET;
    conf.send_timeout = Setting::UNSET;
    conf.read_timeout = Setting::UNSET;
    conf.next_upstream_timeout = Setting::UNSET;
    conf.send_lowat = Setting::UNSET;
    conf.buffer_size = Setting::UNSET;
    conf.limit_rate = Setting::UNSET;
    conf.busy_buffers_size_conf = Setting::UNSET;
    conf.max_temp_file_size_conf = Setting::UNSET;
    conf.temp_file_write_size_conf = Setting::UNSET;
    conf.pass_request_headers = Setting::UNSET;
    conf.pass_request_body = Setting::UNSET;
    conf.set_cache(-1);
    conf.cache_min_uses = Setting::UNSET;
    conf.cache_max_range_offset = Setting::UNSET;
    conf.cache_bypass = Setting::UNSET;
    conf.no_cache = Setting::UNSET;
    conf.cache_valid = Setting::UNSET;
    conf.cache_lock = Setting::UNSET;
    conf.cache_lock_timeout = Setting::UNSET;
    conf.cache_lock_age = Setting::UNSET;
    conf.cache_revalidate = Setting::UNSET;
    conf.cache_background_update = Setting::UNSET;
    conf.hide_headers = Setting::UNSET;
    conf.pass_headers = Setting::UNSET;
    conf.intercept_errors = Setting::UNSET;
    conf.set_change_buffering(1);
    conf.module = slots::text(c"gangway");
    #[cfg(ngx_feature = "ssl")]
    tls::unset_upstream(&mut conf);
    conf
}
