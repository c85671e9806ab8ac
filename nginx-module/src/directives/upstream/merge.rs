// SPDX-License-Identifier: MIT OR Apache-2.0
//! Inheritance and defaults, as the `merge_loc_conf` of nginx's modules.

use std::{mem, ptr, sync::Arc};

use gangway::error::BAD_VALUE;
use nginx_sys::{
    NGX_CONF_BITMASK_SET, NGX_HTTP_FASTCGI_TEMP_PATH, NGX_HTTP_GET, NGX_HTTP_HEAD,
    NGX_HTTP_UPSTREAM_FT_ERROR, NGX_HTTP_UPSTREAM_FT_NOLIVE, NGX_HTTP_UPSTREAM_FT_OFF,
    NGX_HTTP_UPSTREAM_FT_TIMEOUT, ngx_cacheline_size, ngx_conf_merge_path_value, ngx_hash_init_t,
    ngx_http_upstream_conf_t, ngx_http_upstream_hide_headers_hash, ngx_pagesize, ngx_path_init_t, ngx_str_t,
};

use super::slots::text;
use crate::{
    Shared,
    conf::{
        AUTHORIZER_PAGE, UpstreamConf,
        unset::{Setting, merge as fill, merge_mask as fill_mask, switch},
    },
    raw::Conf,
};

/// The default of `gangway_script_suffixes`: what PHP's own servers run.
const SUFFIXES: [&[u8]; 3] = [b"php", b"phtml", b"phar"];

/// How large the buffers of responses of applications in processes of their own are, where nothing is said.
const HOSTED_PAGES: usize = 4;

/// The default of `gangway_cache_key`: the stock FastCGI module has none, and gives every request the same response.
/// It holds what the application is told about the host, SERVER_NAME and HTTP_HOST: `$host` has no port, and an application
/// makes links of what it is told. (A `|` separates the configured name from what the client chooses.)
const CACHE_KEY: &[u8] = b"$request_method$scheme$server_name|$gangway_host$request_uri";

/// Headers of a response that are nginx's own business.
static HIDDEN: Shared<[ngx_str_t; 7]> = Shared([
    text(c"Status"),
    text(c"X-Accel-Expires"),
    text(c"X-Accel-Redirect"),
    text(c"X-Accel-Limit-Rate"),
    text(c"X-Accel-Buffering"),
    text(c"X-Accel-Charset"),
    ngx_str_t::empty(),
]);

/// Beside the folders of the stock modules: their compiled name with `gangway` for `fastcgi`.
static TEMP_PATH: [u8; NGX_HTTP_FASTCGI_TEMP_PATH.count_bytes() + 1] = temp_path();

const fn temp_path<const N: usize>() -> [u8; N] {
    let stock = NGX_HTTP_FASTCGI_TEMP_PATH.to_bytes_with_nul();
    let (theirs, ours) = (*b"fastcgi", *b"gangway");
    let (mut name, mut found, mut at) = ([0; N], None, 0);
    while at < N {
        name[at] = stock[at];
        let mut same = 0;
        while same < theirs.len() && at + same < N && stock[at + same] == theirs[same] {
            same += 1;
        }
        if same == theirs.len() {
            found = Some(at);
        }
        at += 1;
    }
    if let Some(start) = found {
        let mut at = 0;
        while at < ours.len() {
            name[start + at] = ours[at];
            at += 1;
        }
    }
    name
}

/// Fills what the inner block leaves open. An error is one line for the log.
pub(crate) fn merge(cf: &Conf, outer: &mut UpstreamConf, inner: &mut UpstreamConf) -> Result<(), String> {
    merge_upstream(&outer.conf, &mut inner.conf);
    merge_buffers(outer, inner)?;
    merge_cache(&outer.conf, &mut inner.conf)?;
    merge_own(outer, inner);
    if switch(inner.conf.cache()) == Some(true) && inner.cache_key.is_none() {
        inner.cache_key = Some(cf.compile(CACHE_KEY).ok_or("nginx has no memory for the key of a cache")?);
    }
    if inner.pass.is_some() {
        merge_temp_path(cf, &outer.conf, &mut inner.conf)?;
    } else if inner.conf.temp_path.is_null() {
        // A block that passes nothing makes no folder.
        inner.conf.temp_path = outer.conf.temp_path;
    }
    #[cfg(ngx_feature = "ssl")]
    super::tls::merge(cf, outer, inner)?;
    hide_headers(cf, &mut outer.conf, &mut inner.conf)?;
    merge_authorizer(cf, outer, inner);
    Ok(())
}

