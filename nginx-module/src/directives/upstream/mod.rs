// SPDX-License-Identifier: MIT OR Apache-2.0
//! The directives of `gangway_pass` and their settings: one family for what nginx's fastcgi, scgi and uwsgi modules have
//! each their own.
//!
//! ```text
//! pass       gangway_pass, gangway_authorize: scheme and target
//! setters    directives that nginx has no setter for; slots: those that it has one for
//! merge      inheritance, defaults and what must fit together
//! tls        suwsgi://; certificate_cache: its newest part
//! ```
//! Names, syntax, defaults and merging follow ngx_http_fastcgi_module.c and ngx_http_uwsgi_module.c.

#[cfg(all(ngx_feature = "ssl", nginx_certificate_cache))]
mod certificate_cache;
mod merge;
mod pass;
mod setters;
mod slots;
#[cfg(ngx_feature = "ssl")]
mod tls;

use std::mem::offset_of;

use nginx_sys::{
    NGX_CONF_1MORE, NGX_CONF_2MORE, NGX_CONF_TAKE1, NGX_CONF_TAKE2, NGX_CONF_TAKE12, NGX_CONF_TAKE23,
    NGX_CONF_TAKE123, NGX_CONF_TAKE1234, NGX_HTTP_LIF_CONF, NGX_HTTP_LOC_CONF, NGX_HTTP_MAIN_CONF,
    NGX_HTTP_MAIN_CONF_OFFSET, NGX_HTTP_UPSTREAM_FT_ERROR, NGX_HTTP_UPSTREAM_FT_HTTP_403,
    NGX_HTTP_UPSTREAM_FT_HTTP_404, NGX_HTTP_UPSTREAM_FT_HTTP_429, NGX_HTTP_UPSTREAM_FT_HTTP_500,
    NGX_HTTP_UPSTREAM_FT_HTTP_503, NGX_HTTP_UPSTREAM_FT_INVALID_HEADER, NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT,
    NGX_HTTP_UPSTREAM_FT_OFF, NGX_HTTP_UPSTREAM_FT_TIMEOUT, NGX_HTTP_UPSTREAM_FT_UPDATING, ngx_command_t,
    ngx_conf_bitmask_t, ngx_conf_set_access_slot, ngx_conf_set_bufs_slot, ngx_conf_set_off_slot,
    ngx_conf_set_path_slot, ngx_conf_set_size_slot, ngx_http_complex_value_t, ngx_http_file_cache_set_slot,
    ngx_http_file_cache_valid_set_slot, ngx_http_set_complex_value_size_slot, ngx_http_set_predicate_slot,
    ngx_http_upstream_bind_set_slot, ngx_http_upstream_cache_method_mask, ngx_http_upstream_conf_t,
    ngx_http_upstream_ignore_headers_masks, ngx_uint_t,
};

pub(crate) use merge::merge;
pub(super) use pass::KIND;
use pass::{set_authorize, set_authorize_param, set_pass};
use setters::{
    set_cache, set_cache_key, set_modifier1, set_modifier2, set_script_check, set_script_suffixes,
    set_split_path_info, set_stderr_level, set_store,
};
use slots::{NO_MASK, bits, flag, mask, msec, number, size, slot, slot_with, string, strings};
#[cfg(ngx_feature = "ssl")]
use tls::COMMANDS as TLS;

use crate::{
    Shared,
    conf::{LocationConf, MainConf},
    raw::{Setter, command_end},
};

/// The offset of a setting of ours.
macro_rules! own {
    ($field:ident) => {
        offset_of!(LocationConf, upstream.$field)
    };
}

/// The offset of a setting of nginx's upstream.
macro_rules! theirs {
    ($field:ident) => {
        offset_of!(LocationConf, upstream.conf.$field)
    };
}

