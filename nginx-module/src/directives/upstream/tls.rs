// SPDX-License-Identifier: MIT OR Apache-2.0
//! `suwsgi://`: uwsgi over TLS, as ngx_http_uwsgi_module.c.

use std::{ffi::CStr, mem::offset_of};

use gangway::error::BAD_VALUE;
use nginx_sys::{
    NGX_CONF_1MORE, NGX_CONF_BITMASK_SET, NGX_CONF_FLAG, NGX_CONF_TAKE1, NGX_CONF_TAKE2, NGX_SSL_SSLv2,
    NGX_SSL_SSLv3, NGX_SSL_TLSv1, NGX_SSL_TLSv1_1, NGX_SSL_TLSv1_2, NGX_SSL_TLSv1_3, ngx_command_t,
    ngx_conf_bitmask_t, ngx_conf_set_bitmask_slot, ngx_conf_set_flag_slot, ngx_conf_set_keyval_slot,
    ngx_conf_set_num_slot, ngx_conf_set_str_slot, ngx_http_complex_value_t, ngx_http_set_complex_value_slot,
    ngx_http_set_complex_value_zero_slot, ngx_http_upstream_conf_t, ngx_pcalloc, ngx_pool_cleanup_add,
    ngx_ssl_certificate, ngx_ssl_ciphers, ngx_ssl_cleanup_ctx, ngx_ssl_client_session_cache,
    ngx_ssl_conf_commands, ngx_ssl_create, ngx_ssl_crl, ngx_ssl_preserve_passwords,
    ngx_ssl_read_password_file, ngx_ssl_t, ngx_ssl_trusted_certificate, ngx_uint_t,
};

use super::slots::{NO_MASK, slot, slot_with, text};
use crate::{
    Shared,
    conf::{
        LocationConf, Pass, UpstreamConf,
        unset::{Setting, merge as fill, merge_mask as fill_mask},
    },
    directives::setter,
    raw::Conf,
};

const fn protocol(name: &'static CStr, mask: u32) -> ngx_conf_bitmask_t {
    ngx_conf_bitmask_t { name: text(name), mask: mask as ngx_uint_t }
}

static PROTOCOLS: Shared<[ngx_conf_bitmask_t; 7]> = Shared([
    protocol(c"SSLv2", NGX_SSL_SSLv2),
    protocol(c"SSLv3", NGX_SSL_SSLv3),
    protocol(c"TLSv1", NGX_SSL_TLSv1),
    protocol(c"TLSv1.1", NGX_SSL_TLSv1_1),
    protocol(c"TLSv1.2", NGX_SSL_TLSv1_2),
    protocol(c"TLSv1.3", NGX_SSL_TLSv1_3),
    NO_MASK,
]);

macro_rules! own {
    ($field:ident) => {
        offset_of!(LocationConf, upstream.tls.$field)
    };
}

macro_rules! theirs {
    ($field:ident) => {
        offset_of!(LocationConf, upstream.conf.$field)
    };
}

const fn flag(name: &'static CStr, offset: usize) -> ngx_command_t {
    slot(name, NGX_CONF_FLAG, ngx_conf_set_flag_slot, offset)
}

const fn string(name: &'static CStr, offset: usize) -> ngx_command_t {
    slot(name, NGX_CONF_TAKE1, ngx_conf_set_str_slot, offset)
}

/// The number of directives of TLS: nginx has one more from 1.27.4 on.
const COUNT: usize = if cfg!(nginx_certificate_cache) { 14 } else { 13 };