/// The authorizer is asked with the settings of the location, for each request anew and without its body.
fn merge_authorizer(cf: &Conf, outer: &UpstreamConf, inner: &mut UpstreamConf) {
    if inner.authorize_params.is_none() {
        inner.authorize_params.clone_from(&outer.authorize_params);
    }
    inner.authorize = inner.authorize.or(outer.authorize);
    let Some(upstream) = inner.authorize.flatten() else { return };
    cf.keep_subrequests_in_memory(AUTHORIZER_PAGE);
    let mut conf = inner.conf;
    conf.upstream = upstream;
    conf.set_cache(0);
    conf.set_store(0);
    conf.cache_zone = ptr::null_mut();
    conf.pass_request_body = 0;
    conf.request_buffering = 1;
    conf.intercept_errors = 0;
    conf.ignore_client_abort = 0;
    conf.max_temp_file_size = 0;
    // X-Accel-Redirect and its kin are for answers to clients.
    conf.ignore_headers = usize::MAX;
    conf.temp_path = ptr::null_mut();
    inner.authorizer = conf;
}

fn merge_upstream(outer: &ngx_http_upstream_conf_t, inner: &mut ngx_http_upstream_conf_t) {
    if switch(inner.store()) == Some(true) {
        inner.set_cache(0);
    }
    if switch(inner.cache()) == Some(true) {
        inner.set_store(0);
    }
    if switch(inner.store()).is_none() {
        inner.set_store(switch(outer.store()).unwrap_or(false).into());
        inner.store_lengths = outer.store_lengths;
        inner.store_values = outer.store_values;
    }
    fill(&mut inner.store_access, outer.store_access, 0o600);
    fill(&mut inner.next_upstream_tries, outer.next_upstream_tries, 0);
    fill(&mut inner.buffering, outer.buffering, 1);
    fill(&mut inner.request_buffering, outer.request_buffering, 1);
    fill(&mut inner.ignore_client_abort, outer.ignore_client_abort, 0);
    fill(&mut inner.force_ranges, outer.force_ranges, 0);
    fill(&mut inner.local, outer.local, Setting::NONE);
    fill(&mut inner.socket_keepalive, outer.socket_keepalive, 0);
    fill(&mut inner.connect_timeout, outer.connect_timeout, 60_000);
    fill(&mut inner.send_timeout, outer.send_timeout, 60_000);
    fill(&mut inner.read_timeout, outer.read_timeout, 60_000);
    fill(&mut inner.next_upstream_timeout, outer.next_upstream_timeout, 0);
    fill(&mut inner.send_lowat, outer.send_lowat, 0);
    fill(&mut inner.limit_rate, outer.limit_rate, Setting::NONE);
    fill(&mut inner.pass_request_headers, outer.pass_request_headers, 1);
    fill(&mut inner.pass_request_body, outer.pass_request_body, 1);
    fill(&mut inner.intercept_errors, outer.intercept_errors, 0);
    fill_mask(&mut inner.ignore_headers, outer.ignore_headers, NGX_CONF_BITMASK_SET as usize);
    let next = NGX_CONF_BITMASK_SET | NGX_HTTP_UPSTREAM_FT_ERROR | NGX_HTTP_UPSTREAM_FT_TIMEOUT;
    fill_mask(&mut inner.next_upstream, outer.next_upstream, next as usize);
    off_alone(&mut inner.next_upstream);
}

/// `off` ends what stands beside it.
fn off_alone(mask: &mut usize) {
    if *mask & NGX_HTTP_UPSTREAM_FT_OFF as usize != 0 {
        *mask = (NGX_CONF_BITMASK_SET | NGX_HTTP_UPSTREAM_FT_OFF) as usize;
    }
}