static NEXT_UPSTREAM: Shared<[ngx_conf_bitmask_t; 12]> = Shared([
    mask(c"error", NGX_HTTP_UPSTREAM_FT_ERROR),
    mask(c"timeout", NGX_HTTP_UPSTREAM_FT_TIMEOUT),
    mask(c"invalid_header", NGX_HTTP_UPSTREAM_FT_INVALID_HEADER),
    mask(c"non_idempotent", NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT),
    mask(c"http_500", NGX_HTTP_UPSTREAM_FT_HTTP_500),
    mask(c"http_503", NGX_HTTP_UPSTREAM_FT_HTTP_503),
    mask(c"http_403", NGX_HTTP_UPSTREAM_FT_HTTP_403),
    mask(c"http_404", NGX_HTTP_UPSTREAM_FT_HTTP_404),
    mask(c"http_429", NGX_HTTP_UPSTREAM_FT_HTTP_429),
    mask(c"updating", NGX_HTTP_UPSTREAM_FT_UPDATING),
    mask(c"off", NGX_HTTP_UPSTREAM_FT_OFF),
    NO_MASK,
]);

/// How a version of nginx keeps `limit_rate`: a size, from 1.27.0 on a text with variables.
trait Rate {
    const SETTER: Setter;
}

impl Rate for usize {
    const SETTER: Setter = ngx_conf_set_size_slot;
}

impl Rate for *mut ngx_http_complex_value_t {
    const SETTER: Setter = ngx_http_set_complex_value_size_slot;
}

const fn rate_setter<T: Rate>(_: fn(&ngx_http_upstream_conf_t) -> &T) -> Setter {
    T::SETTER
}