/// The directives of TLS.
pub(super) const COMMANDS: [ngx_command_t; COUNT] = [
    flag(c"gangway_ssl_session_reuse", theirs!(ssl_session_reuse)),
    slot_with(
        c"gangway_ssl_protocols",
        NGX_CONF_1MORE,
        ngx_conf_set_bitmask_slot,
        own!(protocols),
        (&raw const PROTOCOLS).cast(),
    ),
    string(c"gangway_ssl_ciphers", own!(ciphers)),
    slot(c"gangway_ssl_name", NGX_CONF_TAKE1, ngx_http_set_complex_value_slot, theirs!(ssl_name)),
    flag(c"gangway_ssl_server_name", theirs!(ssl_server_name)),
    flag(c"gangway_ssl_verify", theirs!(ssl_verify)),
    slot(c"gangway_ssl_verify_depth", NGX_CONF_TAKE1, ngx_conf_set_num_slot, own!(verify_depth)),
    string(c"gangway_ssl_trusted_certificate", own!(trusted_certificate)),
    string(c"gangway_ssl_crl", own!(crl)),
    slot(
        c"gangway_ssl_certificate",
        NGX_CONF_TAKE1,
        ngx_http_set_complex_value_zero_slot,
        theirs!(ssl_certificate),
    ),
    slot(
        c"gangway_ssl_certificate_key",
        NGX_CONF_TAKE1,
        ngx_http_set_complex_value_zero_slot,
        theirs!(ssl_certificate_key),
    ),
    slot(c"gangway_ssl_password_file", NGX_CONF_TAKE1, set_password_file, 0),
    slot(c"gangway_ssl_conf_command", NGX_CONF_TAKE2, ngx_conf_set_keyval_slot, own!(conf_commands)),
    #[cfg(nginx_certificate_cache)]
    slot(
        c"gangway_ssl_certificate_cache",
        nginx_sys::NGX_CONF_TAKE123,
        super::certificate_cache::set_certificate_cache,
        0,
    ),
];

setter!(set_password_file, LocationConf, |cf: &Conf, location: &mut LocationConf| {
    let conf = &mut location.upstream.conf;
    if conf.ssl_passwords != Setting::UNSET {
        return Err("is duplicate".into());
    }
    let mut file = cf.first_word();
    // SAFETY: the word lives as long as the cycle; nginx completes the path in place.
    conf.ssl_passwords = unsafe { ngx_ssl_read_password_file(cf.raw(), &raw mut file) };
    if conf.ssl_passwords.is_null() {
        return Err(format!("{BAD_VALUE} names a file that cannot be used; the line before says why"));
    }
    Ok(())
});

/// Fills what the inner block leaves open, and makes the context of a block that needs one.
pub(super) fn merge(cf: &Conf, outer: &mut UpstreamConf, inner: &mut UpstreamConf) -> Result<(), String> {
    share_context(cf, outer, inner)?;
    let (ours, theirs) = (&mut inner.conf, &outer.conf);
    fill(&mut ours.ssl_session_reuse, theirs.ssl_session_reuse, 1);
    fill(&mut ours.ssl_name, theirs.ssl_name, Setting::NONE);
    fill(&mut ours.ssl_server_name, theirs.ssl_server_name, 0);
    fill(&mut ours.ssl_verify, theirs.ssl_verify, 0);
    fill(&mut ours.ssl_certificate, theirs.ssl_certificate, Setting::NONE);
    fill(&mut ours.ssl_certificate_key, theirs.ssl_certificate_key, Setting::NONE);
    #[cfg(nginx_certificate_cache)]
    fill(&mut ours.ssl_certificate_cache, theirs.ssl_certificate_cache, Setting::NONE);
    merge_passwords(cf, &mut outer.conf, &mut inner.conf)?;
    let (ours, theirs) = (&mut inner.tls, &outer.tls);
    // As nginx from 1.27.3 on, with every nginx.
    let protocols = NGX_CONF_BITMASK_SET | NGX_SSL_TLSv1_2 | NGX_SSL_TLSv1_3;
    fill_mask(&mut ours.protocols, theirs.protocols, protocols as usize);
    fill(&mut ours.verify_depth, theirs.verify_depth, 1);
    fill(&mut ours.conf_commands, theirs.conf_commands, Setting::NONE);
    for (ours, theirs, default) in [
        (&mut ours.ciphers, theirs.ciphers, text(c"DEFAULT")),
        (&mut ours.trusted_certificate, theirs.trusted_certificate, text(c"")),
        (&mut ours.crl, theirs.crl, text(c"")),
    ] {
        if ours.data.is_null() {
            *ours = if theirs.data.is_null() { default } else { theirs };
        }
    }
    if inner.pass.is_some_and(Pass::may_be_tls) { make_context(cf, inner) } else { Ok(()) }
}