/// Sizes of buffers and temporary files, which must fit together.
fn merge_buffers(outer: &UpstreamConf, inner: &mut UpstreamConf) -> Result<(), String> {
    // SAFETY: nginx sets it before it reads a configuration.
    let page = unsafe { ngx_pagesize };
    inner.is_hosted |= outer.is_hosted && inner.pass.is_none();
    let is_hosted = inner.is_hosted;
    // The http block is never merged: what it has was said.
    let is_said = outer.conf.bufs.num != 0 && !outer.has_default_buffers;
    let has_default = &mut inner.has_default_buffers;
    let (outer, inner) = (&outer.conf, &mut inner.conf);
    fill(&mut inner.buffer_size, outer.buffer_size, page);
    fill(&mut inner.busy_buffers_size_conf, outer.busy_buffers_size_conf, Setting::UNSET);
    fill(&mut inner.temp_file_write_size_conf, outer.temp_file_write_size_conf, Setting::UNSET);
    fill(&mut inner.max_temp_file_size_conf, outer.max_temp_file_size_conf, Setting::UNSET);
    if inner.bufs.num == 0 && is_said {
        inner.bufs = outer.bufs;
    } else if inner.bufs.num == 0 {
        *has_default = true;
        // Sizes that must fit to those of the buffers are somebody's choice for nginx's own.
        let is_free = [inner.busy_buffers_size_conf, inner.temp_file_write_size_conf] == [Setting::UNSET; 2]
            && matches!(inner.max_temp_file_size_conf, 0 | Setting::UNSET);
        let pages = if is_hosted && is_free { HOSTED_PAGES } else { 1 };
        (inner.bufs.num, inner.bufs.size) = (8, pages * page);
    }
    if inner.bufs.num < 2 {
        return Err(format!("{BAD_VALUE} there must be at least 2 \"gangway_buffers\""));
    }
    let size = inner.buffer_size.max(inner.bufs.size);
    let largest = "the maximum of the value of \"gangway_buffer_size\" and one of the \"gangway_buffers\"";
    inner.busy_buffers_size = or(inner.busy_buffers_size_conf, size.saturating_mul(2));
    if inner.busy_buffers_size < size {
        return Err(format!(
            "{BAD_VALUE} \"gangway_busy_buffers_size\" must be equal to or greater than {largest}"
        ));
    }
    let others = usize::try_from(inner.bufs.num - 1).unwrap_or(0);
    if inner.busy_buffers_size > others.saturating_mul(inner.bufs.size) {
        return Err(format!(
            "{BAD_VALUE} \"gangway_busy_buffers_size\" must be less than the size of all \"gangway_buffers\" minus \
             one buffer"
        ));
    }
    inner.temp_file_write_size = or(inner.temp_file_write_size_conf, size.saturating_mul(2));
    if inner.temp_file_write_size < size {
        return Err(format!(
            "{BAD_VALUE} \"gangway_temp_file_write_size\" must be equal to or greater than {largest}"
        ));
    }
    inner.max_temp_file_size = or(inner.max_temp_file_size_conf, 1 << 30);
    if inner.max_temp_file_size != 0 && inner.max_temp_file_size < size {
        return Err(format!(
            "{BAD_VALUE} \"gangway_max_temp_file_size\" must be equal to zero to disable temporary files usage or \
             must be equal to or greater than {largest}"
        ));
    }
    Ok(())
}

/// The value, or this where it is not set.
fn or(value: usize, default: usize) -> usize {
    if value == Setting::UNSET { default } else { value }
}

fn merge_cache(outer: &ngx_http_upstream_conf_t, inner: &mut ngx_http_upstream_conf_t) -> Result<(), String> {
    if switch(inner.cache()).is_none() {
        inner.set_cache(switch(outer.cache()).unwrap_or(false).into());
        inner.cache_zone = outer.cache_zone;
        inner.cache_value = outer.cache_value;
    }
    // SAFETY: NULL or a zone of the cycle; `data` is what gangway_cache_path has put there.
    if let Some(zone) = unsafe { inner.cache_zone.as_ref() }
        && zone.data.is_null()
    {
        let name = String::from_utf8_lossy(zone.shm.name.as_bytes()).into_owned();
        return Err(format!(
            "{BAD_VALUE} \"gangway_cache\" zone \"{name}\" is unknown: add gangway_cache_path DIR keys_zone={name}:10m"
        ));
    }
    fill(&mut inner.cache_min_uses, outer.cache_min_uses, 1);
    fill(&mut inner.cache_max_range_offset, outer.cache_max_range_offset, i64::MAX);
    let off = NGX_CONF_BITMASK_SET | NGX_HTTP_UPSTREAM_FT_OFF;
    fill_mask(&mut inner.cache_use_stale, outer.cache_use_stale, off as usize);
    off_alone(&mut inner.cache_use_stale);
    if inner.cache_use_stale & NGX_HTTP_UPSTREAM_FT_ERROR as usize != 0 {
        inner.cache_use_stale |= NGX_HTTP_UPSTREAM_FT_NOLIVE as usize;
    }
    fill_mask(&mut inner.cache_methods, outer.cache_methods, 0);
    inner.cache_methods |= (NGX_HTTP_GET | NGX_HTTP_HEAD) as usize;
    fill(&mut inner.cache_bypass, outer.cache_bypass, Setting::NONE);
    fill(&mut inner.no_cache, outer.no_cache, Setting::NONE);
    fill(&mut inner.cache_valid, outer.cache_valid, Setting::NONE);
    fill(&mut inner.cache_lock, outer.cache_lock, 0);
    fill(&mut inner.cache_lock_timeout, outer.cache_lock_timeout, 5000);
    fill(&mut inner.cache_lock_age, outer.cache_lock_age, 5000);
    fill(&mut inner.cache_revalidate, outer.cache_revalidate, 0);
    fill(&mut inner.cache_background_update, outer.cache_background_update, 0);
    Ok(())
}

