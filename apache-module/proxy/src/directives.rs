// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of directives and what httpd calls for each.
//!
//! `ProxyFCGI…` and `ProxySCGI…` are also those of the stock modules. httpd gives a directive to every module that
//! knows it, so both have what it says when both are loaded.

#![expect(unsafe_code, reason = "what httpd calls")]

use std::{
    ffi::{CStr, c_char, c_void},
    ptr,
};

use gangway::engine::fence;
use gangway_httpd::{
    directive::{Command, END, Table, directive},
    param,
    pooled::{Pooled, Text},
    sys, text,
};

use crate::{
    raw::{BackendType, DirConf, Pass, Place, Pseudo, SetEnvIf, module_index, wish_worker},
    words,
};

/// The path of the section that a directive stands in; empty outside of one.
fn path<'c>(command: &Command<'c>) -> &'c [u8] {
    // SAFETY: NULL or a C string that lives as long as the command.
    unsafe { text((*command.as_ptr()).path) }
}

fn is_location(command: &Command<'_>) -> bool {
    // SAFETY: httpd gives a live directive with each command; parents are live as well.
    unsafe {
        let parent = (*(*command.as_ptr()).directive).parent;
        !parent.is_null() && text((*parent).directive).eq_ignore_ascii_case(b"<Location")
    }
}

/// What a directive does with its words.
type Setter = fn(&Command<'_>, &mut DirConf, &[&[u8]]) -> Result<(), String>;

/// Runs what a directive does, with the configuration of its section.
///
/// # Safety
/// As httpd calls a directive's function.
unsafe fn run(
    name: &'static str,
    raw: *mut sys::cmd_parms,
    conf: *mut c_void,
    arguments: *const c_char,
    body: Setter,
) -> *const c_char {
    fence(name, c"a programming error of mod_proxy_gangway; please report it".as_ptr(), || {
        // SAFETY: what httpd has called the directive's function with; `create` made the configuration, and nobody else has
        // it at this time.
        let (command, conf, words) = unsafe {
            let command = Command::from_raw(raw, module_index());
            (command, &mut *conf.cast::<DirConf>(), command.words(arguments))
        };
        command.answer(body(&command, conf, &words).map_err(|reason| format!("{name} {reason}")))
    })
}

/// The one word of a directive.
fn one<'w>(words: &[&'w [u8]]) -> Result<&'w [u8], String> {
    match words {
        [word] => Ok(word),
        _ => Err("takes one word".into()),
    }
}

fn pass(command: &Command<'_>, conf: &mut DirConf, words: &[&[u8]]) -> Result<(), String> {
    let word = one(words)?;
    conf.pass = Some(if word.eq_ignore_ascii_case(b"off") {
        Pass::Off
    } else {
        let (url, kind) = words::address(word)?;
        let origin = command.copy(url.rsplit(|byte| *byte == b'|').next().unwrap_or(&url));
        let url = command.copy(&url);
        wish_worker(command, url);
        let mount = if is_location(command) { path(command) } else { b"" };
        let mount = command.copy(mount.strip_suffix(b"/").unwrap_or(mount));
        Pass::To(Place { url, origin, mount, kind })
    });
    Ok(())
}

fn script_suffixes(command: &Command<'_>, conf: &mut DirConf, words: &[&[u8]]) -> Result<(), String> {
    if words.is_empty() {
        return Err("takes at least one suffix".into());
    }
    let copy = |word: &&[u8]| words::suffix(word).map(|suffix| command.copy(suffix));
    let suffixes: Vec<Text> = words.iter().map(copy).collect::<Result<_, _>>()?;
    // SAFETY: the pool of the configuration.
    conf.script_suffixes = Some(unsafe { Pooled::copy(command.pool(), &suffixes) });
    Ok(())
}

fn backend_type(_: &Command<'_>, conf: &mut DirConf, words: &[&[u8]]) -> Result<(), String> {
    conf.backend_type = match one(words)?.to_ascii_lowercase().as_slice() {
        b"generic" => BackendType::Generic,
        b"fpm" => BackendType::Fpm,
        _ => return Err("requires one of the following arguments: 'GENERIC', 'FPM'".into()),
    };
    Ok(())
}

