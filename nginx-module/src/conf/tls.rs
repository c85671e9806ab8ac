// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a location says about TLS to its backends.

use nginx_sys::{ngx_array_t, ngx_http_upstream_conf_t, ngx_str_t, ngx_uint_t};

use super::unset::Setting;

/// What nginx's structure of an upstream does not hold.
pub(crate) struct TlsSettings {
    pub(crate) protocols: ngx_uint_t,
    pub(crate) ciphers: ngx_str_t,
    pub(crate) verify_depth: ngx_uint_t,
    pub(crate) trusted_certificate: ngx_str_t,
    pub(crate) crl: ngx_str_t,
    /// Array of `ngx_keyval_t`.
    pub(crate) conf_commands: *mut ngx_array_t,
}

impl TlsSettings {
    pub(crate) fn unset() -> Self {
        Self {
            protocols: 0,
            ciphers: ngx_str_t::empty(),
            verify_depth: Setting::UNSET,
            trusted_certificate: ngx_str_t::empty(),
            crl: ngx_str_t::empty(),
            conf_commands: Setting::UNSET,
        }
    }
}

/// Marks what nginx's structure holds as not set.
pub(crate) fn unset_upstream(conf: &mut ngx_http_upstream_conf_t) {
    conf.ssl_session_reuse = Setting::UNSET;
    conf.ssl_name = Setting::UNSET;
    conf.ssl_server_name = Setting::UNSET;
    conf.ssl_verify = Setting::UNSET;
    conf.ssl_certificate = Setting::UNSET;
    conf.ssl_certificate_key = Setting::UNSET;
    conf.ssl_passwords = Setting::UNSET;
    #[cfg(nginx_certificate_cache)]
    {
        conf.ssl_certificate_cache = Setting::UNSET;
    }
}
