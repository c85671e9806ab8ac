// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a location says about backends: the settings of `gangway_pass`, which are those of `gangway_cgi` as well.
//!
//! A setting that nginx's own setters write is a field of nginx's type in nginx's representation, read through a function
//! here.

use std::{mem, sync::Arc};

use gangway::log::Level;
use nginx_sys::{
    NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT, ngx_array_t, ngx_flag_t, ngx_http_upstream_conf_t,
    ngx_http_upstream_srv_conf_t, ngx_msec_t, ngx_str_t, ngx_uint_t,
};

#[cfg(ngx_feature = "ssl")]
use super::tls;
use super::{ConfParam, Pass, Split, unset::Setting};
use crate::raw::{ConfText, str_bytes};

/// How many bytes of an authorizer's page are kept in memory for the client.
pub(crate) const AUTHORIZER_PAGE: usize = 64 * 1024;

/// A location's part. Everything is set after the merge.
pub(crate) struct UpstreamConf {
    /// What nginx's upstream reads: `u->conf` points here. `conf.upstream` is the group or address of a target
    /// without variables, else NULL.
    pub(crate) conf: ngx_http_upstream_conf_t,
    /// `gangway_pass`; `None` where there is none.
    pub(crate) pass: Option<Pass>,
    /// What answers is an application in processes of gangway-host.
    pub(crate) is_hosted: bool,
    /// `gangway_buffers` was said neither here nor in an enclosing block, and a merge has chosen.
    pub(crate) has_default_buffers: bool,
    /// `gangway_split_path_info`.
    pub(crate) split: Option<Split>,
    /// `gangway_cache_key`.
    pub(crate) cache_key: Option<ConfText>,
    /// `gangway_authorize_param`; `None`: those of the enclosing block.
    pub(crate) authorize_params: Option<Vec<ConfParam>>,
    /// `gangway_authorize`; `Some(None)` is `off`.
    pub(crate) authorize: Option<Option<*mut ngx_http_upstream_srv_conf_t>>,
    /// What nginx's upstream reads when it asks the authorizer.
    pub(crate) authorizer: ngx_http_upstream_conf_t,
    pub(crate) suffixes: Option<Arc<[Vec<u8>]>>,
    pub(crate) index: ngx_str_t,
    /// Array of `ngx_str_t`, or NULL.
    pub(crate) catch_stderr: *mut ngx_array_t,
    pub(crate) keep_conn: ngx_flag_t,
    pub(crate) script_check: Option<ScriptCheck>,
    pub(crate) pass_authorization: ngx_flag_t,
    pub(crate) string: ngx_str_t,
    pub(crate) modifier1: Option<u8>,
    pub(crate) modifier2: Option<u8>,
    pub(crate) flush_wait: ngx_msec_t,
    pub(crate) head_max_size: usize,
    pub(crate) stderr_level: Option<Level>,
    pub(crate) keepalive: ngx_uint_t,
    pub(crate) keepalive_timeout: ngx_msec_t,
    pub(crate) keepalive_requests: ngx_uint_t,
    #[cfg(ngx_feature = "ssl")]
    pub(crate) tls: tls::TlsSettings,
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
            is_hosted: false,
            has_default_buffers: false,
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
            tls: tls::TlsSettings::unset(),
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
        // SAFETY: a string of the cycle, which outlives its configurations.
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

    /// Whether another backend may get what one has had, whatever the method is.
    pub(crate) fn repeats_everything(&self) -> bool {
        self.conf.next_upstream & NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT as usize != 0
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

/// What nginx calls the module in its own lines.
const NAME: &[u8] = b"gangway";

/// As the `create_loc_conf` of nginx's modules.
pub(super) fn unset_upstream() -> ngx_http_upstream_conf_t {
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
    conf.module = ngx_str_t { len: NAME.len(), data: NAME.as_ptr().cast_mut() };
    #[cfg(ngx_feature = "ssl")]
    tls::unset_upstream(&mut conf);
    conf
}