fn set_env_if(command: &Command<'_>, conf: &mut DirConf, words: &[&[u8]]) -> Result<(), String> {
    let (condition, variable, value) = match *words {
        [condition, variable] => (condition, variable, None),
        [condition, variable, value] => (condition, variable, Some(value)),
        _ => return Err("takes two or three arguments: condition, variable, value".into()),
    };
    let condition = command.expression(condition, 0)?;
    let (name, value) = match variable.strip_prefix(b"!") {
        Some(b"") => return Err("\"!\" is not a valid variable name".into()),
        Some(_) if value.is_some() => return Err("takes no third argument with !variable".into()),
        Some(name) => (name, ptr::null_mut()),
        None => {
            let source = value.unwrap_or_default();
            (variable, command.expression(source, sys::AP_EXPR_FLAG_STRING_RESULT)?)
        }
    };
    let mut all = conf.set_env_if.as_slice().to_vec();
    all.push(SetEnvIf { condition, value, name: command.copy(name) });
    // SAFETY: the pool of the configuration.
    conf.set_env_if = unsafe { Pooled::copy(command.pool(), &all) };
    Ok(())
}

fn param(command: &Command<'_>, conf: &mut DirConf, words: &[&[u8]]) -> Result<(), String> {
    let param = param::read(command, words)?;
    // SAFETY: the pool of the configuration.
    conf.params = unsafe { param::with(conf.params, command.pool(), &[param]) };
    Ok(())
}

fn pseudo(command: &Command<'_>, words: &[&[u8]]) -> Result<Pseudo, String> {
    let word = one(words)?;
    Ok(match word.to_ascii_lowercase().as_slice() {
        b"off" => Pseudo::Off,
        b"on" => Pseudo::On,
        _ => Pseudo::Named(command.copy(word)),
    })
}

/// Functions that httpd calls, each for the directive of the same line.
macro_rules! directives {
    ($($function:ident, $name:literal, $places:expr, $help:literal, $body:expr;)*) => {
        $(unsafe extern "C" fn $function(
            raw: *mut sys::cmd_parms,
            conf: *mut c_void,
            words: *const c_char,
        ) -> *const c_char {
            // SAFETY: httpd calls this with a live command, the section's configuration and a C string.
            unsafe { run($name, raw, conf, words, $body) }
        })*

        /// The table, for the module.
        pub(crate) static TABLE: Table<{ [$($name),*].len() + 1 }> = Table([
            $(directive(c_string(concat!($name, "\0")), $function, $places, c_string(concat!($help, "\0"))),)*
            END,
        ]);
    };
}

const ANYWHERE: u32 = sys::ACCESS_CONF | sys::RSRC_CONF;
/// The largest head that GangwayHeadMaxSize allows.
const HEAD_LIMIT: usize = 1024 * 1024;

directives! {
    set_pass, "GangwayPass", sys::ACCESS_CONF,
        "fastcgi://, scgi:// or uwsgi:// with host:port or unix:/path, or Off",
        pass;
    set_param, "GangwayParam", ANYWHERE, "NAME VALUE [if_not_empty]; VALUE may be expr=EXPRESSION",
        param;
    set_script_check, "GangwayScriptCheck", ANYWHERE, "On or Off",
        |_, conf, words| { conf.script_check = Some(words::switch(one(words)?)?); Ok(()) };
    set_script_suffixes, "GangwayScriptSuffixes", ANYWHERE, "suffixes of scripts, without the dot",
        script_suffixes;
    set_stderr_level, "GangwayStderrLevel", ANYWHERE, "error, warn, notice, info or debug",
        |_, conf, words| { conf.stderr_level = Some(words::level(one(words)?)?); Ok(()) };
    set_head_max_size, "GangwayHeadMaxSize", ANYWHERE, "a size such as 64k",
        |_, conf, words| { conf.head_max = Some(words::size(one(words)?, 1024, HEAD_LIMIT)?); Ok(()) };
    set_flush_wait, "GangwayFlushWait", ANYWHERE, "a time such as 5ms; 0 to never wait",
        |_, conf, words| { conf.flush_wait = Some(words::milliseconds(one(words)?, 10_000)?); Ok(()) };
    set_keep_conn, "GangwayKeepConn", ANYWHERE, "On or Off",
        |_, conf, words| { conf.keep_conn = Some(words::switch(one(words)?)?); Ok(()) };
    set_backend_type, "ProxyFCGIBackendType", sys::OR_FILEINFO,
        "Specify the type of FastCGI server: 'Generic', 'FPM'",
        backend_type;
    set_set_env_if, "ProxyFCGISetEnvIf", sys::OR_FILEINFO, "expr-condition env-name expr-value",
        set_env_if;
    set_scgi_sendfile, "ProxySCGISendfile", ANYWHERE,
        "The name of the X-Sendfile pseudo response header or On or Off",
        |command, conf, words| { conf.scgi_sendfile = pseudo(command, words)?; Ok(()) };
    set_scgi_redirect, "ProxySCGIInternalRedirect", ANYWHERE,
        "The name of the pseudo response header or On or Off",
        |command, conf, words| { conf.scgi_redirect = pseudo(command, words)?; Ok(()) };
}

const fn c_string(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text,
        Err(_) => c"",
    }
}