/// A block that sets nothing of TLS has the context of the outer one, made or to be made.
fn share_context(cf: &Conf, outer: &mut UpstreamConf, inner: &mut UpstreamConf) -> Result<(), String> {
    let (conf, tls) = (&mut inner.conf, &inner.tls);
    let untouched = tls.protocols == 0
        && tls.ciphers.data.is_null()
        && conf.ssl_certificate == Setting::UNSET
        && conf.ssl_certificate_key == Setting::UNSET
        && conf.ssl_passwords == Setting::UNSET
        && conf.ssl_verify == Setting::UNSET
        && tls.verify_depth == Setting::UNSET
        && tls.trusted_certificate.data.is_null()
        && tls.crl.data.is_null()
        && conf.ssl_session_reuse == Setting::UNSET
        && tls.conf_commands == Setting::UNSET;
    if untouched && !outer.conf.ssl.is_null() {
        conf.ssl = outer.conf.ssl;
        return Ok(());
    }
    // SAFETY: the pool and the log of a configuration phase live as long as the cycle.
    unsafe {
        conf.ssl = ngx_pcalloc((*cf.raw()).pool, size_of::<ngx_ssl_t>()).cast();
        if conf.ssl.is_null() {
            return Err("no memory".into());
        }
        (*conf.ssl).log = (*cf.raw()).log;
    }
    if untouched {
        // The http block keeps it for all servers.
        outer.conf.ssl = conf.ssl;
    }
    Ok(())
}

/// As ngx_http_upstream_merge_ssl_passwords, which nginx has from 1.23.1 on: passwords for certificates with
/// variables are needed after the configuration phase.
fn merge_passwords(
    cf: &Conf,
    outer: &mut ngx_http_upstream_conf_t,
    inner: &mut ngx_http_upstream_conf_t,
) -> Result<(), String> {
    fill(&mut inner.ssl_passwords, outer.ssl_passwords, Setting::NONE);
    // SAFETY: NULL after the merge, or values that nginx's setters have compiled.
    let (certificate, key) = unsafe { (inner.ssl_certificate.as_ref(), inner.ssl_certificate_key.as_ref()) };
    let (Some(certificate), Some(key)) = (certificate, key) else { return Ok(()) };
    if certificate.value.len == 0 {
        return Ok(());
    }
    // SAFETY: NULL or an array that nginx made.
    let passwords = unsafe { inner.ssl_passwords.as_ref() };
    if certificate.lengths.is_null() && key.lengths.is_null() {
        if passwords.is_some_and(|passwords| passwords.pool.is_null()) {
            // An outer block's "preserved, and there are none", which is of no use for files.
            inner.ssl_passwords = Setting::NONE;
        }
        return Ok(());
    }
    // SAFETY: a live phase.
    if passwords.is_some_and(|passwords| passwords.pool != unsafe { (*cf.raw()).temp_pool }) {
        return Ok(());
    }
    let shared = inner.ssl_passwords == outer.ssl_passwords;
    // SAFETY: NULL or an array that nginx made.
    inner.ssl_passwords = unsafe { ngx_ssl_preserve_passwords(cf.raw(), inner.ssl_passwords) };
    if inner.ssl_passwords.is_null() {
        return Err("no memory".into());
    }
    if shared {
        outer.ssl_passwords = inner.ssl_passwords;
    }
    Ok(())
}

