// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_access`, `gangway_authn_provider`, `gangway_authz_provider`: scripts as mod_wsgi has them, before any location.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use gangway::log::escape;

use super::{python, setter};
use crate::{conf::LocationConf, raw::Conf};

/// One of them.
struct Usage {
    phase: &'static [u8],
    /// What the module that calls scripts finds the path by.
    option: &'static [u8],
    /// A word that it needs, and what for.
    needs: Option<(&'static [u8], &'static str)>,
}

const ACCESS: Usage = Usage { phase: b"access", option: b"mod_python.wsgiauth.access_script", needs: None };

const AUTHN: Usage = Usage {
    phase: b"authen",
    option: b"mod_python.wsgiauth.auth_user_script",
    needs: Some((b"realm=", "\"realm=TEXT\": what a client is asked to authenticate for")),
};

const AUTHZ: Usage = Usage {
    phase: b"authz",
    option: b"mod_python.wsgiauth.auth_group_script",
    needs: Some((
        GROUPS,
        "\"groups=NAME ...\", in quotes where there are several: the user must be in one of them",
    )),
};

const GROUPS: &[u8] = b"groups=";

setter!(set_access, LocationConf, |cf: &Conf, location: &mut LocationConf| set(cf, location, &ACCESS));
setter!(set_authn_provider, LocationConf, |cf: &Conf, location: &mut LocationConf| set(cf, location, &AUTHN));
setter!(set_authz_provider, LocationConf, |cf: &Conf, location: &mut LocationConf| set(cf, location, &AUTHZ));

/// They are handlers of phases, in other words.
fn set(cf: &Conf, location: &mut LocationConf, usage: &Usage) -> Result<(), String> {
    let words = cf.words();
    let Some((script, rest)) = words.get(1..).and_then(<[_]>::split_first) else {
        return Err("needs the path of a script".into());
    };
    if *script == b"off" && rest.is_empty() {
        return python::set_words(cf, location, &[usage.phase, b"off"]);
    }
    if let Some((word, what)) = usage.needs
        && !rest.iter().any(|given| given.starts_with(word))
    {
        return Err(format!("needs {what}"));
    }
    let path = cf.prefix().join(OsStr::from_bytes(script));
    if !path.is_file() {
        return Err(format!("has \"{}\", which is no file", escape(script)));
    }
    let named = [b"option=", usage.option, b"=", path.as_os_str().as_bytes()].concat();
    let rest: Vec<Vec<u8>> = rest
        .iter()
        .map(|word| match word.strip_prefix(GROUPS) {
            Some(groups) => [b"option=mod_python.wsgiauth.groups=", groups].concat(),
            None => word.to_vec(),
        })
        .collect();
    let mut all: Vec<&[u8]> = vec![usage.phase, b"mod_python.wsgiauth", &named];
    all.extend(rest.iter().map(Vec::as_slice));
    python::set_words(cf, location, &all)
}