/// The directives of this folder, without those of TLS.
const COMMANDS: [ngx_command_t; 62] = [
    ngx_command_t {
        type_: (NGX_HTTP_LOC_CONF | NGX_HTTP_LIF_CONF | NGX_CONF_TAKE1) as ngx_uint_t,
        ..slot(c"gangway_pass", NGX_CONF_TAKE1, set_pass, 0)
    },
    // Requests.
    string(c"gangway_index", own!(index)),
    slot(c"gangway_split_path_info", NGX_CONF_TAKE1, set_split_path_info, 0),
    slot(c"gangway_script_suffixes", NGX_CONF_1MORE, set_script_suffixes, 0),
    slot(c"gangway_authorize", NGX_CONF_TAKE1, set_authorize, 0),
    slot(c"gangway_authorize_param", NGX_CONF_TAKE23, set_authorize_param, 0),
    slot(c"gangway_script_check", NGX_CONF_TAKE1, set_script_check, 0),
    flag(c"gangway_pass_authorization", own!(pass_authorization)),
    flag(c"gangway_pass_request_headers", theirs!(pass_request_headers)),
    flag(c"gangway_pass_request_body", theirs!(pass_request_body)),
    flag(c"gangway_request_buffering", theirs!(request_buffering)),
    slot(c"gangway_modifier1", NGX_CONF_TAKE1, set_modifier1, 0),
    slot(c"gangway_modifier2", NGX_CONF_TAKE1, set_modifier2, 0),
    string(c"gangway_string", own!(string)),
    // Connections.
    slot(c"gangway_bind", NGX_CONF_TAKE12, ngx_http_upstream_bind_set_slot, theirs!(local)),
    flag(c"gangway_socket_keepalive", theirs!(socket_keepalive)),
    msec(c"gangway_connect_timeout", theirs!(connect_timeout)),
    msec(c"gangway_send_timeout", theirs!(send_timeout)),
    msec(c"gangway_read_timeout", theirs!(read_timeout)),
    size(c"gangway_send_lowat", theirs!(send_lowat)),
    flag(c"gangway_ignore_client_abort", theirs!(ignore_client_abort)),
    flag(c"gangway_keep_conn", own!(keep_conn)),
    number(c"gangway_keepalive", own!(keepalive)),
    msec(c"gangway_keepalive_timeout", own!(keepalive_timeout)),
    number(c"gangway_keepalive_requests", own!(keepalive_requests)),
    bits(c"gangway_next_upstream", theirs!(next_upstream), (&raw const NEXT_UPSTREAM).cast()),
    number(c"gangway_next_upstream_tries", theirs!(next_upstream_tries)),
    msec(c"gangway_next_upstream_timeout", theirs!(next_upstream_timeout)),
    // Responses.
    flag(c"gangway_buffering", theirs!(buffering)),
    size(c"gangway_buffer_size", theirs!(buffer_size)),
    slot(c"gangway_buffers", NGX_CONF_TAKE2, ngx_conf_set_bufs_slot, theirs!(bufs)),
    size(c"gangway_busy_buffers_size", theirs!(busy_buffers_size_conf)),
    msec(c"gangway_flush_wait", own!(flush_wait)),
    size(c"gangway_head_max_size", own!(head_max_size)),
    slot(c"gangway_limit_rate", NGX_CONF_TAKE1, rate_setter(|conf| &conf.limit_rate), theirs!(limit_rate)),
    flag(c"gangway_force_ranges", theirs!(force_ranges)),
    strings(c"gangway_pass_header", theirs!(pass_headers)),
    strings(c"gangway_hide_header", theirs!(hide_headers)),
    bits(
        c"gangway_ignore_headers",
        theirs!(ignore_headers),
        (&raw const ngx_http_upstream_ignore_headers_masks).cast(),
    ),
    flag(c"gangway_intercept_errors", theirs!(intercept_errors)),
    strings(c"gangway_catch_stderr", own!(catch_stderr)),
    slot(c"gangway_stderr_level", NGX_CONF_TAKE1, set_stderr_level, 0),
    // Files.
    slot(c"gangway_temp_path", NGX_CONF_TAKE1234, ngx_conf_set_path_slot, theirs!(temp_path)),
    size(c"gangway_max_temp_file_size", theirs!(max_temp_file_size_conf)),
    size(c"gangway_temp_file_write_size", theirs!(temp_file_write_size_conf)),
    slot(c"gangway_store", NGX_CONF_TAKE1, set_store, 0),
    slot(c"gangway_store_access", NGX_CONF_TAKE123, ngx_conf_set_access_slot, theirs!(store_access)),
    // The cache.
    slot(c"gangway_cache", NGX_CONF_TAKE1, set_cache, 0),
    slot(c"gangway_cache_key", NGX_CONF_TAKE1, set_cache_key, 0),
    ngx_command_t {
        type_: (NGX_HTTP_MAIN_CONF | NGX_CONF_2MORE) as ngx_uint_t,
        conf: NGX_HTTP_MAIN_CONF_OFFSET as ngx_uint_t,
        ..slot_with(
            c"gangway_cache_path",
            NGX_CONF_2MORE,
            ngx_http_file_cache_set_slot,
            offset_of!(MainConf, upstream.caches),
            (&raw const crate::ngx_http_gangway_module).cast(),
        )
    },
    slot(c"gangway_cache_bypass", NGX_CONF_1MORE, ngx_http_set_predicate_slot, theirs!(cache_bypass)),
    slot(c"gangway_no_cache", NGX_CONF_1MORE, ngx_http_set_predicate_slot, theirs!(no_cache)),
    slot(c"gangway_cache_valid", NGX_CONF_1MORE, ngx_http_file_cache_valid_set_slot, theirs!(cache_valid)),
    number(c"gangway_cache_min_uses", theirs!(cache_min_uses)),
    slot(
        c"gangway_cache_max_range_offset",
        NGX_CONF_TAKE1,
        ngx_conf_set_off_slot,
        theirs!(cache_max_range_offset),
    ),
    bits(c"gangway_cache_use_stale", theirs!(cache_use_stale), (&raw const NEXT_UPSTREAM).cast()),
    bits(
        c"gangway_cache_methods",
        theirs!(cache_methods),
        (&raw const ngx_http_upstream_cache_method_mask).cast(),
    ),
    flag(c"gangway_cache_lock", theirs!(cache_lock)),
    msec(c"gangway_cache_lock_timeout", theirs!(cache_lock_timeout)),
    msec(c"gangway_cache_lock_age", theirs!(cache_lock_age)),
    flag(c"gangway_cache_revalidate", theirs!(cache_revalidate)),
    flag(c"gangway_cache_background_update", theirs!(cache_background_update)),
];

#[cfg(not(ngx_feature = "ssl"))]
const TLS: [ngx_command_t; 0] = [];

/// The number of directives of this folder.
pub(crate) const COUNT: usize = COMMANDS.len() + TLS.len();

/// A table of `first`, the directives of this folder, and the end.
pub(crate) const fn after<const A: usize, const N: usize>(first: [ngx_command_t; A]) -> [ngx_command_t; N] {
    assert!(N == A + COUNT + 1);
    let mut all = [command_end(); N];
    let mut at = 0;
    while at < A + COUNT {
        all[at] = if at < A {
            first[at]
        } else if at < A + COMMANDS.len() {
            COMMANDS[at - A]
        } else {
            TLS[at - A - COMMANDS.len()]
        };
        at += 1;
    }
    all
}
