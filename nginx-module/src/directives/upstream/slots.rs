// SPDX-License-Identifier: MIT OR Apache-2.0
//! Entries of a table of directives that nginx's own setters serve.

use std::{
    ffi::{CStr, c_void},
    ptr,
};

use nginx_sys::{
    NGX_CONF_1MORE, NGX_CONF_FLAG, NGX_CONF_TAKE1, NGX_HTTP_LOC_CONF, NGX_HTTP_LOC_CONF_OFFSET,
    NGX_HTTP_MAIN_CONF, NGX_HTTP_SRV_CONF, ngx_command_t, ngx_conf_bitmask_t, ngx_conf_set_bitmask_slot,
    ngx_conf_set_flag_slot, ngx_conf_set_msec_slot, ngx_conf_set_num_slot, ngx_conf_set_size_slot,
    ngx_conf_set_str_array_slot, ngx_conf_set_str_slot, ngx_str_t, ngx_uint_t,
};

use crate::raw::Setter;

/// Where settings may stand; as those of the stock modules, not in `if`.
const LEVELS: u32 = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF;

/// A C string as a string of nginx.
pub(super) const fn text(text: &'static CStr) -> ngx_str_t {
    ngx_str_t { len: text.count_bytes(), data: text.as_ptr().cast_mut().cast() }
}

/// A setting of a location that `setter` writes at `offset`.
pub(super) const fn slot(name: &'static CStr, words: u32, setter: Setter, offset: usize) -> ngx_command_t {
    ngx_command_t {
        name: text(name),
        type_: (LEVELS | words) as ngx_uint_t,
        set: Some(setter),
        conf: NGX_HTTP_LOC_CONF_OFFSET as ngx_uint_t,
        offset: offset as ngx_uint_t,
        post: ptr::null_mut(),
    }
}

/// As [`slot`], with the table or check that the setter uses.
pub(super) const fn slot_with(
    name: &'static CStr,
    words: u32,
    setter: Setter,
    offset: usize,
    post: *const c_void,
) -> ngx_command_t {
    ngx_command_t { post: post.cast_mut(), ..slot(name, words, setter, offset) }
}

pub(super) const fn flag(name: &'static CStr, offset: usize) -> ngx_command_t {
    slot(name, NGX_CONF_FLAG, ngx_conf_set_flag_slot, offset)
}

pub(super) const fn msec(name: &'static CStr, offset: usize) -> ngx_command_t {
    slot(name, NGX_CONF_TAKE1, ngx_conf_set_msec_slot, offset)
}

pub(super) const fn size(name: &'static CStr, offset: usize) -> ngx_command_t {
    slot(name, NGX_CONF_TAKE1, ngx_conf_set_size_slot, offset)
}

pub(super) const fn number(name: &'static CStr, offset: usize) -> ngx_command_t {
    slot(name, NGX_CONF_TAKE1, ngx_conf_set_num_slot, offset)
}

pub(super) const fn string(name: &'static CStr, offset: usize) -> ngx_command_t {
    slot(name, NGX_CONF_TAKE1, ngx_conf_set_str_slot, offset)
}

pub(super) const fn strings(name: &'static CStr, offset: usize) -> ngx_command_t {
    slot(name, NGX_CONF_TAKE1, ngx_conf_set_str_array_slot, offset)
}

pub(super) const fn bits(name: &'static CStr, offset: usize, masks: *const c_void) -> ngx_command_t {
    slot_with(name, NGX_CONF_1MORE, ngx_conf_set_bitmask_slot, offset, masks)
}

pub(super) const fn mask(name: &'static CStr, mask: u32) -> ngx_conf_bitmask_t {
    ngx_conf_bitmask_t { name: text(name), mask: mask as ngx_uint_t }
}

/// The end of a table of masks.
pub(super) const NO_MASK: ngx_conf_bitmask_t = ngx_conf_bitmask_t { name: ngx_str_t::empty(), mask: 0 };