/// Makes the context of TLS unless another block that shares it has done so.
fn make_context(cf: &Conf, inner: &mut UpstreamConf) -> Result<(), String> {
    let refused =
        |what: &str| Err(format!("{BAD_VALUE} \"{what}\" cannot be used; the line before says why"));
    let (conf, tls) = (&mut inner.conf, &mut inner.tls);
    let ssl = conf.ssl;
    // SAFETY: share_context made it in the cycle's pool; strings and arrays are the cycle's.
    unsafe {
        if !(*ssl).ctx.is_null() {
            return Ok(());
        }
        if ngx_ssl_create(ssl, tls.protocols, std::ptr::null_mut()) != 0 {
            return refused("gangway_ssl_protocols");
        }
        let cleanup = ngx_pool_cleanup_add((*cf.raw()).pool, 0);
        if cleanup.is_null() {
            ngx_ssl_cleanup_ctx(ssl.cast());
            return Err("no memory".into());
        }
        (*cleanup).handler = Some(ngx_ssl_cleanup_ctx);
        (*cleanup).data = ssl.cast();
        if ngx_ssl_ciphers(cf.raw(), ssl, &raw mut tls.ciphers, 0) != 0 {
            return refused("gangway_ssl_ciphers");
        }
        load_certificate(cf, conf)?;
        if conf.ssl_verify == 1 {
            if tls.trusted_certificate.len == 0 {
                return Err(format!(
                    "{BAD_VALUE} no gangway_ssl_trusted_certificate for gangway_ssl_verify: name the file of the \
                     authority that signed the backend's certificate"
                ));
            }
            let depth = tls.verify_depth.cast_signed();
            if ngx_ssl_trusted_certificate(cf.raw(), ssl, &raw mut tls.trusted_certificate, depth) != 0 {
                return refused("gangway_ssl_trusted_certificate");
            }
            if ngx_ssl_crl(cf.raw(), ssl, &raw mut tls.crl) != 0 {
                return refused("gangway_ssl_crl");
            }
        }
        if ngx_ssl_client_session_cache(cf.raw(), ssl, conf.ssl_session_reuse.cast_unsigned()) != 0 {
            return refused("gangway_ssl_session_reuse");
        }
        if ngx_ssl_conf_commands(cf.raw(), ssl, tls.conf_commands) != 0 {
            return refused("gangway_ssl_conf_command");
        }
    }
    Ok(())
}

/// The certificate that nginx shows to the backend, if its name has no variables.
fn load_certificate(cf: &Conf, conf: &mut ngx_http_upstream_conf_t) -> Result<(), String> {
    // SAFETY: NULL after the merge, or values that nginx's setters have compiled, which nobody else refers to now.
    let (certificate, key): (Option<&mut ngx_http_complex_value_t>, Option<&mut ngx_http_complex_value_t>) =
        unsafe { (conf.ssl_certificate.as_mut(), conf.ssl_certificate_key.as_mut()) };
    let Some(certificate) = certificate.filter(|certificate| certificate.value.len > 0) else {
        return Ok(());
    };
    let name = String::from_utf8_lossy(certificate.value.as_bytes()).into_owned();
    let Some(key) = key else {
        return Err(format!(
            "{BAD_VALUE} no \"gangway_ssl_certificate_key\" is defined for certificate \"{name}\""
        ));
    };
    if !certificate.lengths.is_null() || !key.lengths.is_null() {
        return Ok(());
    }
    let (certificate, key) = (&raw mut certificate.value, &raw mut key.value);
    // SAFETY: the context was just made; nginx completes the paths in place.
    let status = unsafe { ngx_ssl_certificate(cf.raw(), conf.ssl, certificate, key, conf.ssl_passwords) };
    if status == 0 {
        Ok(())
    } else {
        Err(format!(
            "{BAD_VALUE} \"gangway_ssl_certificate\" {name} cannot be used; the line before says why"
        ))
    }
}