/// What is not in nginx's structure.
fn merge_own(outer: &UpstreamConf, inner: &mut UpstreamConf) {
    inner.split = inner.split.or(outer.split);
    inner.cache_key = inner.cache_key.or(outer.cache_key);
    inner.modifier1 = inner.modifier1.or(outer.modifier1);
    inner.modifier2 = inner.modifier2.or(outer.modifier2);
    inner.stderr_level = inner.stderr_level.or(outer.stderr_level);
    if inner.suffixes.is_none() {
        let default = || SUFFIXES.iter().map(|suffix| suffix.to_vec()).collect::<Arc<[_]>>();
        inner.suffixes = Some(outer.suffixes.clone().unwrap_or_else(default));
    }
    for (inner, outer) in [(&mut inner.index, outer.index), (&mut inner.string, outer.string)] {
        if inner.data.is_null() {
            *inner = outer;
        }
    }
    fill(&mut inner.catch_stderr, outer.catch_stderr, Setting::NONE);
    // On, unlike fastcgi_keep_conn: persistent connections are what FastCGI is for.
    // Neither on nor off: where it can be seen that a process waits for another request.
    fill(&mut inner.keep_conn, outer.keep_conn, 2);
    inner.script_check = inner.script_check.or(outer.script_check);
    fill(&mut inner.pass_authorization, outer.pass_authorization, 0);
    fill(&mut inner.flush_wait, outer.flush_wait, 5);
    fill(&mut inner.head_max_size, outer.head_max_size, 64 * 1024);
    fill(&mut inner.keepalive, outer.keepalive, 32);
    fill(&mut inner.keepalive_timeout, outer.keepalive_timeout, 10_000);
    fill(&mut inner.keepalive_requests, outer.keepalive_requests, 1000);
}

fn merge_temp_path(
    cf: &Conf,
    outer: &ngx_http_upstream_conf_t,
    inner: &mut ngx_http_upstream_conf_t,
) -> Result<(), String> {
    let mut default = ngx_path_init_t {
        name: ngx_str_t { len: TEMP_PATH.len() - 1, data: (&raw const TEMP_PATH).cast_mut().cast() },
        level: [1, 2, 0],
    };
    // SAFETY: nginx copies the default, whose name is static.
    let answer = unsafe {
        ngx_conf_merge_path_value(cf.raw(), &raw mut inner.temp_path, outer.temp_path, &raw mut default)
    };
    if answer.is_null() { Ok(()) } else { Err(format!("{BAD_VALUE} \"gangway_temp_path\" cannot be used")) }
}

fn hide_headers(
    cf: &Conf,
    outer: &mut ngx_http_upstream_conf_t,
    inner: &mut ngx_http_upstream_conf_t,
) -> Result<(), String> {
    // SAFETY: all-zero is what nginx fills; it sets the line's size before it reads a configuration.
    let (mut hash, line) = unsafe { (mem::zeroed::<ngx_hash_init_t>(), ngx_cacheline_size) };
    hash.max_size = 512;
    hash.bucket_size = 64_usize.next_multiple_of(line.max(1));
    hash.name = c"gangway_hide_headers_hash".as_ptr().cast_mut();
    // SAFETY: both are configurations of this cycle, after the arrays of headers were set or left unset.
    let status = unsafe {
        let hidden = ptr::addr_of!(HIDDEN).cast_mut().cast();
        ngx_http_upstream_hide_headers_hash(cf.raw(), inner, outer, hidden, &raw mut hash)
    };
    if status == 0 { Ok(()) } else { Err(format!("{BAD_VALUE} \"gangway_hide_header\" cannot be used")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_for_temporary_files_is_beside_those_of_the_stock_modules() {
        let name = std::str::from_utf8(&TEMP_PATH).unwrap();
        let stock = NGX_HTTP_FASTCGI_TEMP_PATH.to_str().unwrap();
        assert_eq!(name.trim_end_matches('\0'), stock.replace("fastcgi", "gangway"));
    }

    #[test]
    fn off_ends_what_stands_beside_it() {
        let both = (NGX_CONF_BITMASK_SET | NGX_HTTP_UPSTREAM_FT_OFF | NGX_HTTP_UPSTREAM_FT_ERROR) as usize;
        let mut mask = both;
        off_alone(&mut mask);
        assert_eq!(mask, (NGX_CONF_BITMASK_SET | NGX_HTTP_UPSTREAM_FT_OFF) as usize);
        let mut mask = NGX_HTTP_UPSTREAM_FT_ERROR as usize;
        off_alone(&mut mask);
        assert_eq!(mask, NGX_HTTP_UPSTREAM_FT_ERROR as usize);
    }
}
